"""Each augmentation against hand-computed numbers, and joints against the image content."""

import dataclasses

import numpy as np
import pytest

from input_pipeline.region import Region
from input_pipeline.topdown import augment
from jaxpose import annotations, skeletons

OPTIONS = augment.Options(
    flip=0.5, half_body_prob=0.3, half_body_min=8, scale=0.5, rotation=40.0, rotation_prob=0.6,
    shift=0.2, shift_prob=0.3,
)  # fmt: skip
NOTHING = augment.Draws(
    shift=0.9, shift_x=0.5, shift_y=0.5, flip=0.9, half_body=0.9, rotate=0.9, half_choice=0.0,
    scale=0.0, angle=0.0,
)  # fmt: skip


def draws(**changes):
    return dataclasses.replace(NOTHING, **changes)


def view(keypoints=None, center=(60.0, 170.0), scale=(1.5, 2.0), padded=(125.0, 375.0)):
    keypoints = np.zeros((17, 3)) if keypoints is None else np.asarray(keypoints, np.float64)
    return augment.View(keypoints, np.array(center), np.array(scale), padded=np.array(padded))


def test_shift_is_a_share_of_the_box():
    size = np.array([100.0, 300.0])
    moved = augment.shift_center(
        view(), size, draws(shift=0.29, shift_x=1.0, shift_y=0.25), OPTIONS
    )
    np.testing.assert_allclose(moved.center, [60 + 0.2 * 100, 170 - 0.1 * 300])
    same = augment.shift_center(view(), size, draws(shift=0.3, shift_x=1.0), OPTIONS)
    np.testing.assert_array_equal(same.center, [60, 170])


def test_mirror_moves_center_and_swaps_sides():
    skeleton = skeletons.COCO
    keypoints = np.zeros((17, 3))
    keypoints[0] = [10, 20, 1]
    keypoints[5] = [30, 40, 1]  # left shoulder; the right one is not labeled
    mirrored = augment.mirror(view(keypoints), 100, skeleton.flip_indices)
    np.testing.assert_array_equal(mirrored.center, [39, 170])
    np.testing.assert_array_equal(mirrored.keypoints[0], [89, 20, 1])
    np.testing.assert_array_equal(mirrored.keypoints[6], [69, 40, 1])
    np.testing.assert_array_equal(mirrored.keypoints[5], [0, 0, 0])
    assert mirrored.flip
    back = augment.mirror(mirrored, 100, skeleton.flip_indices)
    np.testing.assert_array_equal(back.keypoints, keypoints)
    assert not back.flip and back.center[0] == 60


def labeled(count):
    """The first `count` COCO joints at (k, 2 k); unlabeled ones at (1000, 1000)."""
    keypoints = np.array([[k, 2.0 * k, 1] for k in range(17)])
    keypoints[count:] = [1000, 1000, 0]
    return keypoints


def test_half_body_takes_the_upper_joints():
    size = (256, 192)
    half = draws(half_body=0.2, half_choice=0.49)
    result = augment.half_body(view(labeled(17)), half, OPTIONS, skeletons.COCO, size)
    # Upper joints 0..10: mean (5, 10), extent (10, 20); 20 * 192/256 = 15 > 10.
    np.testing.assert_allclose(result.center, [5, 10])
    np.testing.assert_allclose(result.scale, [15 / 200 * 1.5, 20 / 200 * 1.5], rtol=1e-6)
    lower = augment.half_body(
        view(labeled(17)), draws(half_body=0.2, half_choice=0.5), OPTIONS, skeletons.COCO, size
    )
    np.testing.assert_allclose(lower.center, [13.5, 27])  # joints 11..16


def test_half_body_conditions():
    def center(count, **changes):
        chosen = draws(half_body=0.2) if not changes else draws(**changes)
        result = augment.half_body(
            view(labeled(count)), chosen, OPTIONS, skeletons.COCO, (256, 192)
        )
        return result.center.tolist()

    assert center(8) == [60, 170]  # more than eight labeled joints are needed
    assert center(9) == [4, 8]
    assert center(17, half_body=0.3) == [60, 170]
    # Two lower joints are not enough: upper, whatever was drawn.
    assert center(13, half_body=0.2, half_choice=3.0) == [5, 10]
    # Two upper joints are not enough either.
    few = np.zeros((17, 3))
    few[[9, 10]] = [5, 5, 1]
    few[11:] = [[k, 2.0 * k, 1] for k in range(6)]
    options = dataclasses.replace(OPTIONS, half_body_min=7)
    result = augment.half_body(view(few), draws(half_body=0.2), options, skeletons.COCO, (256, 192))
    np.testing.assert_allclose(result.center, [2.5, 5])


def test_half_body_ignores_joints_at_one_point():
    keypoints = np.tile([50.0, 60.0, 1.0], (17, 1))
    same = augment.half_body(
        view(keypoints), draws(half_body=0), OPTIONS, skeletons.COCO, (256, 192)
    )
    np.testing.assert_array_equal(same.scale, [1.5, 2.0])


@pytest.mark.parametrize(
    ("normal", "factor"), [(0.0, 1.0), (0.5, 1.25), (2.0, 1.5), (-0.4, 0.8), (-9, 0.5)]
)
def test_scale_is_clipped(normal, factor):
    result = augment.rescale(view(), draws(scale=normal), OPTIONS)
    np.testing.assert_allclose(result.scale, [1.5 * factor, 2.0 * factor])


@pytest.mark.parametrize(("normal", "angle"), [(0.5, 20), (-1, -40), (3, 80), (-2.5, -80)])
def test_rotation_is_clipped(normal, angle):
    assert augment.rotate(view(), draws(rotate=0.59, angle=normal), OPTIONS).rotation == angle
    assert augment.rotate(view(), draws(rotate=0.6, angle=normal), OPTIONS).rotation == 0


def test_half_body_replaces_the_shifted_center():
    result = augment.augment(
        view(labeled(17)),
        box_size=np.array([100.0, 300.0]),
        image_width=101,
        draws=draws(shift=0, shift_x=0.9, flip=0.1, half_body=0, scale=0.5, rotate=0, angle=0.5),
        options=OPTIONS,
        skeleton=skeletons.COCO,
        input_size=(256, 192),
    )
    np.testing.assert_allclose(result.center, [95, 10])  # mirrored mean of the upper joints
    np.testing.assert_allclose(result.scale, 1.25 * 1.5 / 200 * np.array([15, 20]), rtol=1e-6)
    assert result.flip and result.rotation == 20


def test_joints_stay_on_their_dots(dots):
    """The crop shows each joint's color at the joint's position (the color of its counterpart when
    mirrored, as the dots keep their color)."""
    image, points = dots.draw(0, 120, 130)
    keypoints = np.concatenate([points, np.ones((5, 1))], axis=1).astype(np.float64)
    options = dataclasses.replace(OPTIONS, half_body_min=3)
    start = augment.View(keypoints, np.array([55.0, 50.0]), np.array([0.45, 0.6]))
    compared = mirrored = 0
    for index in range(60):
        chosen = augment.augment(
            start,
            box_size=np.array([50.0, 80.0]),
            image_width=130,
            draws=augment.draw(0, 0, index),
            options=options,
            skeleton=dots.skeleton,
            input_size=(128, 96),
        )
        crop, joints = augment.render(Region.whole(image), chosen, (128, 96))
        mirrored += chosen.flip
        colors = dots.colors[dots.skeleton.flip_indices] if chosen.flip else dots.colors
        for (x, y, flag), color in zip(joints, colors, strict=True):
            assert flag == 1
            if 0 <= round(x) < 96 and 0 <= round(y) < 128:
                pixel = crop[round(y), round(x)].astype(int)
                assert np.abs(pixel - color).max() < 30, (index, pixel, color)
                compared += 1
    assert compared > 150 and 15 < mirrored < 45


def test_unlabeled_joints_are_zero_in_the_crop():
    keypoints = labeled(3)
    _, joints = augment.render(
        Region.whole(np.zeros((50, 50, 3), np.uint8)), view(keypoints), (64, 48)
    )
    assert joints[:3, 2].tolist() == [1, 1, 1] and joints[:3].any(axis=1).all()
    assert not joints[3:].any() and joints.dtype == np.float32


TRUNCATED = dataclasses.replace(OPTIONS, distribution="truncated")


def test_truncated_normal_numbers():
    quantiles = (np.arange(100_000) + 0.5) / 100_000
    values = np.array([augment.truncated_normal(q) for q in quantiles.tolist()])
    assert values.min() >= -1 and values.max() <= 1 and abs(values.mean()) < 1e-9
    # The standard deviation of a normal number between -1 and 1 standard deviations.
    density = np.exp(-0.5) / np.sqrt(2 * np.pi)
    inside = 0.6826894921370859
    np.testing.assert_allclose(values.std(), np.sqrt(1 - 2 * density / inside), rtol=1e-4)
    assert augment.truncated_normal(0.0) == -1 and augment.truncated_normal(0.5) == 0


@pytest.mark.parametrize(("quantile", "factor"), [(0.0, 0.5), (0.5, 1.0), (1.0, 1.5)])
def test_truncated_scale_and_rotation(quantile, factor):
    ends = draws(scale_quantile=quantile, angle_quantile=quantile, rotate=0.5)
    result = augment.rescale(view(), ends, TRUNCATED)
    np.testing.assert_allclose(result.scale, [1.5 * factor, 2 * factor])
    angle = augment.rotate(view(), ends, TRUNCATED).rotation
    np.testing.assert_allclose(angle, 80 * (factor - 1), atol=1e-12)
    assert augment.rotate(view(), draws(angle_quantile=quantile), TRUNCATED).rotation == 0


def test_truncated_shift_is_a_share_of_the_padded_box_or_half():
    def result(keypoints, **changes):
        return augment.augment(
            view(keypoints),
            box_size=np.array([100.0, 300.0]),
            image_width=101,
            draws=draws(shift=0, shift_x=1.0, shift_y=0.0, **changes),
            options=TRUNCATED,
            skeleton=skeletons.COCO,
            input_size=(256, 192),
        )

    whole = result(None).center
    np.testing.assert_allclose(whole, [60 + 0.2 * 1.25 * 100, 170 - 0.2 * 1.25 * 300])
    half = result(labeled(17), half_body=0.0).center  # of keypoints (0, 0) to (10, 20)
    np.testing.assert_allclose(half, [5 + 0.2 * 1.5 * 10, 10 - 0.2 * 1.5 * 20])


def test_the_scales_of_mpii_are_padded_already():
    people = annotations.People(
        annotation_id=np.zeros(1, np.int64),
        image_id=np.zeros(1, np.int64),
        box=np.array([[0.0, 0.0, 200.0, 100.0]]),
        keypoints=np.zeros((1, 16, 3), np.float32),
        box_score=np.ones(1, np.float32),
    )
    np.testing.assert_array_equal(people.padded_size(), [[250, 125]])
    mpii = dataclasses.replace(people, given=np.ones((1, 3), np.float32))
    np.testing.assert_array_equal(mpii.padded_size(), [[200, 100]])


def test_the_second_stage_changes_only_what_it_says():
    last = {"epochs": 3.0, "scale": 0.1, "rotation": 20.0, "shift_prob": 0.0, "dropout_prob": 0.5}
    expected = dataclasses.replace(OPTIONS, scale=0.1, rotation=20.0, shift_prob=0.0)
    assert OPTIONS.of_last_stage(last) == expected


def test_more_random_numbers_do_not_change_the_first_ones():
    """Runs that started before the truncated distribution existed draw the same numbers."""
    assert augment.draw(0, 1, 2).flip == augment.order.uniforms(0, 1, 2, 10)[3]
