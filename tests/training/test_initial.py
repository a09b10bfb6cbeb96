"""Initial weights from other networks: what is taken, matched by keypoint, left random, refused."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpose import models, runs, skeletons, tasks
from jaxpose.config import ConfigError, default_config
from jaxpose.convert.sources import read_source
from jaxpose.training import initial, matching, schedule, state
from jaxpose.training.selection import flat

OWN = skeletons.Skeleton(
    "own", ("tail", "RKnee", "left_knee", "Nose", "chin"), (), (0.1,) * 5
)  # the second, third and fourth are COCO's right_knee (14), left_knee (13) and nose (0)
SHARED = {1: 14, 2: 13, 3: 0}


def settings(model, **changes):
    task = tasks.get(models.info(model).task)
    config = default_config(task.SETTINGS, task=task.NAME)
    config.model, config.input_size = model, (64, 64)
    config.update_from_flattened_dict(changes)
    return config


def shapes_of(config, num_keypoints):
    return shapes_of_model(config.model, num_keypoints)


@functools.cache
def shapes_of_model(name, num_keypoints):
    model = tasks.create_model(settings(name), num_keypoints)
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    return jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), image)


def values(shapes, seed):
    random = np.random.default_rng(seed)
    return jax.tree.map(lambda x: random.normal(size=x.shape).astype(np.float32), shapes)


def source(config, skeleton, seed=1, **changes):
    """Random weights of a network of `config` with the keypoints of `skeleton`."""
    arrays = flat(values(shapes_of(config, skeleton.num_joints), seed))
    return initial.Source("the source", arrays, skeleton.joints, **changes)


def start(config, skeleton, weights):
    """(variables of the new state, variables of a random state, log)."""
    random = values(shapes_of(config, skeleton.num_joints), 7)

    def create(seed):
        return state.from_variables(jax.tree.map(jnp.asarray, random), optimizer)

    optimizer = schedule.make_optimizer(config.optimizer, lambda step: 1e-3)
    log = []
    new = initial.initial_state(config, skeleton, create, optimizer, weights, log.append)
    return flat({"params": new.params, "batch_stats": new.batch_stats}), flat(random), log


@pytest.fixture(autouse=True)
def light_optimizer(monkeypatch):
    """The optimizer's state plays no part here."""
    import optax

    monkeypatch.setattr(schedule, "make_optimizer", lambda *_: optax.sgd(1.0))


@pytest.mark.slow
def test_the_same_network_and_keypoints_give_the_same_bytes():
    config = settings("simplebaseline_mobilenetv2")
    weights = source(config, skeletons.COCO)
    new, _, log = start(config, skeletons.COCO, weights)
    assert new.keys() == weights.arrays.keys()
    for path, array in weights.arrays.items():
        assert np.asarray(new[path]).tobytes() == array.tobytes(), path
    assert "100.0%" in log[2] and log[2].startswith("taken")


def test_the_last_layer_is_matched_by_the_names_of_the_keypoints():
    config = settings("simplebaseline_mobilenetv2")
    weights = source(config, skeletons.COCO)
    new, random, log = start(config, OWN, weights)
    for path, array in new.items():
        if "final_layer" not in path:
            np.testing.assert_array_equal(array, weights.arrays[path])
            continue
        for channel in range(5):
            expected = random[path][..., channel]
            if channel in SHARED:
                expected = weights.arrays[path][..., SHARED[channel]]
            np.testing.assert_array_equal(array[..., channel], expected)
    assert log[-1] == "3 of 5 keypoints have the same name: RKnee, left_knee, Nose"
    assert log[3].split()[:5] == ["matched", "by", "keypoint", "2", "771"]  # 3 * (256 + 1)


def test_the_same_number_of_other_keypoints_is_matched_by_name_too():
    config = settings("simplebaseline_mobilenetv2")
    turned = skeletons.Skeleton("turned", skeletons.COCO.joints[::-1], (), (0.1,) * 17)
    weights = source(config, skeletons.COCO)
    new, _, _ = start(config, turned, weights)
    for leaf in ("kernel", "bias"):
        path = f"params/head/final_layer/{leaf}"
        np.testing.assert_array_equal(new[path], weights.arrays[path][..., ::-1])


def test_unknown_keypoints_are_taken_by_shape_alone():
    config = settings("simplebaseline_mobilenetv2")
    known = source(config, skeletons.COCO)
    weights = initial.Source("a file", known.arrays, None)
    turned = skeletons.Skeleton("turned", skeletons.COCO.joints[::-1], (), (0.1,) * 17)
    new, _, _ = start(config, turned, weights)
    path = "params/head/final_layer/bias"
    np.testing.assert_array_equal(new[path], weights.arrays[path])
    new, random, _ = start(config, OWN, weights)
    np.testing.assert_array_equal(new[path], random[path])


@pytest.mark.slow
def test_heatmaps_and_tags_are_matched_in_both_outputs():
    """HigherHRNet's head: 2K channels, K channels, and 2K inputs after the features."""
    config = settings("higher_hrnet_w32")
    weights = source(config, skeletons.COCO)
    new, random, _ = start(config, OWN, weights)
    width = 32

    def expected(path, axis, pairs):
        result = np.moveaxis(random[path].copy(), axis, 0)
        for to, origin in pairs.items():
            result[to] = np.moveaxis(weights.arrays[path], axis, 0)[origin]
        return np.moveaxis(result, 0, axis)

    both = {**SHARED, **{5 + to: 17 + origin for to, origin in SHARED.items()}}
    inputs = {n: n for n in range(width)} | {width + a: width + b for a, b in both.items()}
    for path, axis, pairs in (
        ("params/head/final_layers_0/kernel", 3, both),
        ("params/head/final_layers_0/bias", 0, both),
        ("params/head/final_layers_1/kernel", 3, SHARED),
        ("params/head/final_layers_1/bias", 0, SHARED),
        ("params/head/deconv_layers_0_0/deconv/transposed_kernel", 2, inputs),
    ):
        np.testing.assert_array_equal(new.pop(path), expected(path, axis, pairs), err_msg=path)
    for path, array in new.items():
        np.testing.assert_array_equal(array, weights.arrays[path], err_msg=path)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["wlitepose_xs", "efficient_hrnet_hm4"])
def test_only_the_heads_of_bottom_up_networks_depend_on_the_keypoints(model):
    config = settings(model)
    template = {**shapes_of(config, 5)}
    channels = matching.keypoint_channels(config, 5, template)
    assert channels and all("head/" in path for path in channels)
    blocks = {c.blocks for c in channels.values()}
    assert None not in channels.values() and blocks == {1, 2}
    # After a number of features: what the last layers read.
    joined = {path for path, c in channels.items() if c.others}
    assert all(channels[path].others_first and "deconv" in path for path in joined)
    assert len(joined) == (2 if model == "wlitepose_xs" else 1)


def test_channels_that_follow_the_keypoints_are_copied():
    """The background of part affinity fields: K + 1 heatmaps, where it is the last."""
    channels = matching.Channels(axis=0, blocks=1, others=1, others_first=False)
    assert channels.count(18) == 17 and channels.count(1) is None
    pairs = channels.pairs([(0, 2), (16, 1)], 17, 5)
    assert pairs == [(0, 2), (16, 1), (17, 5)]
    old, new = np.arange(18.0), -np.ones(6)
    copied = matching.copy_channels(new, old, channels, pairs)
    assert copied.tolist() == [-1, 16, 0, -1, -1, 17]


@pytest.mark.slow
def test_fields_of_the_same_keypoints_are_taken_whole():
    config = settings("lightweight_openpose")
    weights = source(config, skeletons.COCO)
    new, _, _ = start(config, skeletons.COCO, weights)
    for path, array in new.items():
        np.testing.assert_array_equal(array, weights.arrays[path], err_msg=path)


@pytest.mark.slow
def test_another_network_gives_its_backbone():
    """The share is that of the backbone, since nothing else is taken."""
    hwl, plain = settings("hwl_mobilenetv3"), settings("simplebaseline_mobilenetv3")
    given = source(hwl, skeletons.COCO)
    arrays = {path: a for path, a in given.arrays.items() if "/head/" not in path}
    weights = initial.Source("a backbone", arrays, skeletons.COCO.joints, unused=("fc.weight",))
    new, random, log = start(plain, OWN, weights)
    for path, array in new.items():
        expected = weights.arrays[path] if "/backbone/" in path else random[path]
        np.testing.assert_array_equal(array, expected, err_msg=path)
    assert any(line.startswith("of the backbone") and "100.0%" in line for line in log)
    assert any(line.startswith("not used") and "fc.weight" in line for line in log)


def test_too_small_a_share_is_refused_in_one_line():
    config = settings("simplebaseline_mobilenetv2", init_from="runs/other", init_share=0.3)
    given = source(config, skeletons.COCO)
    arrays = {path: a for path, a in given.arrays.items() if "/layer7_0/" in path}
    weights = initial.Source("a part", arrays, skeletons.COCO.joints)
    with pytest.raises(ConfigError) as error:
        start(config, skeletons.COCO, weights)
    message = str(error.value)
    assert "\n" not in message and "config.init_from=runs/other has 21.3%" in message
    assert "config.init_share=0.3" in message and "backbone/conv1/bn/bias" in message
    config.init_share = 0.2
    start(config, skeletons.COCO, weights)


def test_keypoints_alone_can_make_the_share_too_small():
    """No array is missing, but the last layer has a keypoint that the source has not."""
    config = settings("simplebaseline_mobilenetv2", init_from="runs/other", init_share=1.0)
    with pytest.raises(ConfigError) as error:
        start(config, OWN, source(config, skeletons.COCO))
    message = str(error.value)
    assert "config.init_share=1; the first parameter of other keypoints is head/final_" in message


def test_an_option_of_the_weights_that_the_run_lacks_is_in_the_log():
    config = settings("simplebaseline_mobilenetv2")
    weights = source(config, skeletons.COCO, options={"public_input": True})
    line = "to set it: --config.model_options.public_input=True"
    assert sum(line in text for text in start(config, skeletons.COCO, weights)[2]) == 1
    config.model_options.public_input = False
    assert sum(line in text for text in start(config, skeletons.COCO, weights)[2]) == 1
    config.model_options.public_input = True
    assert not any(line in text for text in start(config, skeletons.COCO, weights)[2])


def test_names_are_compared_however_they_are_written():
    pairs = matching.shared_joints(("LShoulder", "right-hip", "Neck"), ("left_shoulder", "neck"))
    assert pairs == [(0, 0), (2, 1)]
    assert matching.shared_joints(None, ("nose",)) == []


def test_a_run_folder_is_read_without_its_network(tmp_path):
    config = settings("simplebaseline_mobilenetv2")
    variables = values(shapes_of(config, 17), 3)
    folder = tmp_path / "run"
    runs.write_run(folder, config, skeletons.COCO, variables)
    weights = read_source(str(folder), config.task, config.model, None)
    assert weights.joints == skeletons.COCO.joints
    assert weights.name == str(folder / "checkpoints" / "0")
    for path, array in flat(variables).items():
        np.testing.assert_array_equal(weights.arrays[path], array)
    read = functools.partial(read_source, task=config.task, model=config.model, state=None)
    assert read(str(folder / "checkpoints" / "0")).name == weights.name
    assert read("") is None
    with pytest.raises(ConfigError, match=r"did you mean '.*/run'\?$") as error:
        read(str(tmp_path / "rum"))
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="not a run folder"):
        read(str(tmp_path))
    with pytest.raises(ConfigError, match=r"did you mean 'hrnet_w32-"):
        read("hrnet_w32-cocoo-256x192")


def rtmpose_shapes(size, num_keypoints):
    """(settings, variables as shapes, path -> shape) of the smallest RTMPose."""
    config = settings("rtmpose_t", input_size=size)
    model = tasks.create_model(config, num_keypoints)
    image = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
    template = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), image)
    return config, template, flat(template)


def test_rtmpose_starts_from_weights_of_another_size():
    """What depends on the size starts anew: the first linear layer of the head and the last two."""
    _, _, given = rtmpose_shapes((256, 192), 17)
    _, _, needed = rtmpose_shapes((128, 96), 17)
    found = matching.match(needed, given, {}, [])
    layers = ("mlp_1", "cls_x", "cls_y")
    assert sorted(found.random) == sorted(f"params/head/{layer}/kernel" for layer in layers)
    assert len(found.arrays) == len(needed) - 3


def test_rtmpose_starts_from_weights_of_other_keypoints():
    _, _, given = rtmpose_shapes((64, 64), 17)
    config, template, needed = rtmpose_shapes((64, 64), 14)
    channels = matching.keypoint_channels(config, 14, template)
    assert set(channels) == {f"params/head/final_layer/{leaf}" for leaf in ("kernel", "bias")}
    shared = matching.shared_joints(skeletons.COCO.joints, skeletons.CROWDPOSE.joints)
    assert len(shared) == 12
    found = matching.match(needed, given, channels, shared)
    assert not found.random and len(found.arrays) == len(needed) - 2
    assert {path: pairs for path, (_, pairs) in found.by_name.items()} == {
        path: shared for path in channels
    }
