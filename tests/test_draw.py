"""Drawing of poses and contact sheets."""

import numpy as np
import pytest

from jaxpose import draw, skeletons

PAIR = skeletons.Skeleton("pair", ("left_hand", "right_hand"), ((0, 1),), (0.05, 0.05))


def test_joints_have_the_color_of_their_side():
    image = np.zeros((40, 60, 3), np.uint8)
    canvas = draw.draw_pose(image, np.array([[10, 20], [50, 20]]), None, PAIR)
    assert tuple(canvas[20, 10]) == draw.LEFT
    assert tuple(canvas[20, 50]) == draw.RIGHT
    assert canvas[20, 30].argmax() == np.argmax(draw.MIDDLE)  # a thin, smoothed line
    assert not image.any()


def test_joints_below_the_threshold_and_their_limbs_are_left_out():
    image = np.zeros((40, 60, 3), np.uint8)
    canvas = draw.draw_pose(image, np.array([[10, 20], [50, 20]]), np.array([0.9, 0.1]), PAIR, 0.2)
    assert canvas[20, 10].any() and not canvas[20, 30].any() and not canvas[20, 50].any()


def test_joints_outside_the_image_or_not_finite_are_not_drawn():
    image = np.zeros((40, 60, 3), np.uint8)
    assert (
        draw.draw_pose(image, np.array([[-1e9, 5], [np.nan, 1]]), None, PAIR).shape == image.shape
    )


def test_wrong_joint_count_is_named():
    with pytest.raises(ValueError, match=r"\(3, 2\) do not fit skeleton 'pair'; expected \(2, 2\)"):
        draw.draw_pose(np.zeros((4, 4, 3), np.uint8), np.zeros((3, 2)), None, PAIR)


def test_contact_sheet_shows_every_image():
    images = [np.full((20 + 10 * i, 30, 3), 40 * i + 20, np.uint8) for i in range(5)]
    sheet = draw.contact_sheet(images, [str(i) for i in range(5)], columns=3, height=50)
    colors = {tuple(pixel) for pixel in sheet.reshape(-1, 3)}
    assert {(40 * i + 20,) * 3 for i in range(5)} <= colors
