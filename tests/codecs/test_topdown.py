"""The top-down codec against numpy references, golden files, and worked cases. All H != W."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpose import geometry
from jaxpose.codecs import topdown
from jaxpose.skeletons import COCO
from tests.helpers import plain

INPUT, MAP = (128, 96), (32, 24)


@pytest.mark.slow
def test_encode_golden(golden):
    case = json.loads((golden / "topdown_codec.json").read_text())["encode"]
    maps, weights = topdown.encode(
        case["keypoints"], case["visible"], case["input"], case["heatmap"], case["sigma"]
    )
    assert maps.shape == (32, 24, 17)
    plain.assert_stored(maps, weights, case, atol=1e-7)


@pytest.mark.parametrize("sigma", [1, 2, 3])
def test_encode_equals_numpy_on_random_people(sigma):
    random = np.random.default_rng(sigma)
    encode = jax.jit(topdown.encode, static_argnums=(2, 3, 4))
    for _ in range(10):
        keypoints = random.uniform(-50, 180, (17, 2)).round(3)
        visible = (random.random(17) > 0.2).astype(np.float32)
        maps, weights = encode(keypoints, visible, INPUT, MAP, sigma)
        expected, expected_weights = plain.encode(keypoints, visible, INPUT, MAP, sigma)
        np.testing.assert_array_equal(weights, expected_weights)
        np.testing.assert_allclose(maps, expected, atol=2e-7)


@pytest.mark.slow
def test_encode_borders_and_truncation_toward_zero():
    # sigma 2: radius 6, so the last centers that reach a 24 x 32 map are 29 / 37 and -7.
    cases = {
        (4 * 29, 40): 1, (4 * 30, 40): 0, (40, 4 * 37): 1, (40, 4 * 38): 0,
        (-4 * 7, 40): 1, (-4 * 7 - 2, 40): 1, (-4 * 8 - 2, 40): 0, (40, -4 * 8 - 2): 0,
    }  # fmt: skip
    keypoints = np.array(list(cases), np.float32)
    visible = np.ones(len(cases), np.float32)
    maps, weights = topdown.encode(keypoints, visible, INPUT, MAP, 2)
    expected, expected_weights = plain.encode(keypoints, visible, INPUT, MAP, 2)
    np.testing.assert_array_equal(weights, list(cases.values()))
    np.testing.assert_array_equal(weights, expected_weights)
    np.testing.assert_allclose(maps, expected, atol=2e-7)
    # -1.57 / 4 + 0.5 > 0, and -5 / 4 + 0.5 = -0.75 truncates to 0 where rounding down gives -1.
    maps, _ = topdown.encode([[-1.57, -5.0], [-5.9, -6.1]], [1, 1], INPUT, MAP, 2)
    assert maps[0, 0, 0] == 1 and maps[0, 0, 1] < 1
    np.testing.assert_allclose(maps[0, 0, 1], math.exp(-1 / 8), rtol=1e-6)


@pytest.mark.slow
def test_encode_peak_is_one_and_outside_the_square_is_zero():
    maps, _ = topdown.encode([[48.0, 60.0]], [1], INPUT, MAP, 2)
    maps = np.asarray(maps[..., 0])
    assert maps.max() == maps[15, 12] == 1
    assert np.count_nonzero(maps) == 13 * 13
    assert maps[15 - 6, 12 - 6] > 0 and maps[15 - 7, 12] == 0


@pytest.mark.slow
def test_encode_ignores_the_coordinates_of_unlabeled_keypoints():
    maps, weights = topdown.encode([[np.nan, 3.0], [40, 40]], [0, 0], INPUT, MAP, 2)
    assert not np.asarray(maps).any() and not np.asarray(weights).any()


def test_encode_batch_is_encode_for_each():
    random = np.random.default_rng(7)
    people = np.concatenate(
        [random.uniform(-20, 120, (4, 17, 2)), random.integers(0, 2, (4, 17, 1))], -1
    ).astype(np.float32)
    maps, weights = jax.jit(topdown.encode_batch, static_argnums=(1, 2, 3))(people, INPUT, MAP, 2.0)
    assert maps.shape == (4, 32, 24, 17) and weights.shape == (4, 17)
    for person, one_map, one_weight in zip(people, maps, weights, strict=True):
        expected = topdown.encode(person[:, :2], person[:, 2], INPUT, MAP, 2.0)
        np.testing.assert_allclose(one_map, expected[0], atol=1e-7)
        np.testing.assert_array_equal(one_weight, expected[1])


def _decode_numpy(maps, center, scale):
    """One map at a time, as the conventions say."""
    batch, height, width, joints = maps.shape
    points, scores = np.zeros((batch, joints, 2)), np.zeros((batch, joints))
    for b in range(batch):
        for k in range(joints):
            one = maps[b, :, :, k]
            y, x = divmod(int(one.argmax()), width)
            scores[b, k] = one.max()
            if one.max() <= 0:
                x = y = 0
            point = np.array([x, y], float)
            if 1 < x < width - 1 and 1 < y < height - 1:
                point += 0.25 * np.sign(
                    [one[y, x + 1] - one[y, x - 1], one[y + 1, x] - one[y - 1, x]]
                )
            middle = np.array([width / 2, height / 2])
            points[b, k] = (point - middle) * (200 * scale[b, 0] / width) + center[b]
    return points, scores


def test_decode_equals_numpy_on_noise():
    random = np.random.default_rng(3)
    # Coarse values, so that equal maxima and equal neighbors occur; some maps all <= 0.
    maps = random.integers(-4, 5, (6, 7, 5, 40)).astype(np.float32)
    maps[:, :, :, ::7] = -np.abs(maps[:, :, :, ::7])
    center, scale = random.uniform(50, 300, (6, 2)), random.uniform(0.3, 3, (6, 2))
    points, scores = jax.jit(topdown.decode)(maps, center, scale)
    expected, expected_scores = _decode_numpy(maps, center, scale)
    np.testing.assert_allclose(points, expected, atol=1e-3)
    np.testing.assert_array_equal(scores, expected_scores)


def _decode_on_heatmap(maps):
    """Decode with a crop that leaves points on the heatmap's own grid."""
    height, width = maps.shape[1:3]
    center = np.array([[width / 2, height / 2]] * len(maps))
    scale = np.array([[width / 200, height / 200]] * len(maps))
    return topdown.decode(maps, center, scale)


@pytest.mark.parametrize(
    "position, moved",
    [
        ((2, 2), True), ((3, 4), True), ((6, 8), True),
        ((1, 4), False), ((3, 1), False), ((0, 4), False), ((7, 4), False), ((3, 9), False),
        ((1, 1), False),
    ],
)  # fmt: skip
def test_quarter_offset_needs_both_axes_inside(position, moved):
    x, y = position  # on a map 10 high and 8 wide
    maps = np.zeros((1, 10, 8, 1), np.float32)
    maps[0, y, x] = 1
    if x < 7:
        maps[0, y, x + 1] = 0.5
    if y > 0:
        maps[0, y - 1, x] = 0.25
    points, scores = _decode_on_heatmap(maps)
    expected = (x + 0.25, y - 0.25) if moved else (x, y)
    np.testing.assert_allclose(points[0, 0], expected, atol=1e-6)
    assert scores[0, 0] == 1


def test_quarter_offset_between_equal_neighbors_is_zero():
    maps = np.zeros((1, 10, 8, 1), np.float32)
    maps[0, 4, 3] = 1
    np.testing.assert_allclose(_decode_on_heatmap(maps)[0][0, 0], (3, 4), atol=1e-6)


def test_maximum_not_positive_gives_the_origin():
    for value in (0.0, -1.0):
        maps = np.full((1, 10, 8, 1), -2, np.float32)
        maps[0, 5, 4] = value
        points, scores = _decode_on_heatmap(maps)
        np.testing.assert_allclose(points[0, 0], (0, 0), atol=1e-6)
        assert scores[0, 0] == value


def test_first_maximum_in_row_major_order_wins():
    maps = np.zeros((1, 10, 8, 1), np.float32)
    maps[0, 1, 7] = maps[0, 2, 1] = maps[0, 9, 0] = 2
    np.testing.assert_allclose(_decode_on_heatmap(maps)[0][0, 0], (7, 1), atol=1e-6)


@pytest.mark.slow
def test_decode_of_encoded_targets():
    """From image to map and back: within half a heatmap pixel plus the quarter offset."""
    random = np.random.default_rng(5)
    box = (40.0, 60.0, 90.0, 200.0)
    center, scale = geometry.box_to_center_scale(box, INPUT)
    joints = random.uniform((40, 60), (130, 260), (17, 2))
    in_crop = geometry.transform(joints, geometry.affine(center, scale, 0, INPUT))
    maps, weights = topdown.encode(in_crop, np.ones(17), INPUT, MAP, 2)
    assert np.asarray(weights).all()
    points, scores = topdown.decode(maps[None], center[None], scale[None])
    pixel = 200 * scale[0] / MAP[1]
    np.testing.assert_allclose(points[0], joints, atol=0.51 * pixel)
    np.testing.assert_array_equal(scores, np.ones((1, 17)))


def test_flip_back_by_definition():
    maps = np.random.default_rng(8).random((2, 3, 5, 4)).astype(np.float32)
    pairs = [(0, 2), (1, 3)]
    plain = np.asarray(topdown.flip_back(maps, pairs, shift=False))
    moved = np.asarray(topdown.flip_back(maps, pairs))
    swap = [2, 3, 0, 1]
    for k in range(4):
        for x in range(5):
            np.testing.assert_array_equal(plain[:, :, x, k], maps[:, :, 4 - x, swap[k]])
    np.testing.assert_array_equal(moved[:, :, 1:], plain[:, :, :-1])
    np.testing.assert_array_equal(moved[:, :, 0], plain[:, :, 0])
    np.testing.assert_array_equal(topdown.flip_back(plain, pairs, shift=False), maps)


@pytest.mark.parametrize("pairs", [[(0, 4)], [(0, 1), (1, 2)], [(-1, 2)]])
def test_flip_back_rejects_pairs_that_do_not_fit(pairs):
    with pytest.raises(ValueError, match="at most once"):
        topdown.flip_back(np.zeros((1, 2, 3, 4)), pairs)


@pytest.mark.slow
def test_shift_makes_the_mirrored_target_equal_the_direct_one():
    """For a network that outputs the exact targets of an image and of its mirror image.

    With the shift, both outputs are equal for every integer pixel (column 0 is a copy and not
    compared).
    """
    for x in range(INPUT[1]):
        keypoints = np.stack([np.full(17, x), np.linspace(0, INPUT[0] - 1, 17)], -1)
        direct, _ = topdown.encode(keypoints, np.ones(17), INPUT, MAP, 2)
        mirror, _ = topdown.encode(plain.mirrored(keypoints, INPUT[1]), np.ones(17), INPUT, MAP, 2)
        back = topdown.flip_back(mirror[None], COCO.flip_pairs)[0]
        np.testing.assert_allclose(back[:, 1:], direct[:, 1:], atol=1e-6)
        unshifted = topdown.flip_back(mirror[None], COCO.flip_pairs, shift=False)[0]
        assert np.abs(unshifted - direct).max() > 0.05


@pytest.mark.slow
def test_symmetric_input_gives_a_symmetric_result():
    """A person that is its own mirror image, through flip test and decoding."""
    random = np.random.default_rng(9)
    keypoints = np.zeros((17, 2), np.float32)
    keypoints[:, 0] = (INPUT[1] - 1) / 2
    for left, right in COCO.flip_pairs:
        keypoints[left] = random.integers(12, 84), random.integers(20, 110)
        keypoints[right] = INPUT[1] - 1 - keypoints[left, 0], keypoints[left, 1]
    np.testing.assert_array_equal(plain.mirrored(keypoints, INPUT[1])[1:], keypoints[1:])
    maps = topdown.encode(keypoints, np.ones(17), INPUT, MAP, 2)[0][None]
    average = (maps + topdown.flip_back(maps, COCO.flip_pairs)) / 2
    center, scale = geometry.box_to_center_scale((0, 0, 96, 128), INPUT, padding=1.0)
    points, scores = (np.asarray(a[0]) for a in topdown.decode(average, center[None], scale[None]))
    for left, right in COCO.flip_pairs:
        np.testing.assert_allclose(points[left, 0] + points[right, 0], INPUT[1], atol=1e-4)
        np.testing.assert_allclose(points[left, 1], points[right, 1], atol=1e-4)
        np.testing.assert_allclose(scores[[left, right]], 1, atol=1e-6)
    np.testing.assert_allclose(points[1:], keypoints[1:], atol=3.01)


def _gaussians(centers):
    return plain.gaussians(centers, MAP)


def _decode_dark_on_heatmap(maps, **options):
    height, width = maps.shape[1:3]
    center = np.array([[width / 2, height / 2]] * len(maps))
    scale = np.array([[width / 200, height / 200]] * len(maps))
    return jax.jit(lambda *a: topdown.decode_dark(*a, **options))(maps, center, scale)


def test_dark_gives_the_center_between_pixels():
    centers = np.random.default_rng(10).uniform((7, 7), (17, 25), (17, 2))
    points, scores = _decode_dark_on_heatmap(_gaussians(centers))
    np.testing.assert_allclose(points[0], centers, atol=0.02)
    quarter = np.asarray(_decode_on_heatmap(_gaussians(centers))[0])
    assert np.abs(points - centers).max() < 0.1 * np.abs(quarter - centers).max()
    np.testing.assert_array_equal(scores, _gaussians(centers).max((1, 2)))


def _dark_numpy(one, kernel):
    """The published procedure on one map, smoothing by OpenCV."""
    height, width = one.shape
    y, x = np.unravel_index(one.argmax(), one.shape)
    log = np.log(np.maximum(plain.blurred(one, kernel), 1e-10))
    if not (1 < x < width - 2 and 1 < y < height - 2):
        return np.array([x, y], float)
    gx, gy = (log[y, x + 1] - log[y, x - 1]) / 2, (log[y + 1, x] - log[y - 1, x]) / 2
    hxx = (log[y, x + 2] - 2 * log[y, x] + log[y, x - 2]) / 4
    hyy = (log[y + 2, x] - 2 * log[y, x] + log[y - 2, x]) / 4
    hxy = (log[y + 1, x + 1] - log[y - 1, x + 1] - log[y + 1, x - 1] + log[y - 1, x - 1]) / 4
    return np.array([x, y]) - np.linalg.solve([[hxx, hxy], [hxy, hyy]], [gx, gy])


@pytest.mark.parametrize("kernel", [11, 17])
def test_dark_equals_the_published_procedure(kernel):
    random = np.random.default_rng(11)
    centers = random.uniform((-1, -1), (24, 32), (40, 2))
    maps = _gaussians(centers) + 0.05 * random.random((1, 32, 24, 40)).astype(np.float32)
    points, _ = _decode_dark_on_heatmap(maps, kernel=kernel)
    for k in range(40):
        expected = _dark_numpy(maps[0, :, :, k], kernel)
        np.testing.assert_allclose(points[0, k], expected, atol=2e-3)


@pytest.mark.parametrize("sigma, kernel", [(0.5, 3), (1.0, 5), (1.5, 7), (2.0, 11), (3.0, 17)])
def test_dark_kernel_fits_the_sigma_of_the_targets(sigma, kernel):
    maps = np.random.default_rng(5).uniform(size=(1, 24, 20, 3)).astype(np.float32)
    box = np.float32([[40, 48]]), np.float32([[0.4, 0.48]])
    actual = topdown.decoder("dark", sigma)(maps, *box)
    jax.tree.map(
        np.testing.assert_array_equal, actual, topdown.decode_dark(maps, *box, kernel=kernel)
    )
    assert topdown.decoder("quarter", sigma) is topdown.decode


@pytest.mark.slow
def test_dark_without_a_peak_stays_finite_and_near_the_maximum():
    random = np.random.default_rng(12)
    maps = np.concatenate(
        [random.standard_normal((4, 32, 24, 8)), np.zeros((1, 32, 24, 8)), -np.ones((1, 32, 24, 8))]
    ).astype(np.float32)
    points, _ = _decode_dark_on_heatmap(maps)
    assert np.isfinite(points).all()
    np.testing.assert_allclose(points[4:], 0, atol=1e-5)
    flat = maps[:4].reshape(4, -1, 8).argmax(1)
    assert np.abs(points[:4] - np.stack([flat % 24, flat // 24], -1)).max() <= 2 + 1e-5


def test_dark_rejects_an_even_kernel():
    with pytest.raises(ValueError, match="odd"):
        topdown.decode_dark(np.zeros((1, 4, 4, 1)), np.zeros((1, 2)), np.ones((1, 2)), kernel=10)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, jnp.bfloat16])
def test_arithmetic_is_float32_for_any_input(dtype):
    maps = _gaussians([(9, 12)]).astype(dtype)
    center, scale = np.array([[333.25, 250.75]], np.float64), np.array([[1.1, 1.4]], np.float64)
    for decode in (topdown.decode, topdown.decode_dark):
        points, scores = decode(maps, center, scale)
        assert points.dtype == scores.dtype == jnp.float32
    # A coordinate near 333 needs more than bfloat16's 8 bits.
    expected = (9 - 12) * 200 * 1.1 / 24 + 333.25
    points, _ = topdown.decode(maps, center, scale)
    np.testing.assert_allclose(points[0, 0, 0], expected, rtol=1e-6)
    keypoints, visible = np.array([[40, 60]]).astype(dtype), np.ones(1).astype(dtype)
    maps, weights = topdown.encode(keypoints, visible, INPUT, MAP, 2)
    assert maps.dtype == weights.dtype == jnp.float32
