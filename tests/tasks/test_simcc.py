"""The task SimCC: its loss, predictions, comparison of files, and settings."""

import jax
import numpy as np
import pytest

from configs import common
from jaxpose import losses, skeletons, tasks
from jaxpose.codecs import simcc as codec
from jaxpose.config import ConfigError
from jaxpose.tasks import simcc, torch_losses
from jaxpose.tasks.agreement import FP32, MismatchError, tolerance_of
from jaxpose.tasks.objective import simcc_sigma
from tests.tasks.test_objectives import Memory

SIZE = (64, 96)
K = 17


def settings(**changes):
    config = common.simcc()
    config.input_size = SIZE
    config.update_from_flattened_dict(changes)
    return config


def batch(count=2):
    made = simcc.sample_batch(SIZE, count, K)
    made["keypoints"][0, :3, 2] = 0
    made["keypoints"][1, 0, :2] = 1000  # outside
    return made


def outputs_at(points, heights=1.0):
    """x [B, K, 2W] and y [B, K, 2H] with a Gaussian at each point [B, K, 2] of the input."""
    made = []
    for axis, count in enumerate(codec.bins(SIZE)):
        distance = np.arange(count) - 2 * points[..., axis, None]
        made.append((heights * np.exp(-(distance**2) / 50)).astype(np.float32))
    return tuple(made)


def points(count=3, seed=0):
    """Points [count, K, 2] at bins."""
    rng = np.random.default_rng(seed)
    return rng.integers(8, (2 * SIZE[1] - 8, 2 * SIZE[0] - 8), (count, K, 2)) / 2


# ------------------------------------------------------------------------------------- training


def test_the_objective_is_the_mean_over_the_batch():
    config = settings(**{"loss.beta": 5.0, "sigma": (3.0, 4.0)})
    model = Memory(((K, 192), (K, 128)))
    made = batch()
    variables = model.init(jax.random.key(0), np.zeros((2, *SIZE, 3)), train=False)
    params, stats = variables["params"], variables["batch_stats"]
    objective = simcc.make_objective(model, config)
    assert set(objective.inputs) == set(made) and objective.terms == ()
    value, (stats, parts) = jax.jit(objective.loss)(params, stats, made)
    assert stats["calls"] == 1 and parts == {}
    encode = jax.jit(codec.encode_batch, static_argnums=(1, 2))
    x, y, weights = encode(made["keypoints"], SIZE, (3.0, 4.0))
    assert np.sum(weights) == 2 * K - 4
    kl = jax.jit(losses.simcc_kl)
    expected = kl(params["map0"], params["map1"], x, y, weights, 5.0) / 2
    np.testing.assert_allclose(value, expected, rtol=1e-6)

    pytest.importorskip("torch")
    import torch

    theirs = torch_losses.simcc(config, made)
    given = [torch.from_numpy(np.array(params[name])) for name in ("map0", "map1")]
    np.testing.assert_allclose(theirs(given), value, rtol=1e-5)


def test_sigma_is_that_of_rtmpose_unless_it_is_set():
    assert simcc_sigma(settings(input_size=(256, 192))) == (4.9, 5.66)
    assert simcc_sigma(settings(sigma=(1.0, 2.5))) == (1, 2.5)
    for wrong in ((1.0,), (1.0, -2.0), ("a", "b")):
        with pytest.raises(ConfigError, match="must be two numbers greater than 0, for x and y"):
            simcc.check_settings(settings(sigma=wrong))


def test_outputs_of_another_shape_are_named():
    model = Memory(((K, 192), (K, 64)))
    variables = model.init(jax.random.key(0), np.zeros((2, *SIZE, 3)), train=False)
    loss = simcc.make_objective(model, settings()).loss
    message = r"Memory returns .* but the task needs x \(2, 17, 192\) and y \(2, 17, 128\)"
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(loss, variables["params"], variables["batch_stats"], batch())


def test_a_heatmap_network_is_refused():
    config = settings(model="hwl_mobilenetv3", **{"data.root": "."})
    with pytest.raises(ConfigError, match="has the task topdown, but the recipe is for simcc"):
        tasks.validate(config, devices=1)
    config = common.get_config()
    config.model, config.data.root = "rtmpose_s", "."
    with pytest.raises(ConfigError, match="start from configs/custom_topdown.py:rtmpose_s"):
        tasks.validate(config, devices=1)


# ----------------------------------------------------------------------------------- prediction


def test_the_flip_test_averages_before_the_maximum():
    at = points(1)
    flipped = np.stack([SIZE[1] - 1 - at[..., 0], at[..., 1]], -1)[:, skeletons.COCO.flip_indices]
    center = np.float32([[SIZE[1] / 2, SIZE[0] / 2]])
    scale = np.float32([[SIZE[1], SIZE[0]]]) / 200
    crop = (center, scale, skeletons.COCO)
    decoder = simcc.decoder_from_config(settings())
    assert decoder.flip and not simcc.decoder_for_estimate(decoder, flip=False).flip
    direct, mirrored = outputs_at(at), outputs_at(flipped)
    keypoints, scores = decoder.decode(direct, None, *crop)
    np.testing.assert_allclose(keypoints, at, atol=1e-4)
    np.testing.assert_allclose(scores, 1)
    averaged, scores = decoder.decode(direct, mirrored, *crop)
    # The reversed vector is one bin off: the mean has two equal maxima, of which the first counts.
    np.testing.assert_allclose(averaged, at, atol=1e-4)
    assert (scores < 1).all() and (scores > 0.98).all()


def test_maps_to_draw_show_the_keypoints():
    at = points(2)
    maps, tags = simcc.maps(outputs_at(at, heights=0.5), skeletons.COCO)
    assert tags is None and maps.shape == (2, 16, 24, K)
    np.testing.assert_allclose(maps.max((1, 2)), 0.5)
    row, column = np.unravel_index(maps[1, ..., 4].argmax(), maps.shape[1:3])
    assert (column, row) == tuple((at[1, 4] // 4).tolist())


# ------------------------------------------------------------------------------- exported files


def compared(expected, actual, tolerance=FP32):
    decoder = simcc.Decoder()
    return simcc.compare(expected, actual, SIZE, decoder, skeletons.COCO, tolerance)


def test_a_sound_file_is_accepted_and_a_broken_one_refused():
    expected = outputs_at(points())
    same = compared(expected, expected)
    assert same.holds and same.ties == 0 and same.distances.keypoints == 3 * K
    assert str(same).startswith("outputs differ by at most 0 (largest value 1), keypoints by 0 px")
    half = tuple(part.astype(np.float16).astype(np.float32) for part in expected)
    assert compared(expected, half, tolerance_of("fp16")).holds
    assert not compared(expected, half).holds
    for broken in (
        tuple(np.zeros_like(part) for part in expected),
        tuple(np.roll(part, 2, axis=2) for part in expected),
        tuple(np.roll(part, 1, axis=1) for part in expected),
        (expected[0], expected[1] * np.nan),
    ):
        assert not compared(expected, broken, tolerance_of("fp16")).holds


def test_equal_maxima_are_ties():
    x, y = outputs_at(points())
    x[0, 0, [40, 90]] = 2  # the file prefers the other one
    actual = x.copy(), y
    actual[0][0, 0, 90] += 1e-5
    result = compared((x, y), actual)
    assert result.ties == 1 and result.holds


def test_a_file_that_decodes_is_compared_by_its_keypoints():
    at = points()
    x, y = outputs_at(at)
    x[0, 0] = -1  # no keypoint
    keypoints, scores = (np.asarray(part) for part in simcc.FILE_DECODING.decode((x, y)))
    assert keypoints[0, 0].tolist() == [-0.5, -0.5] and scores[0, 0] == -1
    np.testing.assert_array_equal(keypoints.reshape(-1, 2)[1:], at.reshape(-1, 2)[1:])
    same = compared((x, y), (keypoints, scores))
    assert same.holds and same.ties == 0 and same.distances.keypoints == 3 * K
    for broken in (
        (keypoints + 0.5, scores),
        (keypoints[..., ::-1], scores),
        (np.roll(keypoints, 1, axis=1), scores),
        (keypoints, scores * 0.99),
        (keypoints * np.nan, scores),
    ):
        assert not compared((x, y), broken).holds


def test_a_file_that_decodes_has_no_flip_test():
    config = settings()
    metadata = {"input_size": list(SIZE), "decoded": True}
    assert simcc.fit_settings(config, metadata, "file").startswith("no flip test")
    assert not config.eval.flip
    assert simcc.fit_settings(config, metadata, "file") == ""


@pytest.mark.parametrize("change", ["one", "shape"])
def test_outputs_of_another_kind_are_refused(change):
    x, y = outputs_at(points())
    actual = (x,) if change == "one" else (x, y[..., 1:])
    with pytest.raises(MismatchError, match="the file returns outputs of shape"):
        compared((x, y), actual)


def test_metadata_describe_the_codec():
    config = settings(input_size=(256, 192))
    values = simcc.metadata(config, skeletons.COCO, 2)
    assert values["codec"] == {"name": "simcc", "split_ratio": 2.0, "sigma": [4.9, 5.66]}
    assert [output["name"] for output in values["outputs"]] == ["simcc_x", "simcc_y"]
    values["input_size"] = [256, 192]
    assert simcc.decoder_from_metadata(values) == simcc.Decoder(input_size=(256, 192))
    decoder = simcc.decoder_from_metadata(values | {"decoded": True})
    assert decoder == simcc.Decoder(flip=False, input_size=(256, 192), decoded=True)
    assert simcc.fit_settings(config, {"input_size": [256, 192]}, "file") == ""
    with pytest.raises(ValueError, match=r"file has the input size \(64, 96\), but config.input"):
        simcc.fit_settings(config, {"input_size": [64, 96]}, "file")


def test_sample_decoding_runs():
    description, decode = simcc.sample_decoding(SIZE, simcc.Decoder())
    assert description == "1 person, SimCC" and decode()[0].shape == (1, K, 2)
    decoder = simcc.Decoder(flip=False, input_size=SIZE, decoded=True)
    description, decode = simcc.sample_decoding(SIZE, decoder)
    assert description == "1 person, keypoints" and decode()[0].shape == (1, K, 2)
