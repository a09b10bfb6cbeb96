"""Pixels augmented on the devices, against OpenCV."""

import cv2
import jax
import numpy as np
import pytest

from jaxpose.mesh import make_mesh, shard_batch
from jaxpose.training import device_pixels

shift_hsv = jax.jit(device_pixels.shift_hsv)


def opencv(image, color):
    """The same by OpenCV's 8-bit HSV."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV).astype(int) + color
    hsv[..., 0] %= 180
    return cv2.cvtColor(np.clip(hsv, 0, 255).astype(np.uint8), cv2.COLOR_HSV2RGB)


@pytest.mark.parametrize(
    "color", [(0, 0, 0), (4, 0, 0), (-5, 0, 0), (0, 29, 0), (0, -30, 0), (0, 0, 25), (3, -20, -30)]
)
def test_colors_are_near_those_of_opencv(rng, color):
    images = rng.integers(0, 256, (2, 32, 24, 3), np.uint8)
    images[0, :4] = [[[0, 0, 0]], [[255, 255, 255]], [[128, 128, 128]], [[255, 0, 0]]]
    found = np.asarray(shift_hsv(images, np.array([color, (0, 0, 0)], np.int32)))
    np.testing.assert_array_equal(found[1], images[1])
    difference = np.abs(found[0].astype(int) - opencv(images[0], color))
    # OpenCV rounds the hue to 2 degrees, of which 60 are the whole range of a channel, and the
    # saturation to a level, which a dark pixel multiplies.
    assert difference.max() <= 7 and difference.mean() < 1.5


def test_the_formulas_of_hsv():
    images = np.array([[[[200, 100, 100], [0, 0, 0]]]], np.uint8)
    (((red, black),),) = np.asarray(shift_hsv(images, np.array([[60, 0, 0]])))
    assert red.tolist() == [100, 200, 100] and not black.any()  # 120 degrees from red to green
    ((gray, _),) = np.asarray(shift_hsv(images, np.array([[0, -255, 0]])))[0]
    assert gray.tolist() == [200, 200, 200]
    ((bright, same),) = np.asarray(shift_hsv(images, np.array([[0, 0, 50]])))[0]
    assert bright.tolist() == [250, 125, 125] and same.tolist() == [50, 50, 50]


def test_a_rectangle_is_set_to_zero(rng):
    images = rng.integers(1, 256, (2, 8, 10, 3), np.uint8)
    found = np.asarray(device_pixels.drop(images, np.array([[2, 3, 6, 7], [0, 0, 0, 0]])))
    expected = images.copy()
    expected[0, 3:7, 2:6] = 0
    np.testing.assert_array_equal(found, expected)


def test_a_batch_loses_the_numbers_and_one_without_stays(rng):
    mesh = make_mesh()
    batch = {
        "image": rng.integers(1, 256, (8, 8, 10, 3), np.uint8),
        "keypoints": np.zeros((8, 3, 3), np.float32),
        "hole": np.tile(np.array([1, 2, 3, 4], np.int32), (8, 1)),
    }
    assert device_pixels.keys_of(batch) == ("hole",)
    augment = device_pixels.make_augment(mesh)
    result = augment(shard_batch(batch, mesh))
    assert set(result) == {"image", "keypoints"} and not result["image"][:, 2:4, 1:3].any()
    del batch["hole"]
    placed = shard_batch(batch, mesh)
    assert augment(placed) is placed
