"""Tolerances: reduced precision is judged by keypoints, and a broken file is refused."""

import dataclasses
import math

import numpy as np
import pytest

from jaxpose import skeletons
from jaxpose.export.targets import TARGETS
from jaxpose.tasks import agreement, crops, topdown
from jaxpose.tasks.agreement import FP32, TOLERANCES, Distances, Tolerance, summarize, tolerance_of

SIZE = (64, 48)
MAPS = (16, 12)
REDUCED = [name for name in TOLERANCES if name != "fp32"]


def heatmaps(count=6):
    """Heatmaps [count, h, w, 17] with one peak each, as of a trained network."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: MAPS[0], : MAPS[1]]
    places = rng.uniform((2, 2), (MAPS[1] - 3, MAPS[0] - 3), (count, 17, 2))
    distance = np.hypot(x[..., None] - places[:, None, None, :, 0],
                        y[..., None] - places[:, None, None, :, 1])  # fmt: skip
    return np.exp(-(distance**2) / 8).astype(np.float32)


def compared(actual, tolerance):
    decoder = topdown.Decoder(offset="dark")
    return crops.compare(heatmaps(), actual, SIZE, decoder, skeletons.COCO, tolerance)


def rounded(maps, levels):
    return (np.round(maps * levels) / levels).astype(np.float32)


def shifted(maps, cells):
    """The maps, moved to the right by a part of a cell."""
    return (1 - cells) * maps + cells * np.roll(maps, 1, axis=2)


SOUND = {
    "fp16": heatmaps().astype(np.float16).astype(np.float32),
    "int8-weight-only": rounded(heatmaps(), 128),
    "int8-dynamic": rounded(heatmaps(), 64),
    "int8-static": rounded(heatmaps(), 64),
}
BROKEN = {
    "zeros": lambda maps: np.zeros_like(maps),
    "constant": lambda maps: np.full_like(maps, maps.mean()),
    "not a number": lambda maps: np.full_like(maps, np.nan),
    "one number is missing": lambda maps: np.where(np.arange(maps.size).reshape(maps.shape) == 7,
                                                   np.nan, maps),
    "shifted": lambda maps: np.roll(maps, 1, axis=2),
    "mirrored": lambda maps: maps[:, :, ::-1],
    "other keypoints": lambda maps: np.roll(maps, 1, axis=3),
}  # fmt: skip


@pytest.mark.parametrize("precision", REDUCED)
def test_a_sound_file_of_reduced_precision_is_accepted(precision):
    tolerance = tolerance_of(precision)
    result = compared(SOUND[precision], tolerance)
    assert result.holds and result.distances.keypoints == 6 * 17
    assert result.error > FP32.heatmap  # float32 would be nearer
    assert not compared(SOUND[precision], FP32).holds


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("precision", TOLERANCES)
def test_a_broken_file_is_refused(precision, broken):
    result = compared(BROKEN[broken](heatmaps()), tolerance_of(precision))
    assert not result.holds


@pytest.mark.parametrize("broken", ["zeros", "constant", "not a number"])
@pytest.mark.parametrize("precision", REDUCED)
def test_a_collapsed_file_of_random_weights_is_refused_by_its_outputs(precision, broken):
    result = compared(BROKEN[broken](heatmaps()), tolerance_of(precision, trained=False))
    assert not result.holds


@pytest.mark.parametrize("precision", REDUCED)
def test_keypoints_of_random_weights_are_not_judged(precision):
    tolerance = tolerance_of(precision, trained=False)
    limits = (tolerance.keypoint, tolerance.median, tolerance.moved)
    assert limits == (math.inf,) * 3 and tolerance.heatmap == TOLERANCES[precision].heatmap
    assert "px" not in str(tolerance)


def test_float32_is_judged_the_same_for_random_weights():
    assert tolerance_of("fp32", trained=False) == tolerance_of("fp32") == FP32
    assert str(FP32) == "0.0001 of the largest value and 0.05 px"


@pytest.mark.parametrize(
    "precision, pixels",
    [("fp16", 0.25), ("int8-weight-only", 0.75), ("int8-dynamic", 1.25), ("int8-static", 2.5)],
)
def test_a_small_shift_is_refused(precision, pixels):
    cells = pixels * MAPS[1] / SIZE[1]
    result = compared(shifted(heatmaps(), cells), tolerance_of(precision))
    assert result.distances.median == pytest.approx(pixels, abs=0.2)
    assert result.error <= TOLERANCES[precision].heatmap and not result.holds


@pytest.mark.parametrize("precision", REDUCED)
def test_more_than_two_fifths_of_the_keypoints_may_move_with_int8_activations_only(precision):
    maps = heatmaps()
    maps[..., :8] = np.roll(maps[..., :8], 1, axis=3)  # of 17 keypoints
    result = compared(maps, dataclasses.replace(tolerance_of(precision), heatmap=math.inf))
    assert 0.4 < result.distances.moved < 0.5
    assert result.holds == (precision == "int8-static")


def test_every_precision_of_every_target_has_a_tolerance():
    precisions = {name for target in TARGETS.values() for name in target.precisions}
    assert precisions == set(TOLERANCES)
    with pytest.raises(KeyError):
        tolerance_of("int8")


def test_a_tolerance_in_words():
    assert str(Tolerance(heatmap=0.2, median=0.3, moved=0.01)) == (
        "0.2 of the largest value, a median of 0.3 px and 1% of the keypoints moved by more than "
        "1 px"
    )


def test_distances():
    values = np.concatenate([np.full(97, 0.5), [1.0, 3.0, np.inf]])
    result = summarize(values)
    assert result == Distances(math.inf, 0.5, 3.0, math.inf, 0.02, 100)
    assert summarize(np.zeros(0)) == Distances(0.0, 0.0, 0.0, 0.0, 0.0, 0)
    assert summarize(np.array([np.nan, 0.0])).moved == 0.5
    text = agreement.describe(result, ties=2)
    assert text == (
        "inf px (median 0.5, p99 3 px; 2.0% moved by more than 1 px; 100 keypoints, 2 left out as "
        "ties)"
    )
