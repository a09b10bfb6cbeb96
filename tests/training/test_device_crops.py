"""Crops made on the devices: against OpenCV's, and whether the pixels fit."""

import cv2
import jax
import numpy as np
import pytest

from input_pipeline.on_device import LANES, Packed
from jaxpose import geometry
from jaxpose.mesh import make_mesh
from jaxpose.training import device_crops

SIZE = (64, 48)
crop = jax.jit(device_crops.crop, static_argnums=4)


def pack(images):
    """`images` in one array, as `input_pipeline.on_device.pack` arranges them."""
    rows, table, start = [], [], 0
    for image in images:
        height, width = image.shape[:2]
        flat = np.zeros((-(-height * width // LANES) * LANES, 4), np.uint8)
        flat[: height * width, :3] = image.reshape(-1, 3)
        rows.append(flat.view("<u4").reshape(-1, LANES))
        table.append((start, height, width))
        start += len(rows[-1])
    return Packed(np.concatenate(rows), np.array(table, np.int32))


def noise(rng, count=6):
    shapes = rng.integers(1, 150, (count, 2))
    return [rng.integers(0, 256, (*shape, 3), np.uint8) for shape in shapes.tolist()]


def test_crops_of_random_matrices_are_within_one_level_of_opencv(rng):
    """2% of the values of noise differ from OpenCV's, which rounds ties and weights differently."""
    images = noise(rng)
    packed = pack(images)
    count = 120
    row = rng.integers(0, len(images), count).astype(np.int32)
    matrices = [
        geometry.affine(rng.uniform(-50, 200, 2), [rng.uniform(0.1, 1.5)] * 2, angle, SIZE)
        for angle in rng.uniform(-180, 180, count)
    ]
    inverse = np.stack([cv2.invertAffineTransform(m) for m in matrices]).astype(np.float32)
    crops = crop(packed.pixels, packed.table, row, inverse, SIZE)
    expected = [geometry.crop(images[k], m, SIZE) for k, m in zip(row, matrices, strict=True)]
    difference = np.abs(np.asarray(crops).astype(int) - np.stack(expected))
    assert difference.max() <= 1 and difference.mean() < 0.03
    assert np.stack(expected).any(axis=(1, 2, 3)).sum() > 50  # crops that show something


def test_whole_pixels_are_copied_and_the_rest_is_zero(rng):
    image = rng.integers(1, 256, (20, 30, 3), np.uint8)
    packed = pack([noise(rng, 1)[0], image])
    shift = np.array([[[1, 0, -5], [0, 1, -7]]], np.float32)
    row = np.array([1], np.int32)
    (found,) = np.asarray(crop(packed.pixels, packed.table, row, shift, SIZE))
    np.testing.assert_array_equal(found[7:27, 5:35], image)
    assert found.astype(int).sum() == image.astype(int).sum()


def test_placing_makes_the_image_and_keeps_the_rest(rng):
    images, lines = noise(rng), []
    mesh = make_mesh(jax.devices()[:1])
    crops = device_crops.DeviceCrops(pack(images), SIZE, mesh, lines.append)
    megabytes = (pack(images).pixels.nbytes + 6 * 12) / 1e6
    assert lines == [f"6 training examples on each device: {megabytes:,.0f} MB"]
    batch = {
        "row": np.array([4, 2], np.int32),
        "matrix": np.stack([np.eye(2, 3, dtype=np.float32)] * 2),
        "keypoints": rng.random((2, 5, 3), np.float32),
        "image_id": np.array([1, 2]),
    }
    placed = crops.place(batch, ("image", "keypoints"))
    assert sorted(placed) == ["image", "keypoints"]
    np.testing.assert_array_equal(placed["keypoints"], batch["keypoints"])
    expected = [geometry.crop(images[k], np.eye(2, 3), SIZE) for k in (4, 2)]
    np.testing.assert_array_equal(placed["image"], expected)


def test_pixels_that_do_not_fit_are_refused():
    known = {"bytes_limit": 1000, "bytes_in_use": 300}
    device_crops.check_fits(700, [known, None, {}])
    with pytest.raises(
        ValueError, match="needs 701 bytes on each device, where 700 are free: --config.data.on_dev"
    ):
        device_crops.check_fits(701, [None, known])
