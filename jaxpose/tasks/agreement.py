"""How much an exported file differs from its model, and how much it may differ."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

LEAST_SCALE = 1e-12  # smallest largest value of a model, to divide by
MOVED = 1.0  # pixels: keypoints farther away count as moved


class MismatchError(ValueError):
    """The outputs of an exported file differ from those of its model."""


@dataclass(frozen=True)
class Tolerance:
    """How much a file may differ from its model.

    Attributes:
      heatmap: largest difference of the outputs, as a fraction of the model's largest value.
      keypoint: largest distance between keypoints, in input pixels.
      median: median distance between keypoints, in input pixels.
      moved: share of the keypoints that may be more than 1 pixel away, and number of people that
        only one of the two finds, as a share of the people.
      drop: of the metric in an evaluation, in points of 100.
    """

    heatmap: float
    keypoint: float = math.inf
    median: float = math.inf
    moved: float = math.inf
    drop: float = math.inf

    @property
    def near(self) -> float:
        """Distance in pixels up to which two keypoints count as the same."""
        return min(self.keypoint, MOVED)

    def __str__(self) -> str:
        parts = [f"{self.heatmap:g} of the largest value"]
        if self.keypoint < math.inf:
            parts.append(f"{self.keypoint:g} px")
        if self.median < math.inf:
            parts.append(f"a median of {self.median:g} px")
        if 0 < self.moved < math.inf:
            parts.append(f"{self.moved:.0%} of the keypoints moved by more than {MOVED:g} px")
        return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]


FP32 = Tolerance(heatmap=1e-4, keypoint=0.05, moved=0.0, drop=0.1)
# By the precision of the file. Limits of reduced precision refuse a file that is broken; how much a
# sound file loses is seen in an evaluation. docs/verification.md has the measurements behind them.
TOLERANCES = {
    "fp32": FP32,
    "fp16": Tolerance(heatmap=0.1, median=0.05, moved=0.05, drop=0.1),
    "int8-weight-only": Tolerance(heatmap=0.3, median=0.5, moved=0.35, drop=1.0),
    "int8-dynamic": Tolerance(heatmap=0.5, median=1.0, moved=0.4, drop=1.0),
    "int8-static": Tolerance(heatmap=0.5, median=2.0, moved=0.5, drop=2.0),
}


def tolerance_of(precision: str, *, trained: bool = True) -> Tolerance:
    """The tolerance for files of a precision.

    Args:
      precision: a key of `TOLERANCES`.
      trained: False for random weights. The heatmaps of an untrained network are nearly flat, so
        that small differences move keypoints anywhere. With reduced precision, only the outputs of
        such a network are judged.

    Raises:
      KeyError: unknown precision.
    """
    tolerance = TOLERANCES[precision]
    if trained or tolerance.keypoint < math.inf:
        return tolerance
    return dataclasses.replace(tolerance, median=math.inf, moved=math.inf)


@dataclass(frozen=True)
class Distances:
    """Distances between the keypoints of a file and those of its model, in input pixels.

    Infinite where only one of the two has the keypoint. All values are 0 without keypoints.

    Attributes:
      mean, median, p99, largest: of all compared keypoints.
      moved: share of the keypoints that are more than 1 pixel away.
      keypoints: number of compared keypoints.
    """

    mean: float
    median: float
    p99: float
    largest: float
    moved: float
    keypoints: int


def summarize(distances: np.ndarray) -> Distances:
    """Statistics of the distances [N] of the compared keypoints; NaN counts as moved."""
    if not distances.size:
        return Distances(0.0, 0.0, 0.0, 0.0, 0.0, 0)
    return Distances(
        mean=float(distances.mean()),
        median=_percentile(distances, 50),
        p99=_percentile(distances, 99),
        largest=float(distances.max()),
        moved=float(np.mean(~(distances <= MOVED))),
        keypoints=distances.size,
    )


def _percentile(values: np.ndarray, percent: int) -> float:
    """The smallest value that at least `percent` of the values do not exceed; may be infinite."""
    return float(np.percentile(values, percent, method="inverted_cdf"))


def within(error: float, distances: Distances, tolerance: Tolerance) -> bool:
    """Whether an error of the outputs and the distances are tolerated; False if any is NaN."""
    return (
        error <= tolerance.heatmap
        and distances.largest <= tolerance.keypoint
        and distances.median <= tolerance.median
        and distances.moved <= tolerance.moved
    )


def describe(distances: Distances, ties: int) -> str:
    """The distances in words, for messages."""
    left_out = f", {ties} left out as ties" if ties else ""
    return (
        f"{distances.largest:.2g} px (median {distances.median:.2g}, p99 {distances.p99:.2g} px; "
        f"{distances.moved:.1%} moved by more than {MOVED:g} px; {distances.keypoints} "
        f"keypoints{left_out})"
    )
