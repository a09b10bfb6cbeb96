"""UDP: golden files of mmpose 1.x, an independent reference, round trips and worked cases. H != W.

tests/golden/topdown_udp.json holds results of mmpose's public code (`mmpose/codecs/udp_heatmap.py`)
on inputs that `tests/helpers/recipe.py` makes.
"""

import json

import jax
import numpy as np
import pytest

from jaxpose import geometry
from jaxpose.codecs import topdown
from jaxpose.skeletons import COCO
from tests.helpers import plain, recipe

INPUT, MAP = (128, 96), (32, 24)
encode = jax.jit(topdown.encode, static_argnums=(2, 3, 4, 5))


@pytest.fixture
def case(golden):
    return json.loads((golden / "topdown_udp.json").read_text())


def gaussians(centers, sigma=2.0, size=MAP):
    return plain.gaussians(centers, size, sigma)


def decode_on_heatmap(maps, **options):
    """Decodes with a crop that leaves points on the heatmap's own grid, by numpy and by jax."""
    height, width = maps.shape[1:3]
    center = np.float32([[(width - 1) / 2, (height - 1) / 2]] * len(maps))
    scale = np.float32([[(width - 1) / 200, (height - 1) / 200]] * len(maps))

    def decode(maps, center, scale):
        return topdown.decode(maps, center, scale, udp=True, **options)

    host = decode(maps, center, scale)
    device = jax.jit(decode)(maps, center, scale)
    assert all(isinstance(each, np.ndarray) for each in host)
    np.testing.assert_allclose(device[0], host[0], atol=2e-4)
    np.testing.assert_array_equal(device[1], host[1])
    return host


# --- targets ------------------------------------------------------------------------------------


def test_encode_golden(case):
    case = case["encode"]
    sizes = tuple(case["input"]), tuple(case["heatmap"])
    keypoints, visible = np.float32(case["keypoints"]), np.float32(case["visible"])
    maps, weights = encode(keypoints, visible, *sizes, case["sigma"], True)
    plain.assert_stored(maps, weights, case, atol=1e-6)


def test_the_device_encodes_as_plain_python():
    random = np.random.default_rng(1)
    encode_batch = jax.jit(topdown.encode_batch, static_argnums=(1, 2, 3, 4))
    people = random.uniform(-50, 180, (5, 17, 3)).round(3)
    people[..., 2] = random.random((5, 17)) > 0.2
    maps, weights = encode_batch(people, INPUT, MAP, 2, True)
    for person, one_map, one_weight in zip(people, maps, weights, strict=True):
        expected, expected_weights = plain.encode(
            person[:, :2], person[:, 2], INPUT, MAP, 2, udp=True
        )
        np.testing.assert_array_equal(one_weight, expected_weights)
        np.testing.assert_allclose(one_map, expected, atol=2e-6)


def test_the_gaussian_is_centered_between_pixels():
    # x is heatmap pixel 12 exactly, y lies 0.4 below pixel 15.
    x, y = 12 * 95 / 23, 15.4 * 127 / 31
    maps, _ = encode(np.float32([[x, y]]), np.ones(1), INPUT, MAP, 2, True)
    column = np.asarray(maps[:, 12, 0])
    np.testing.assert_allclose(column[[15, 16]], np.exp(np.array([-0.16, -0.36]) / 8), rtol=1e-5)
    assert np.flatnonzero(column).tolist() == list(range(9, 22))  # the square around pixel 15


# --- the flip test ------------------------------------------------------------------------------


def test_a_mirrored_target_is_the_direct_one_without_a_shift():
    for x in range(INPUT[1]):
        keypoints = np.stack([np.full(17, x), np.linspace(0, INPUT[0] - 1, 17)], -1)
        direct, mirror = (
            np.asarray(encode(points, np.ones(17), INPUT, MAP, 2, True)[0])
            for points in (keypoints, plain.mirrored(keypoints, INPUT[1]))
        )
        back = topdown.flip_back(mirror[None], COCO.flip_pairs, shift=False)[0]
        np.testing.assert_allclose(back, direct, atol=1e-5)


# --- decoding -----------------------------------------------------------------------------------


def golden_maps(case):
    (h, w), joints, sigma = case["heatmap"], case["joints"], case["sigma"]
    shape = (case["batch"], h, w, joints)
    maps = 0.02 * recipe.rnd(case["seed"], shape)
    position = recipe.rnd(case["seed"] + 1, (case["batch"], joints, 3))
    for b, one in enumerate(position):
        centers = one[:, :2] * (w - 1, h - 1)
        maps[b] += (0.3 + 0.9 * one[:, 2]) * gaussians(centers, sigma, (h, w))[0]
    maps[0, ..., 0] = 0
    maps[0, 5, 6, 0] = 0.5
    special = gaussians([(-0.3, 9.4), (w - 1, h - 1), (8.25, 11.7)], sigma, (h, w))
    maps[0, ..., 1:4] = special[0] * (0.8, 1, 1)
    return maps.astype(np.float32)


def test_decode_golden(case):
    case = case["decode"]
    maps, assured = golden_maps(case), np.array(case["used"])
    center, scale = np.float32(case["center"]), np.float32(case["scale"])
    decode = jax.jit(topdown.decode, static_argnames=("udp", "kernel"))
    for function in (topdown.decode, decode):
        points, scores = function(maps, center, scale, udp=True, kernel=case["kernel"])
        assert assured.all()
        np.testing.assert_allclose(points, case["keypoints"], atol=2e-4)  # of 575 image pixels
        np.testing.assert_allclose(scores, case["scores"], atol=1e-6)


def decode_numpy(one, kernel):
    """Position on one map in float64; OpenCV blurs."""
    height, width = one.shape
    y, x = np.unravel_index(one.argmax(), one.shape)
    smooth = plain.blurred(one.astype(np.float64), kernel)
    log = np.pad(np.log(np.clip(smooth, 0.001, 50)), 1, mode="edge")[y : y + 3, x : x + 3]
    gradient = np.array([log[1, 2] - log[1, 0], log[2, 1] - log[0, 1]]) / 2
    dxx, dyy = log[1, 2] - 2 * log[1, 1] + log[1, 0], log[2, 1] - 2 * log[1, 1] + log[0, 1]
    dxy = log[2, 2] - log[1, 2] - log[2, 1] + 2 * log[1, 1] - log[1, 0] - log[0, 1] + log[0, 0]
    hessian = np.array([[dxx, dxy / 2], [dxy / 2, dyy]]) + np.finfo(np.float32).eps * np.eye(2)
    return np.array([x, y]) - np.linalg.solve(hessian, gradient)


@pytest.mark.parametrize("kernel", [11, 17])
def test_decode_equals_a_reference_inside_and_at_the_borders(kernel):
    random = np.random.default_rng(11)
    centers = random.uniform((-1, -1), (24, 32), (40, 2))
    maps = gaussians(centers) + 0.05 * random.random((1, 32, 24, 40)).astype(np.float32)
    points, scores = decode_on_heatmap(maps, kernel=kernel)
    expected = [decode_numpy(maps[0, :, :, k], kernel) for k in range(40)]
    np.testing.assert_allclose(points[0], expected, atol=2e-4)
    np.testing.assert_array_equal(scores, maps.max((1, 2)))


def test_round_trip():
    size = (256, 192)
    random = np.random.default_rng(5)
    box = (40.0, 60.0, 168.0, 224.0)  # the crop is 210 x 280 pixels
    center, scale = geometry.box_to_center_scale(box, size)
    joints = random.uniform((40, 60), (208, 284), (17, 2))
    in_crop = geometry.transform(joints, geometry.affine(center, scale, 0, size, udp=True))
    maps, weights = map(np.asarray, encode(in_crop, np.ones(17), size, (64, 48), 2, True))
    assert weights.all()
    box = center[None], scale[None]
    points, scores = topdown.decode(maps[None], *box, udp=True)
    np.testing.assert_allclose(points[0], joints, atol=0.006)
    assert (scores > 0.93).all() and scores.max() < 1  # peaks between pixels
    half_a_switch = topdown.decode(maps[None], *box)[0]
    assert np.abs(half_a_switch[0] - joints).max() > 0.5


def test_clean_gaussians_single_pixels_and_peaks_at_the_border():
    maps = gaussians([(8.25, 11.7), (0, 0), (-0.3, 9.0)])
    maps[..., 1] = 0
    maps[0, 5, 6, 1] = 0.5
    points, scores = decode_on_heatmap(maps)
    np.testing.assert_allclose(points[0], [(8.25, 11.7), (6, 5), (-0.5, 9.0)], atol=1e-4)
    assert scores[0, 1] == 0.5


def test_first_maximum_of_the_map_before_the_blur():
    maps = np.zeros((1, 32, 24, 1), np.float32)
    maps[0, 3, 20] = maps[0, 8, 4] = 1
    maps[0, 7:10, 3:6] = np.maximum(maps[0, 7:10, 3:6], 0.9)  # higher after the blur
    points, scores = decode_on_heatmap(maps)
    np.testing.assert_allclose(points[0, 0], (20, 3), atol=1e-4)
    assert scores[0, 0] == 1


def test_weak_and_too_high_maps_stay_at_their_maximum():
    maps = np.concatenate([gaussians([(8.3, 11.6)])] * 2, -1) * np.float32([0.0009, 1e6])
    points, _ = decode_on_heatmap(maps)
    np.testing.assert_array_equal(points[0], [(8, 12)] * 2)


def test_a_maximum_that_is_not_positive_is_at_the_origin():
    maps = np.full((1, 32, 24, 3), -2, np.float32)
    maps[0, 5, 4] = 0, -1, -1e-30
    points, scores = decode_on_heatmap(maps)
    np.testing.assert_allclose(points, 0, atol=1e-6)
    np.testing.assert_array_equal(scores, np.float32([[0, -1, -1e-30]]))


def test_no_map_gives_nan():
    random = np.random.default_rng(2)
    maps = random.integers(-2, 3, (4, 8, 6, 50)).astype(np.float32)  # flat parts, ties, borders
    maps[1] *= 0
    maps[2] = 1
    maps[3] = np.ldexp(maps[3], random.integers(-140, 120, 50))  # also denormal and huge
    center = scale = np.ones((4, 2), np.float32)
    for points in (
        topdown.decode(maps, center, scale, udp=True)[0],
        jax.jit(lambda x: topdown.decode(x, center, scale, udp=True)[0])(maps),
    ):
        assert np.isfinite(points).all()


@pytest.mark.parametrize("kernel", [10, 1])
def test_an_even_kernel_is_refused(kernel):
    with pytest.raises(ValueError, match=f"the UDP kernel must be odd .* got {kernel}"):
        topdown.decode(gaussians([(5, 5)]), np.ones((1, 2)), np.ones((1, 2)), True, kernel)
