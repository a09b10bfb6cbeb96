"""Comparison of a file with its model on crops: heatmaps, and the decoded keypoints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jaxpose import geometry
from jaxpose.skeletons import Skeleton
from jaxpose.tasks.agreement import (
    FP32,
    LEAST_SCALE,
    Distances,
    MismatchError,
    Tolerance,
    describe,
    summarize,
    within,
)
from jaxpose.tasks.crops.prediction import CropDecoder


@dataclass(frozen=True)
class CropAgreement:
    """Differences between a file and its model on some crops.

    Attributes:
      images: number of crops.
      heatmap: largest absolute difference between the heatmaps.
      mean_heatmap: mean absolute difference between the heatmaps.
      scale: largest absolute heatmap value of the model.
      distances: between the keypoints.
      ties: number of keypoints left out because their position depends on rounding: equally high
        maxima, or equal neighbors; with UDP, maxima so flat that rounding moves the refined
        position.
      tolerance: by which `holds` judges.
    """

    images: int
    heatmap: float
    mean_heatmap: float
    scale: float
    distances: Distances
    ties: int
    tolerance: Tolerance = FP32

    @property
    def error(self) -> float:
        """Largest difference between the heatmaps, as a fraction of the model's largest value."""
        return self.heatmap / max(self.scale, LEAST_SCALE)

    @property
    def mean_error(self) -> float:
        """Mean difference between the heatmaps, as a fraction of the model's largest value."""
        return self.mean_heatmap / max(self.scale, LEAST_SCALE)

    @property
    def holds(self) -> bool:
        """Whether all differences are within the tolerances; False when one of them is NaN."""
        return within(self.error, self.distances, self.tolerance)

    def __str__(self) -> str:
        return (
            f"heatmaps differ by at most {self.heatmap:.2g} (largest value {self.scale:.2g}), "
            f"keypoints by {describe(self.distances, self.ties)}"
        )


def compare(
    expected: np.ndarray,
    actual: np.ndarray,
    input_size: tuple[int, int],
    decoder: CropDecoder,
    skeleton: Skeleton,
    tolerance: Tolerance = FP32,
) -> CropAgreement:
    """Differences between two sets of heatmaps [B, h, w, K] and the keypoints decoded from them.

    Raises:
      MismatchError: several outputs, or heatmaps of different shapes.
    """
    if isinstance(expected, tuple):
        raise MismatchError(
            f"a top-down network has one output, got {len(expected)}: export the network with "
            "its own task"
        )
    if expected.shape != actual.shape:
        raise MismatchError(
            f"the file returns heatmaps of shape {actual.shape}, the model {expected.shape}"
        )
    height, width = input_size
    sides = np.array([width, height], np.float32)
    center = np.tile(sides / 2, (len(expected), 1))
    scale = np.tile(sides / geometry.PIXEL_STD, (len(expected), 1))

    def decode(maps: np.ndarray) -> np.ndarray:
        return np.asarray(decoder.decode(maps, None, center, scale, skeleton)[0])

    points = decode(expected)
    distance = np.linalg.norm(points - decode(actual), axis=-1)
    difference = np.abs(expected - actual)
    error, largest = float(difference.max()), float(np.abs(expected).max())
    # The rounding of float32 may decide ties, so they are left out, with reduced precision too.
    # `noise` is capped: a large difference between the outputs must not turn all keypoints into
    # ties.
    noise = 4 * min(error, FP32.heatmap * largest)
    stride = width / expected.shape[2]
    tied = distance > FP32.keypoint
    if tied.any():
        if decoder.udp:
            unsteady = _unsteady(expected, noise, points, decode, FP32.keypoint)
            tied &= _equal_maxima(expected, noise) | unsteady
        else:
            near = (distance < stride) & _equal_neighbors(expected, noise)
            tied &= _equal_maxima(expected, noise) | near
    return CropAgreement(
        len(expected),
        error,
        float(difference.mean()),
        largest,
        summarize(distance[~tied]),
        int(tied.sum()),
        tolerance,
    )


def _equal_maxima(maps: np.ndarray, noise: float) -> np.ndarray:
    """[B, K]: whether the two highest values are equal up to `noise`, or the highest is near 0."""
    best = np.partition(_by_keypoint(maps), -2, axis=-1)
    return (best[..., -1] - best[..., -2] <= noise) | (np.abs(best[..., -1]) <= noise)


def _equal_neighbors(maps: np.ndarray, noise: float) -> np.ndarray:
    """[B, K]: whether neighbors that give the quarter offset its sign are equal up to `noise`."""
    b, h, w, k = maps.shape
    flat = _by_keypoint(maps)
    top = flat.argmax(-1)
    y, x = np.clip(top // w, 1, h - 2), np.clip(top % w, 1, w - 2)
    rows, columns = np.indices((b, k))
    heatmaps = flat.reshape(b, k, h, w)
    across = heatmaps[rows, columns, y, x + 1] - heatmaps[rows, columns, y, x - 1]
    down = heatmaps[rows, columns, y + 1, x] - heatmaps[rows, columns, y - 1, x]
    return (np.abs(across) <= noise) | (np.abs(down) <= noise)


def _unsteady(
    maps: np.ndarray,
    noise: float,
    points: np.ndarray,
    decode: Callable[[np.ndarray], np.ndarray],
    limit: float,
) -> np.ndarray:
    """[B, K]: whether random changes by +-`noise` move a keypoint by more than `limit` pixels.

    UDP's step has no limit: on a map that is nearly flat around its maximum, as of an untrained
    network, it divides by a curvature near 0.
    """
    rng = np.random.default_rng(0)
    moved = np.zeros(points.shape[:2], bool)
    for _ in range(4):
        signs = noise * rng.choice((-1, 1), maps.shape).astype(np.float32)
        distance = np.linalg.norm(decode(maps + signs) - points, axis=-1)
        moved |= distance > limit
    return moved


def _by_keypoint(maps: np.ndarray) -> np.ndarray:
    """[B, h, w, K] -> [B, K, h * w]."""
    b, h, w, k = maps.shape
    return maps.transpose(0, 3, 1, 2).reshape(b, k, h * w)
