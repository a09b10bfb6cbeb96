"""Comparison of a file with its model on crops: outputs, and the decoded keypoints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

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

Decode = Callable[[Any], np.ndarray]
# (noise, keypoints [B, K, 2], distances [B, K], outputs -> keypoints) -> bool [B, K]; see
# `compare_poses`.
Ties = Callable[[float, np.ndarray, np.ndarray, Decode], np.ndarray]


@dataclass(frozen=True)
class CropAgreement:
    """Differences between a file and its model on some crops.

    Attributes:
      images: number of crops.
      largest: largest absolute difference between the outputs.
      mean: mean absolute difference between the outputs.
      scale: largest absolute value of the model.
      distances: between the keypoints.
      ties: number of keypoints left out because their position depends on rounding: equally high
        maxima, or equal neighbors; with UDP, maxima so flat that rounding moves the refined
        position.
      tolerance: by which `holds` judges.
      name: of the outputs, in messages.
    """

    images: int
    largest: float
    mean: float
    scale: float
    distances: Distances
    ties: int
    tolerance: Tolerance = FP32
    name: str = "heatmaps"

    @property
    def error(self) -> float:
        """Largest difference between the outputs, as a fraction of the model's largest value."""
        return self.largest / max(self.scale, LEAST_SCALE)

    @property
    def mean_error(self) -> float:
        """Mean difference between the outputs, as a fraction of the model's largest value."""
        return self.mean / max(self.scale, LEAST_SCALE)

    @property
    def holds(self) -> bool:
        """Whether all differences are within the tolerances; False when one of them is NaN."""
        return within(self.error, self.distances, self.tolerance)

    def __str__(self) -> str:
        return (
            f"{self.name} differ by at most {self.largest:.2g} (largest value {self.scale:.2g}), "
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
    stride = input_size[1] / expected.shape[2]

    def ties(noise: float, points: np.ndarray, distance: np.ndarray, decode: Decode) -> np.ndarray:
        if decoder.udp:
            unsteady = _unsteady(expected, noise, points, decode, FP32.keypoint)
        else:
            unsteady = (distance < stride) & _equal_neighbors(expected, noise)
        return equal_maxima(_by_keypoint(expected), noise) | unsteady

    return compare_poses(
        (expected,),
        (actual,),
        input_size,
        lambda outputs, center, scale: decoder.decode(outputs[0], None, center, scale, skeleton),
        ties,
        tolerance,
        "heatmaps",
    )


def compare_poses(
    expected: Sequence[np.ndarray],
    actual: Sequence[np.ndarray],
    input_size: tuple[int, int],
    decode: Callable[[Sequence[np.ndarray], np.ndarray, np.ndarray], tuple[Any, Any]],
    ties: Ties,
    tolerance: Tolerance,
    name: str,
    values: tuple[Sequence[np.ndarray], Sequence[np.ndarray]] | None = None,
) -> CropAgreement:
    """Differences between two sets of outputs and their keypoints.

    Args:
      expected: outputs [B, ...] of the model.
      actual: outputs of the file.
      input_size: (H, W) of the crops.
      decode: (outputs, center [B, 2], scale [B, 2] of the crops) -> keypoints [B, K, 2], scores.
      ties: (noise, keypoints of the model [B, K, 2], distances [B, K] to those of the file, a
        function from the first output to keypoints) -> bool [B, K], whether a change of the outputs
        by `noise` may move the keypoint.
      tolerance: by which to judge.
      name: of the outputs, in messages.
      values: arrays of the model and of the file whose differences count; None for the outputs,
        which have the same shapes then.
    """
    height, width = input_size
    count = len(expected[0])
    sides = np.array([width, height], np.float32)
    center = np.tile(sides / 2, (count, 1))
    scale = np.tile(sides / geometry.PIXEL_STD, (count, 1))

    def points_of(outputs: Sequence[np.ndarray]) -> np.ndarray:
        return np.asarray(decode(outputs, center, scale)[0])

    points = points_of(expected)
    distance = np.linalg.norm(points - points_of(actual), axis=-1)
    ours, theirs = values or (expected, actual)
    difference = np.concatenate([np.abs(a - b).ravel() for a, b in zip(ours, theirs, strict=True)])
    error, largest = float(difference.max()), max(float(np.abs(a).max()) for a in ours)
    # The rounding of float32 may decide ties, so they are left out, with reduced precision too.
    # `noise` is capped: a large difference between the outputs must not turn all keypoints into
    # ties.
    noise = 4 * min(error, FP32.heatmap * largest)
    tied = distance > FP32.keypoint
    if tied.any():
        tied &= ties(noise, points, distance, lambda outputs: points_of((outputs,)))
    return CropAgreement(
        count,
        error,
        float(difference.mean()),
        largest,
        summarize(distance[~tied]),
        int(tied.sum()),
        tolerance,
        name,
    )


def equal_maxima(values: np.ndarray, noise: float) -> np.ndarray:
    """[B, K] of [B, K, N]: whether the two highest values are equal up to `noise`, or near 0."""
    best = np.partition(values, -2, axis=-1)
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
