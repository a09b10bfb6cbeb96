"""Crop geometry: worked examples, the three-point construction, and round trips."""

import json
import math

import cv2
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpose import geometry


@pytest.mark.parametrize(
    "number,step,nearest",
    [(80, 32, 96), (79, 32, 64), (112, 32, 128), (64, 32, 64), (1, 32, 32), (0, 8, 8), (7, 3, 6)],
)
def test_nearest_multiple(number, step, nearest):
    assert geometry.nearest_multiple(number, step) == nearest


def test_box_example():
    center, scale = geometry.box_to_center_scale((10, 20, 100, 300), (256, 192))
    np.testing.assert_array_equal(center, [60, 170])
    np.testing.assert_array_equal(scale, [1.40625, 1.875])


def test_box_wide_and_batched():
    boxes = np.array([[10, 20, 100, 300], [0, 0, 300, 100]])
    center, scale = geometry.box_to_center_scale(boxes, (256, 192))
    np.testing.assert_allclose(center, [[60, 170], [150, 50]])
    np.testing.assert_allclose(scale, [[1.40625, 1.875], [1.875, 2.5]])
    # Whatever the box, the crop has the aspect of the input.
    np.testing.assert_allclose(scale[:, 0] / scale[:, 1], 192 / 256)


def test_box_padding():
    _, scale = geometry.box_to_center_scale((0, 0, 192, 256), (256, 192), padding=1.0)
    np.testing.assert_allclose(scale, [0.96, 1.28], rtol=1e-6)


def test_affine_example(golden):
    case = json.loads((golden / "topdown_codec.json").read_text())["affine"]
    matrix = geometry.affine(case["center"], case["scale"], case["rotation"], case["output"])
    np.testing.assert_allclose(matrix, case["matrix"], atol=2e-5)
    expected = [[0.92376, 0.53333, -149.2307], [-0.53333, 0.92376, 23.2479]]
    np.testing.assert_allclose(matrix, expected, atol=1e-4)


def _three_points(center, scale, rotation, output_size):
    """The construction of the public code: center, a point above it, and their perpendicular."""
    height, width = output_size
    angle = math.pi * rotation / 180
    up = scale[0] * 200 * -0.5
    source = [np.array(center, float)]
    source.append(source[0] + [-up * math.sin(angle), up * math.cos(angle)])
    target = [np.array([width / 2, height / 2])]
    target.append(target[0] + [0, width * -0.5])
    for points in (source, target):
        direction = points[0] - points[1]
        points.append(points[1] + [-direction[1], direction[0]])
    left = np.concatenate([np.array(source), np.ones((3, 1))], axis=1)
    return np.linalg.solve(left, np.array(target)).T


def test_affine_is_the_three_point_construction(rng):
    for _ in range(100):
        center, scale = rng.uniform(-50, 700, 2), rng.uniform(0.1, 4, 2)
        rotation = rng.uniform(-180, 180)
        size = tuple(rng.integers(32, 400, 2))
        np.testing.assert_allclose(
            geometry.affine(center, scale, rotation, size),
            _three_points(center, scale, rotation, size),
            atol=1e-8,
        )


def test_udp_affine_golden(golden):
    case = json.loads((golden / "topdown_udp.json").read_text())["affine"]
    matrix = geometry.affine(
        case["center"], case["scale"], case["rotation"], case["output"], udp=True
    )
    np.testing.assert_allclose(matrix, case["matrix"], atol=2e-5)
    expected = [[0.918949, 0.530556, -148.453491], [-0.531250, 0.920152, 23.157103]]
    np.testing.assert_allclose(matrix, expected, atol=1e-5)
    points = geometry.transform(np.array(case["points"]), matrix)
    np.testing.assert_allclose(points, case["mapped"], atol=2e-5)


def test_udp_crop_of_a_mirrored_image_is_the_mirrored_crop(rng):
    for _ in range(20):
        center, scale = rng.uniform(0, 400, 2), rng.uniform(0.1, 4, 2)
        (height, width), rotation = rng.integers(32, 400, 2), rng.uniform(-180, 180)
        image_width = int(rng.integers(100, 900))
        points = rng.uniform(0, 400, (5, 2))
        matrix = geometry.affine(center, scale, rotation, (height, width), udp=True)
        direct = geometry.transform(points, matrix)
        for each in (center, points):
            each[..., 0] = image_width - 1 - each[..., 0]
        matrix = geometry.affine(center, scale, -rotation, (height, width), udp=True)
        mirrored = geometry.transform(points, matrix)
        np.testing.assert_allclose(mirrored[:, 0], width - 1 - direct[:, 0], atol=1e-8)
        np.testing.assert_allclose(mirrored[:, 1], direct[:, 1], atol=1e-8)
    # Without rotation, the edges of the box fall on the centers of the outermost pixels.
    matrix = geometry.affine((50, 80), (0.3, 0.5), 0, (64, 48), udp=True)
    corners = geometry.transform(np.array([[20.0, 30.0], [80.0, 130.0]]), matrix)
    np.testing.assert_allclose(corners, [[0, 0], [47, 63]], atol=1e-9)


def test_transform_and_inverse(rng):
    matrix = geometry.affine((150, 200), (0.9, 1.2), 30, (256, 192))
    points = rng.uniform(0, 400, (5, 17, 2))
    there = geometry.transform(points, matrix)
    np.testing.assert_allclose(geometry.transform([[150.0, 200.0]], matrix), [[96, 128]])
    back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    np.testing.assert_allclose(geometry.transform(there, back), points, atol=1e-9)
    on_device = geometry.transform(jnp.asarray(points, jnp.float32), jnp.asarray(matrix))
    np.testing.assert_allclose(on_device, there, atol=1e-3)


def test_heatmap_to_image_undoes_the_crop(rng):
    points = rng.uniform(0, 500, (3, 17, 2))
    center = rng.uniform(100, 400, (3, 2))
    scale = rng.uniform(0.5, 3, (3, 1)) * [1, 4 / 3]
    on_map = np.stack(
        [
            geometry.transform(p, geometry.affine(c, s, 0, (256, 192))) / 4
            for p, c, s in zip(points, center, scale, strict=True)
        ]
    )
    back = geometry.heatmap_to_image(on_map, center, scale, (64, 48))
    np.testing.assert_allclose(back, points, atol=1e-9)
    single = geometry.heatmap_to_image(on_map[0], center[0], scale[0], (64, 48))
    np.testing.assert_allclose(single, points[0], atol=1e-9)
    matrix = geometry.affine(center[0], scale[0], 0, (256, 192), udp=True)
    on_map = geometry.transform(points[0], matrix) * (47 / 191, 63 / 255)
    single = geometry.heatmap_to_image(on_map, center[0], scale[0], (64, 48), udp=True)
    np.testing.assert_allclose(single, points[0], atol=1e-9)


@pytest.mark.parametrize(
    "box, expected",
    [
        ((10, 20, 30, 40), (10, 20, 29, 39)),
        ((-5, -5, 30, 40), (0, 0, 29, 39)),
        ((80, 50, 100, 100), (80, 50, 19, 9)),
        ((120, 10, 20, 20), None),  # right of the image
        ((10, 20, 1, 40), None),  # no width is left
        ((10, 20, 0, 0), None),
        ((10, 20, -3, 10), None),
    ],
)
def test_clip_box(box, expected):
    assert geometry.clip_box(box, (60, 100)) == expected


def test_crop_moves_pixels_and_fills_with_zero(rng):
    image = rng.integers(1, 256, (20, 30, 3), np.uint8)
    matrix = np.array([[1, 0, -4], [0, 1, 3]], float)
    out = geometry.crop(image, matrix, (16, 24))
    assert out.shape == (16, 24, 3) and out.dtype == np.uint8
    np.testing.assert_array_equal(out[3:, :], image[:13, 4:28])
    assert not out[:3].any()


@pytest.mark.parametrize("size", [(64, 48), (101, 77), (256, 192)])
def test_crop_of_four_channels_has_the_values_of_three(rng, size):
    for _ in range(10):
        height, width = rng.integers(20, 400, 2)
        image = cv2.GaussianBlur(rng.integers(0, 256, (height, width, 3), np.uint8), (0, 0), 1.5)
        scale = rng.uniform(0.3, 2) * width / geometry.PIXEL_STD * np.ones(2)
        center = rng.uniform(0.2, 0.8, 2) * (width, height)
        matrix = geometry.affine(center, scale, rng.choice([0, 30]) * rng.normal(), size)
        expected = cv2.warpAffine(image, matrix, size[::-1], flags=cv2.INTER_LINEAR)
        np.testing.assert_array_equal(geometry.crop(image, matrix, size), expected)


def test_crop_agrees_with_the_matrix():
    rows, columns = np.mgrid[:100, :80]
    blob = np.exp(-((columns - 30) ** 2 + (rows - 40) ** 2) / 18).astype(np.float32)
    image = np.repeat(blob[..., None], 3, axis=2)
    matrix = geometry.affine((35, 45), (0.25, 1 / 3), 25, (64, 48))
    out = geometry.crop(image, matrix, (64, 48))[..., 0]
    rows, columns = np.mgrid[:64, :48]
    center = np.array([(columns * out).sum(), (rows * out).sum()]) / out.sum()
    np.testing.assert_allclose(center, geometry.transform([30.0, 40.0], matrix), atol=0.01)


def test_normalize():
    images = np.full((1, 2, 3, 3), 255, np.uint8)
    expected = (1 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225]
    for out in (geometry.normalize(images), geometry.normalize(jnp.asarray(images))):
        assert out.dtype == np.float32
        np.testing.assert_allclose(out[0, 0, 0], expected, rtol=1e-5)


@pytest.mark.parametrize(
    "image, size",
    [
        ((480, 640), (512, 704)),
        ((640, 480), (704, 512)),
        ((427, 640), (512, 768)),
        ((1080, 1920), (512, 960)),
        ((640, 640), (512, 512)),
    ],
)
def test_bottomup_size_examples(image, size):
    actual, center, scale = geometry.bottomup_size(image, 512)
    assert actual == size and all(isinstance(side, int) for side in actual)
    height, width = image
    np.testing.assert_array_equal(center, [int(width / 2 + 0.5), int(height / 2 + 0.5)])
    assert center.dtype == scale.dtype == np.float32
    # The short side fits exactly, and both sides of the crop have one scale.
    matrix = geometry.affine(center, scale, 0, size)
    np.testing.assert_allclose(matrix[0, 0], min(size) / min(image), rtol=1e-6)
    np.testing.assert_allclose(200 * scale * matrix[0, 0], size[::-1], rtol=1e-6)
    np.testing.assert_allclose(geometry.transform(center, matrix), np.array(size[::-1]) / 2)


def test_bottomup_size_of_several_scales():
    sizes = {s: geometry.bottomup_size((480, 640), 512, s, 0.5) for s in (0.5, 1.0, 2.0)}
    assert {s: size[0] for s, size in sizes.items()} == {
        0.5: (256, 384),
        1.0: (512, 768),
        2.0: (1024, 1536),
    }
    for _, center, scale in sizes.values():  # they show the same region
        np.testing.assert_array_equal(center, [320, 240])
        np.testing.assert_allclose(scale, [3.6, 2.4], rtol=1e-6)
    # A short side that is no multiple of 64 is brought up to one; odd sides have their center
    # half a pixel further.
    size, center, scale = geometry.bottomup_size((301, 201), 500)
    assert size == (768, 512)
    np.testing.assert_array_equal(center, [101, 151])
    np.testing.assert_allclose(scale, [201 / 200, 768 / 512 * 201 / 200], rtol=1e-6)


@pytest.mark.parametrize("image", [(480, 640), (640, 480), (333, 1000), (50, 50)])
@pytest.mark.parametrize("size", [(256, 256), (448, 640)])
def test_bottomup_fit_shows_the_whole_image(image, size):
    center, scale = geometry.bottomup_fit(image, size)
    matrix = geometry.affine(center, scale, 0, size)
    (left, top), (right, bottom) = geometry.transform([[0, 0], image[::-1]], matrix)
    zoom = min(size[0] / image[0], size[1] / image[1])
    np.testing.assert_allclose(matrix[0, 0], zoom, rtol=1e-6)
    slack = 1e-3
    assert left >= -slack and top >= -slack
    assert right <= size[1] + slack and bottom <= size[0] + slack
    np.testing.assert_allclose([left + right, top + bottom], size[::-1], atol=2 * slack)
    points = np.array([[10.0, 20.0], [3.5, 7.25]])
    there = geometry.transform(points, matrix)
    np.testing.assert_allclose(
        geometry.heatmap_to_image(there, center, scale, size), points, atol=1e-4
    )
