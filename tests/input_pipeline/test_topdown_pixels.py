"""Augmentation of pixels: the random numbers, the blurs, the stages, and what a batch contains."""

import dataclasses

import cv2
import numpy as np
import pytest

import input_pipeline
from input_pipeline.topdown import augment, pixels
from tests.helpers.reading import assert_equal, assert_fits, assert_same_in_parts, take

OPTIONS = pixels.Options(
    hue=5, saturation=30, value=20, hsv_prob=0.5, blur_prob=0.1, median_prob=0.2,
    dropout_prob=0.7, dropout_min=0.2, dropout_max=0.4,
)  # fmt: skip
SIZE = (64, 48)


def many(options=OPTIONS, count=4000):
    return [pixels.draw(0, 1, index, options, SIZE) for index in range(count)]


def test_colors_change_by_whole_numbers_within_their_limits():
    colors = np.array([draws.color for draws in many()])
    assert colors.dtype == np.int32
    # int() rounds toward 0, so the limits themselves are not drawn.
    assert np.abs(colors).max(0).tolist() == [4, 29, 19]
    # Half of the time there is no change, and int() gives 0 for one number in `limit`.
    for channel, limit in enumerate((5, 30, 20)):
        assert np.mean(colors[:, channel] == 0) == pytest.approx(0.5 + 0.5 / limit, abs=0.03)
        assert abs(colors[:, channel].mean()) < 0.06 * limit
    assert abs(np.corrcoef(colors.T)[0, 1]) < 0.06


def test_rectangles_lie_inside_the_crop():
    holes = np.array([draws.hole for draws in many()])
    found = holes[holes.any(1)]
    assert len(found) / len(holes) == pytest.approx(0.7, abs=0.03)
    left, top, right, bottom = found.T
    assert (left >= 0).all() and (top >= 0).all() and (right <= 48).all() and (bottom <= 64).all()
    for sides, length in ((right - left, 48), (bottom - top, 64)):
        assert sides.min() == int(0.2 * length) and sides.max() == int(0.4 * length)
    assert left.min() == 0 and right.max() == 48 and top.min() == 0 and bottom.max() == 64


def test_one_augmentation_does_not_change_the_numbers_of_another():
    others = dataclasses.replace(OPTIONS, hsv_prob=0.0, blur_prob=0.0, dropout_max=0.2)
    for one, other in zip(many(count=200), many(others, 200), strict=True):
        assert one.median_blur == other.median_blur and one.hole.any() == other.hole.any()
        assert not other.color.any() and not other.blur


def test_pixels_and_view_are_drawn_from_different_numbers():
    flips = np.array([augment.draw(0, 1, index).flip for index in range(2000)])
    changes = np.array([draws.color[1] for draws in many(count=2000)])
    assert abs(np.corrcoef(flips, changes)[0, 1]) < 0.07


def test_blurs_are_those_of_opencv(rng):
    crop = rng.integers(0, 256, (*SIZE, 3), np.uint8)
    draws = pixels.Draws(np.zeros(3), np.zeros(4), blur=3, median_blur=5)
    expected = cv2.medianBlur(cv2.blur(crop, (3, 3)), 5)
    np.testing.assert_array_equal(pixels.blurred(crop, draws), expected)
    assert pixels.blurred(crop, pixels.Draws(np.zeros(3), np.zeros(4), 0, 0)) is crop
    kernels = np.array([draws.blur for draws in many()])
    assert set(kernels) == {0, 3, 5, 7} and np.mean(kernels > 0) == pytest.approx(0.1, abs=0.02)


def strong(config):
    config.augment.pixels.update({
        "hue": 5, "saturation": 30, "value": 30, "blur_prob": 0.5, "median_prob": 0.5,
        "dropout_prob": 1.0,
    })  # fmt: skip
    config.augment.distribution = "truncated"
    return config


def test_batches_have_the_numbers_for_the_devices(config):
    plain = take(config, 3)
    batches = take(strong(config), 3)
    spec = input_pipeline.train_data(config).examples.spec
    assert set(spec) - set(plain[0]) == {"color", "hole"}
    assert_fits(batches[0], 4, spec)
    assert all(batch["hole"].any(1).all() for batch in batches)
    config.augment.pixels.update({"hue": 0, "saturation": 0, "value": 0})
    assert "color" not in input_pipeline.train_data(config).examples.spec


def test_restart_hosts_and_workers_give_the_same_bytes(config):
    strong(config).augment.last.update({"epochs": 1.0, "dropout_prob": 0.5})
    assert_same_in_parts(config, 8)


def test_the_second_stage_begins_with_its_epoch(config):
    strong(config)
    config.epochs = 3.0
    first = input_pipeline.train_data(config)
    config.augment.last.update(
        {"epochs": 1.0, "scale": 0.0, "rotation": 0.0, "shift_prob": 0.0, "dropout_prob": 0.0}
    )
    config.augment.half_body_prob = 0.0
    both = input_pipeline.train_data(config)
    count = both.num_examples
    config.augment.half_body_prob = 0.3
    stages = input_pipeline.train_data(config)
    for number in range(2 * count):
        assert_equal([stages.example(number)], [first.example(number)])
    unchanged = {tuple(np.round(scale, 5)) for scale in both.examples._scale}
    for number in range(2 * count, 3 * count):
        example = both.example(number)
        assert not example["hole"].any()
        assert tuple(np.round(example["scale"], 5)) in unchanged
