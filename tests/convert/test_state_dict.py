"""Public checkpoints to variables and back; the import verb."""

import argparse
import gzip
import json

import jax
import numpy as np
import pytest

import jaxpose
from jaxpose import convert
from jaxpose.convert import command
from tests.helpers import recipe
from tests.helpers.checkpoints import abstract, assert_equal, save_torch

NAMES = (
    "hwl_mobilenetv3",
    "simplebaseline_mobilenetv2",
    "simplebaseline_mobilenetv3",
    "simplebaseline_shufflenetv2",
    "simplebaseline_resnet50",
)


LITEPOSE = ("litepose_s", "litepose_xs")  # 14 joints


@pytest.fixture(scope="module")
def shapes(golden):
    """Model -> {key: shape} of its public checkpoint."""
    files = ("torch_keys_simplebaseline.json.gz", "torch_keys_litepose.json.gz")
    parts = [json.loads(gzip.decompress((golden / file).read_bytes())) for file in files]
    return parts[0] | parts[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES + LITEPOSE)
def test_round_trip_keeps_every_key_and_bit(name, shapes):
    state = recipe.state_dict(shapes[name], 0.5)
    num_keypoints = 14 if name in LITEPOSE else 17
    variables = convert.from_torch(name, state, num_keypoints)
    wanted = abstract(name, num_keypoints)
    assert jax.tree.structure(variables) == jax.tree.structure(wanted)
    assert all(
        a.shape == b.shape and a.dtype == np.float32
        for a, b in zip(jax.tree.leaves(variables), jax.tree.leaves(wanted), strict=True)
    )
    back = convert.to_torch_state_dict(name, variables)
    assert_equal(back, state)
    assert all(array.flags.c_contiguous for array in back.values())  # as torch needs it


@pytest.mark.parametrize("attention", ["none", "se", "cbam"])
def test_round_trip_of_the_ablations(attention):
    variables = jax.tree.map(
        lambda leaf: np.arange(np.prod(leaf.shape), dtype=np.float32).reshape(leaf.shape),
        abstract("hwl_mobilenetv3", attention=attention),
    )
    state = convert.to_torch_state_dict("hwl_mobilenetv3", variables)
    again = convert.from_torch("hwl_mobilenetv3", state, attention=attention)
    jax.tree.map(np.testing.assert_array_equal, again, variables)


@pytest.mark.slow
def test_forward_equals_the_released_network(golden, shapes):
    case = json.loads((golden / "forward_hwl_mobilenetv3.json").read_text())
    # The reference was made under the older name of the head, which the weights depend on.
    keys = {k.replace("head.", "keypoint_head.", 1): v for k, v in shapes[NAMES[0]].items()}
    variables = convert.from_torch(NAMES[0], recipe.state_dict(keys, case["gain"]))
    model = jaxpose.create_model(NAMES[0])
    images = recipe.images(*case["input"][:3])
    heatmaps = np.asarray(jax.jit(lambda v, x: model.apply(v, x, train=False))(variables, images))
    assert list(heatmaps.shape) == case["shape"]
    samples = heatmaps.reshape(-1)[recipe.sample_index(heatmaps.size)]
    error = np.abs(samples - case["samples"]).max() / case["std"]
    assert error < case["tol"]
    gap = np.abs(heatmaps[0] - heatmaps[1]).max() / case["std"]
    assert gap == pytest.approx(case["batch_gap"], rel=1e-3)


def test_prefix_and_batch_counters_are_optional(shapes):
    state = recipe.state_dict(shapes[NAMES[0]], 0.5)
    older = {
        key.replace("head.", "keypoint_head.", 1): value
        for key, value in state.items()
        if not key.endswith("num_batches_tracked")
    }
    jax.tree.map(
        np.testing.assert_array_equal,
        convert.from_torch(NAMES[0], older),
        convert.from_torch(NAMES[0], state),
    )


@pytest.mark.slow
def test_litepose_keys_are_all_accounted_for(shapes):
    """679 keys, 567 without batch counters; files of a wrapped network say module. before each."""
    state = recipe.state_dict(shapes["litepose_xs"], 0.5)
    weights = {key: v for key, v in state.items() if not key.endswith("num_batches_tracked")}
    assert (len(state), len(weights)) == (679, 567)
    wrapped = {f"module.{key}": value for key, value in weights.items()}
    jax.tree.map(
        np.testing.assert_array_equal,
        convert.from_torch("litepose_xs", wrapped, 14),
        convert.from_torch("litepose_xs", state, 14),
    )
    with pytest.raises(ValueError, match="missing 'deconv_raw.1.weight'.*nearest"):
        convert.from_torch("litepose_xs", changed(state, ["deconv_raw.1.weight"]), 14)
    with pytest.raises(ValueError, match="'final_.*' has shape .*num_keypoints=17"):
        convert.from_torch("litepose_xs", state)
    assert command.count_keypoints("litepose_xs", wrapped) == 14


def test_a_model_without_public_checkpoint_says_so():
    with pytest.raises(
        ValueError, match="wlitepose_xs: this model has no public PyTorch checkpoint"
    ):
        convert.from_torch("wlitepose_xs", {})
    with pytest.raises(ValueError, match="no public PyTorch checkpoint"):
        convert.to_torch_state_dict("wlitepose_xs", {})


def changed(state, remove=(), **add):
    return {key: value for key, value in state.items() if key not in remove} | add


@pytest.mark.parametrize(
    "change,message",
    [
        (
            lambda s: changed(s, ["backbone.layer4.se.conv1.conv.bias"]),
            "missing 'backbone.layer4.se.conv1.conv.bias'",
        ),
        (
            lambda s: changed(s) | {"head.final_layer.weights": np.zeros(3)},
            "unexpected 'head.final_layer.weights' .nearest 'head.final_layer.weight'",
        ),
        (
            lambda s: changed(s) | {"backbone.fc.num_batches_tracked": np.zeros(())},
            "unexpected 'backbone.fc.num_batches_tracked'",
        ),
        (
            lambda s: changed(s) | {"backbone.conv1.conv.weight": np.zeros((16, 3, 5, 5))},
            r"'backbone.conv1.conv.weight' has shape \[16, 3, 5, 5\].*needs \[16, 3, 3, 3\]",
        ),
        (
            lambda s: changed(s) | {"keypoint_head.final_layer.bias": np.zeros(17)},
            "under two prefixes",
        ),
    ],
)
def test_an_unexpected_key_is_named(change, message, shapes):
    state = recipe.state_dict(shapes[NAMES[0]], 0.5)
    with pytest.raises(ValueError, match=message):
        convert.from_torch(NAMES[0], change(state))


def test_a_wrong_joint_count_is_named(shapes):
    state = recipe.state_dict(shapes[NAMES[0]], 0.5)
    with pytest.raises(ValueError, match="final_layer.*num_keypoints=16"):
        convert.from_torch(NAMES[0], state, num_keypoints=16)


def test_unknown_model():
    with pytest.raises(ValueError, match="did you mean 'hwl_mobilenetv3'"):
        convert.from_torch("hwl_mobilenet_v3", {})
    with pytest.raises(ValueError, match="did you mean 'hwl_mobilenetv3'"):
        convert.to_torch_state_dict("hwl_mobilenet_v3", {})


def parse(*words):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args([str(word) for word in words])


@pytest.mark.slow
def test_import_verb_writes_a_run_folder(tmp_path, shapes):
    name = NAMES[0]
    state = recipe.state_dict(shapes[name], 0.5)
    state["head.final_layer.weight"] = state["head.final_layer.weight"][:16]
    state["head.final_layer.bias"] = state["head.final_layer.bias"][:16]
    file = tmp_path / "weights.pth"
    save_torch({"meta": {}, "state_dict": state}, file)
    folder = tmp_path / "run"
    assert command.run(parse(name, file, "-o", folder, "--size", "256x256", "--sigma", "3")) == 0

    from jaxpose import runs

    config, model, variables, skeleton = runs.load_run(folder)
    assert (config.model, tuple(config.input_size)) == (name, (256, 256))
    assert (config.eval.metric, config.eval.decode, config.sigma) == ("mpii", "quarter", 3.0)
    assert (skeleton.name, model.num_keypoints) == ("mpii", 16)
    jax.tree.map(
        np.testing.assert_array_equal,
        variables,
        convert.from_torch(name, state, num_keypoints=16),
    )


@pytest.mark.slow
def test_imported_litepose_is_a_bottomup_run(tmp_path, shapes):
    state = recipe.state_dict(shapes["litepose_xs"], 0.5)
    file, folder = tmp_path / "model_best.pth.tar", tmp_path / "run"
    save_torch(state, file)
    assert command.run(parse("litepose_xs", file, "-o", folder)) == 0

    from jaxpose import runs

    config, model, variables, skeleton = runs.load_run(folder)
    assert (config.task, tuple(config.input_size)) == ("associative_embedding", (256, 256))
    assert (config.eval.metric, config.eval.sizing, config.eval.nms_kernel) == (
        "crowdpose",
        "short_side",
        5,
    )
    assert (skeleton.name, model.num_keypoints) == ("crowdpose", 14)
    kernel = variables["params"]["head"]["fusion_1"]["raw"]["transposed_kernel"]
    np.testing.assert_array_equal(kernel[0, 3], state["deconv_raw.1.weight"][:, :, 3, 0])


@pytest.mark.parametrize(
    "words,message",
    [
        (("el_hrnet_w32",), "no public PyTorch checkpoint"),
        ((NAMES[0], "--size", "250x190"), "multiples of 32; the nearest is 256x192"),
        (("lightweight_openpose", "--size", "368x372"), "multiples of 8; the nearest is 368x376"),
    ],
)
def test_arguments_are_checked_before_the_file_is_read(tmp_path, words, message):
    with pytest.raises(ValueError, match=message):
        command.run(parse(words[0], tmp_path / "no.pth", *words[1:], "-o", tmp_path / "run"))


def test_skeleton_of_an_unusual_joint_count(tmp_path):
    with pytest.raises(ValueError, match="--skeleton"):
        command.choose_skeleton(None, 3)
    with pytest.raises(ValueError, match="17 keypoints, the checkpoint 3"):
        command.choose_skeleton("coco", 3)
    file = tmp_path / "train.json"
    file.write_text(json.dumps({"categories": [{"name": "p", "keypoints": ["a", "b", "c"]}]}))
    assert command.choose_skeleton(str(file), 3).joints == ("a", "b", "c")


def test_skeleton_of_a_file_is_that_of_the_first_category_with_joints(tmp_path):
    file = tmp_path / "train.json"
    first, second = {"id": 1, "name": "car"}, {"id": 2, "name": "p", "keypoints": ["a", "b", "c"]}
    file.write_text(json.dumps({"categories": [first, second, {"keypoints": ["d", "e", "f"]}]}))
    assert command.choose_skeleton(str(file), 3).joints == ("a", "b", "c")
    for categories in ([], [first], {"0": second}, None):
        file.write_text(json.dumps({"categories": categories}))
        with pytest.raises(ValueError, match=r"train\.json: no category has keypoint names"):
            command.choose_skeleton(str(file), 3)
    for content in ("[]", "{}"):
        file.write_text(content)
        with pytest.raises(ValueError, match=r"train\.json: cannot read COCO categories"):
            command.choose_skeleton(str(file), 3)
    file.write_text("{")
    with pytest.raises(ValueError, match=r"train\.json: file: not JSON"):
        command.choose_skeleton(str(file), 3)


def test_the_file_of_a_skeleton_may_have_a_byte_order_mark(tmp_path):
    file, category = tmp_path / "train.json", {"name": "p", "keypoints": ["a", "b", "ç"]}
    text = json.dumps({"categories": [category]}, ensure_ascii=False)
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        file.write_text(text, encoding=encoding)
        assert command.choose_skeleton(str(file), 3).joints == ("a", "b", "ç")


def test_options_are_literals_or_words():
    assert command.parse_option("width=0.5") == ("width", 0.5)
    assert command.parse_option("hard_sigmoid=hard_sigmoid_v1")[1] == "hard_sigmoid_v1"
    with pytest.raises(ValueError, match="KEY=VALUE"):
        command.parse_option("width")
