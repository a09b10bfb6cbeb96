"""The random view of a whole image against an independent implementation."""

import dataclasses

import numpy as np
import pytest

from input_pipeline import order
from input_pipeline.bottomup import augment
from input_pipeline.region import Region
from jaxpose import skeletons

OPTIONS = augment.Options(
    scale_type="short", flip=0.5, scale_min=0.75, scale_max=1.5, rotation=30.0, translate=40.0
)
MIDDLE = augment.Draws(zoom=0.5, angle=0.5, shift_x=0.5, shift_y=0.5, flip=0.9)


def view(size, output=(64, 64), **changes):
    return augment.augment(size, dataclasses.replace(MIDDLE, **changes), OPTIONS, output)


def test_numbers_of_the_view():
    plain = view((300, 400))
    np.testing.assert_allclose(plain.center, [200, 150])
    np.testing.assert_allclose(plain.scale, [1.125 * 1.5] * 2)  # the short side over 200 is 1.5
    assert plain.rotation == 0 and not plain.flip
    assert view((300, 400), flip=0.4999).flip and not view((300, 400), flip=0.5).flip
    assert view((300, 400), angle=0).rotation == -30
    assert view((300, 400), angle=0.75).rotation == 15
    np.testing.assert_allclose(view((401, 301), zoom=0).scale, [0.75 * 301 / 200] * 2)
    np.testing.assert_allclose(view((401, 301)).center, [150.5, 200.5])
    # 40 * 1.125 * 1.5 = 67.5, cut to 67: the 134 integers -67 ... 66.
    np.testing.assert_allclose(view((300, 400), shift_x=0, shift_y=0.9999).center, [133, 216])
    np.testing.assert_allclose(view((3, 3), shift_x=0).center, [1.5, 1.5])  # no room to move


def test_the_short_side_of_the_output_shows_the_square():
    wide, high = view((300, 400), (64, 128)), view((300, 400), (128, 64))
    np.testing.assert_allclose(wide.scale, [2 * 1.6875, 1.6875])
    np.testing.assert_allclose(high.scale, [1.6875, 2 * 1.6875])
    shown = np.array([[[200 - 337.5 / 2, 150 - 337.5 / 2, 1], [200, 150, 1]]])
    same = np.arange(2)
    points = augment.warp_keypoints(shown, wide, (64, 128), same)[0, :, :2]
    np.testing.assert_allclose(points, [[32, 0], [64, 32]], atol=1e-4)
    points = augment.warp_keypoints(shown, high, (128, 64), same)[0, :, :2]
    np.testing.assert_allclose(points, [[0, 32], [32, 64]], atol=1e-4)


@pytest.mark.parametrize("image", [(300, 400), (400, 300)])
@pytest.mark.parametrize("output", [(64, 64), (64, 128), (128, 64)])
def test_long_scale_type_shows_the_whole_image(image, output):
    options = dataclasses.replace(OPTIONS, scale_type="long", scale_min=1.0, scale_max=1.0)
    chosen = augment.augment(image, MIDDLE, options, output)
    corners = np.array([[[0, 0, 1], [image[1], image[0], 1]]])
    (x0, y0), (x1, y1) = augment.warp_keypoints(corners, chosen, output, np.arange(2))[0, :, :2]
    extent = np.array(image[::-1]) * min(output[0] / image[0], output[1] / image[1])
    np.testing.assert_allclose([x1 - x0, y1 - y0], extent, rtol=1e-5)
    np.testing.assert_allclose([x0 + x1, y0 + y1], [output[1], output[0]], rtol=1e-5)
    twice = dataclasses.replace(options, scale_min=2.0, scale_max=2.0)
    farther = augment.augment(image, MIDDLE, twice, output)
    np.testing.assert_allclose(farther.scale, 2 * chosen.scale)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale_type": "shrot"}, "'shrot' must be one of short, long; did you mean 'short'"),
        ({"scale_type": "whole"}, "'whole' must be one of short, long$"),
        ({"scale_min": 2.0}, "scale_min=2 and scale_max=1.5 must be"),
        ({"scale_min": 0.0}, "scale_min=0 and"),
    ],
)
def test_invalid_options(change, message):
    with pytest.raises(ValueError, match=message):
        augment.Options.from_config(dataclasses.asdict(OPTIONS) | change)


def test_draws_are_uniform_and_separate():
    draws = np.array([dataclasses.astuple(augment.draw(0, 1, index)) for index in range(3000)])
    np.testing.assert_allclose(draws.mean(axis=0), 0.5, atol=0.02)
    np.testing.assert_allclose(np.cov(draws.T), np.eye(5) / 12, atol=0.01)
    np.testing.assert_array_equal(draws[7], order.uniforms(0, 1, 7, 5))


def positions(chosen, size, width, height):
    """Positions of the output pixels in the image: after undoing the mirror, the inverse of
    r (x - cx) / side + r / 2, rotated by minus the angle about the middle."""
    h, w = size
    x, y = np.meshgrid(np.arange(w, dtype=float), np.arange(h, dtype=float))
    if chosen.flip:
        x = w - 1 - x
    z = (x - w / 2) + 1j * (y - h / 2)
    z = z * np.exp(1j * np.deg2rad(chosen.rotation))  # undoes the rotation by -rotation
    side = 200 * chosen.scale[0] * min(size) / w
    z = z * side / min(size)
    return z.real + chosen.center[0], z.imag + chosen.center[1]


def sample(mask, x, y):
    """Bilinear, zero outside."""
    padded = np.pad(mask, 2)
    x, y = np.clip(x, -1.5, mask.shape[1] + 0.5) + 2, np.clip(y, -1.5, mask.shape[0] + 0.5) + 2
    i, j = np.floor(y).astype(int), np.floor(x).astype(int)
    v, u = y - i, x - j
    top = padded[i, j] * (1 - u) + padded[i, j + 1] * u
    bottom = padded[i + 1, j] * (1 - u) + padded[i + 1, j + 1] * u
    return top * (1 - v) + bottom * v


@pytest.mark.parametrize("output", [(64, 64), (64, 96), (96, 64)])
@pytest.mark.parametrize("index", range(4))
def test_masks_against_their_definition(output, index):
    rng = np.random.default_rng(index)
    mask = (rng.random((9, 12)) < 0.7).astype(np.uint8).repeat(20, 0).repeat(25, 1)
    draws = dataclasses.replace(augment.draw(0, 0, index), flip=index % 2)
    chosen = augment.augment(mask.shape, draws, OPTIONS, output)
    for part in (4, 2):
        size = (output[0] // part, output[1] // part)
        warped = augment.warp_mask(Region.whole(255 * mask), chosen, size)
        expected = sample(mask, *positions(chosen, size, *mask.shape[::-1]))
        sure = np.abs(expected - 0.5) > 0.08  # OpenCV interpolates in steps of 1/32 pixel
        assert sure.mean() > 0.9 and warped.dtype == np.uint8 and warped.shape == size
        np.testing.assert_array_equal(warped[sure], expected[sure] > 0.5)


@pytest.mark.parametrize("flip", [0.1, 0.9])
def test_joints_against_their_definition(flip):
    skeleton = skeletons.COCO
    rng = np.random.default_rng(0)
    people = np.concatenate([rng.uniform(0, 300, (3, 17, 2)), np.ones((3, 17, 1))], -1)
    people[1, 5] = 0  # no left shoulder
    size = (96, 128)
    chosen = augment.augment((300, 400), dataclasses.replace(MIDDLE, flip=flip, angle=0.9, zoom=0.2,
                                                           shift_x=0.1), OPTIONS, size)  # fmt: skip
    warped = augment.warp_keypoints(people, chosen, size, skeleton.flip_indices)
    x, y = positions(chosen, size, 400, 300)
    for n in range(3):
        for k in range(17):
            source = people[n, skeleton.flip_indices[k] if flip < 0.5 else k]
            if not source[2]:
                assert not warped[n, k].any()
                continue
            u, v, flag = warped[n, k]
            assert flag == 1
            if 0 <= u < 127 and 0 <= v < 95:  # the map back, interpolated
                i, j = int(v), int(u)
                corner = np.array([x[i, j], y[i, j]])
                right = np.array([x[i, j + 1], y[i, j + 1]]) - corner
                down = np.array([x[i + 1, j], y[i + 1, j]]) - corner
                back = corner + (u - j) * right + (v - i) * down
                np.testing.assert_allclose(back, source[:2], atol=1e-2)
    assert warped.dtype == np.float32
    assert not warped[1, 6 if flip < 0.5 else 5].any()


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="0 < scale_min <= scale_max"):
        augment.Options.from_config(dataclasses.asdict(OPTIONS) | {"scale_min": 2.0})
