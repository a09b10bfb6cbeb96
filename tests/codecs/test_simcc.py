"""SimCC: golden files of mmpose 1.x, formulas, and the way back to the image. H != W.

tests/golden/simcc.json holds results of mmpose's public code (`mmpose/codecs/simcc_label.py`, its
flip test and `KLDiscretLoss`) on inputs that `tests/helpers/recipe.py` makes.
"""

import json

import jax
import numpy as np
import pytest

from jaxpose import geometry
from jaxpose.codecs import simcc
from jaxpose.skeletons import COCO
from tests.helpers import recipe

INPUT = (128, 96)
SIGMA = (3.5, 4.0)
encode = jax.jit(simcc.encode, static_argnums=(2, 3, 4))


@pytest.fixture
def case(golden):
    return json.loads((golden / "simcc.json").read_text())


def vectors(case):
    """The inputs of `decode` in the golden file, as it says."""
    seed, batch, joints = case["seed"], case["batch"], case["joints"]
    result = []
    for axis, side in enumerate(case["input"][::-1]):
        count = 2 * side
        place = recipe.rnd(seed + 10 * axis, (batch, joints, 2))
        noise = 0.1 * (recipe.rnd(seed + 10 * axis + 5, (batch, joints, count)) - 0.5)
        distance = np.arange(count) - place[..., :1] * count
        peak = (0.1 + 0.9 * place[..., 1:]) * np.exp(-(distance**2) / 60)
        result.append((noise + peak).astype(np.float32))
    x, y = result
    x[0, 3] = -0.5 - np.abs(x[0, 3])
    y[1, 4] = 0
    x[1, 5] = 0
    x[1, 5, [40, 41]] = 0.5
    x[1, 6, 0], y[1, 6, -1] = 3, 2
    return x, y


def test_encode_golden(case):
    case = case["encode"]
    keypoints, visible = np.float32(case["keypoints"]), np.float32(case["visible"])
    *axes, weights = encode(keypoints, visible, tuple(case["input"]), tuple(case["sigma"]))
    np.testing.assert_array_equal(weights, case["weight"])
    for name, vector in zip("xy", map(np.asarray, axes), strict=True):
        stored = case[name]
        assert list(vector.shape) == stored["shape"]
        np.testing.assert_allclose(vector.sum(1), stored["sum"], rtol=2e-6, atol=1e-6)
        moment = vector @ np.arange(vector.shape[1])
        np.testing.assert_allclose(moment, stored["moment"], rtol=2e-6, atol=1e-5)
        for row, peak in enumerate(stored["peak"]):
            assert vector[row].argmax() == peak if peak is not None else not vector[row].any()
        samples = vector.ravel()[recipe.sample_index(vector.size, len(stored["samples"]))]
        np.testing.assert_allclose(samples, stored["samples"], atol=1e-6)


def test_targets_are_gaussians_over_all_bins():
    x, y, weights = encode([[20.1, 30.7], [20.25, 30.75]], [1, 1], INPUT, SIGMA)
    bins_x, bins_y = np.arange(192), np.arange(256)
    # 40.2 and 61.4; 40.5 and 61.5 are rounded half to even.
    for row, (mu_x, mu_y) in enumerate([(40, 61), (40, 62)]):
        expected = np.exp(-((bins_x - mu_x) ** 2) / (2 * 3.5**2))
        np.testing.assert_allclose(x[row], expected, atol=1e-6)
        np.testing.assert_allclose(y[row], np.exp(-((bins_y - mu_y) ** 2) / 32), atol=1e-6)
    np.testing.assert_array_equal(weights, [1, 1])


def test_an_unlabeled_keypoint_keeps_its_weight_and_one_outside_loses_it():
    keypoints = [[np.nan, 3], [20, 30], [-200, 30], [20, 400], [20, 30]]
    visible = [0, 0.25, 1, 1, 1]
    x, y, weights = map(np.asarray, encode(keypoints, visible, INPUT, SIGMA))
    np.testing.assert_array_equal(weights, [0, 0.25, 0, 0, 1])
    assert not x[:4].any() and not y[:4].any()
    assert x[4].max() == y[4].max() == 1


def test_a_batch_is_encoded_person_by_person(rng):
    people = rng.uniform(-20, 120, (3, 5, 3)).astype(np.float32)
    people[..., 2] = rng.random((3, 5)) < 0.7
    batch = jax.jit(simcc.encode_batch, static_argnums=(1, 2))(people, INPUT, SIGMA)
    for row, person in enumerate(people):
        one = encode(person[:, :2], person[:, 2], INPUT, SIGMA)
        for whole, part in zip(batch, one, strict=True):
            np.testing.assert_array_equal(whole[row], part)


@pytest.mark.parametrize("device", [False, True])
def test_decode_golden(case, device):
    case = case["decode"]
    arrays = (*vectors(case), np.float32(case["center"]), np.float32(case["scale"]))
    keypoints, scores = (jax.jit(simcc.decode) if device else simcc.decode)(*arrays)
    assert isinstance(keypoints, np.ndarray) != device
    np.testing.assert_allclose(keypoints, case["keypoints"], atol=1e-3)
    np.testing.assert_allclose(scores, case["scores"], atol=1e-6)
    assert keypoints.dtype == scores.dtype == np.float32
    # A crop that is the input itself leaves points in input pixels.
    height, width = case["input"]
    center = np.float32([[width / 2, height / 2]] * 2)
    itself = np.float32([[width, height]] * 2) / geometry.PIXEL_STD
    points, _ = simcc.decode(*arrays[:2], center, itself)
    np.testing.assert_allclose(points, case["input_keypoints"], atol=1e-4)


@pytest.mark.parametrize("device", [False, True])
def test_flip_golden(case, device):
    case = case["decode"]
    pairs = [tuple(pair) for pair in case["pairs"]]
    function = jax.jit(simcc.flip_back, static_argnums=2) if device else simcc.flip_back
    for name, back in zip("xy", function(*vectors(case), tuple(pairs)), strict=True):
        flat, stored = np.asarray(back).ravel(), case["flip"][name]
        samples = flat[recipe.sample_index(flat.size, len(stored))]
        np.testing.assert_allclose(samples, stored, atol=1e-6)


def test_a_mirrored_image_is_one_bin_off():
    keypoints = np.float32([[31, 40]] * 17)
    mirrored = np.float32([[INPUT[1] - 1 - 31, 40]] * 17)
    visible = np.ones(17)
    x, y, _ = (np.asarray(part)[None] for part in encode(keypoints, visible, INPUT, SIGMA))
    other_x, other_y, _ = (np.asarray(v)[None] for v in encode(mirrored, visible, INPUT, SIGMA))
    back_x, back_y = simcc.flip_back(other_x, other_y, COCO.flip_pairs)
    np.testing.assert_array_equal(back_y, y)
    np.testing.assert_allclose(back_x[..., 1:], x[..., :-1], atol=1e-6)


def test_pairs_that_do_not_fit_are_refused():
    maps = np.zeros((1, 3, 8), np.float32)
    with pytest.raises(ValueError, match=r"0\.\.2 at most once"):
        simcc.flip_back(maps, maps, [(0, 3)])


def test_the_crop_may_have_any_aspect_ratio():
    x, y = np.zeros((1, 1, 8), np.float32), np.zeros((1, 1, 16), np.float32)
    x[0, 0, 2], y[0, 0, 12] = 1, 3
    points, scores = simcc.decode(x, y, [[50, 60]], [[0.1, 0.8]])
    np.testing.assert_allclose(points, [[[50 - 10 + 2 / 8 * 20, 60 - 80 + 12 / 16 * 160]]])
    assert scores == 1


@pytest.mark.parametrize(
    "size, sigma",
    [
        ((256, 192), (4.9, 5.66)),
        ((384, 288), (6, 6.93)),
        ((256, 256), (5.66, 5.66)),
    ],
)
def test_sigma_of_the_public_configurations(size, sigma):
    assert simcc.default_sigma(size) == sigma


def test_heatmaps_have_the_score_at_the_keypoint(rng):
    x, y = rng.normal(size=(2, 3, 192)), rng.normal(size=(2, 3, 256))
    maps = simcc.heatmaps(x, y, 8)
    assert maps.shape == (2, 32, 24, 3)
    scores = simcc.decode(x, y, np.zeros((2, 2)), np.ones((2, 2)))[1]
    np.testing.assert_allclose(maps.max((1, 2)), scores)
    row, column = y[1, 2].argmax() // 8, x[1, 2].argmax() // 8
    np.testing.assert_allclose(maps[1, row, column, 2], scores[1, 2])
