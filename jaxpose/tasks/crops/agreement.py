"""Comparison of a file with its model on crops: heatmaps, and the decoded keypoints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jaxpose import geometry
from jaxpose.skeletons import Skeleton
from jaxpose.tasks.agreement import HEATMAP_TOLERANCE, KEYPOINT_TOLERANCE, MismatchError
from jaxpose.tasks.crops.prediction import CropDecoder


@dataclass(frozen=True)
class CropAgreement:
    """Differences between a file and its model on some crops.

    Attributes:
      heatmap: largest absolute difference between the heatmaps.
      scale: largest absolute heatmap value of the model.
      keypoint: largest distance between keypoints, in input pixels.
      keypoints: number of compared keypoints.
      ties: number of keypoints left out because rounding alone decides them: equally high maxima,
        or equal neighbors.
    """

    heatmap: float
    scale: float
    keypoint: float
    keypoints: int
    ties: int

    @property
    def holds(self) -> bool:
        """Whether both differences are within the tolerances; False when one of them is NaN."""
        heatmaps_agree = self.heatmap <= HEATMAP_TOLERANCE * max(self.scale, 1e-12)
        return heatmaps_agree and self.keypoint <= KEYPOINT_TOLERANCE

    def __str__(self) -> str:
        ties = f", {self.ties} left out as ties" if self.ties else ""
        return (
            f"heatmaps differ by at most {self.heatmap:.2g} (largest value {self.scale:.2g}), "
            f"keypoints by {self.keypoint:.2g} px ({self.keypoints} keypoints{ties})"
        )


def compare(
    expected: np.ndarray,
    actual: np.ndarray,
    input_size: tuple[int, int],
    decoder: CropDecoder,
    skeleton: Skeleton,
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
    points, _ = decoder.decode(expected, None, center, scale, skeleton)
    others, _ = decoder.decode(actual, None, center, scale, skeleton)
    distance = np.linalg.norm(np.asarray(points) - np.asarray(others), axis=-1)
    error, largest = float(np.abs(expected - actual).max()), float(np.abs(expected).max())
    # Rounding may decide ties, so they are left out. `noise` is capped: a large difference between
    # the outputs must not turn all keypoints into ties.
    noise = 4 * min(error, HEATMAP_TOLERANCE * largest)
    stride = width / expected.shape[2]
    tied = (distance > KEYPOINT_TOLERANCE) & _ties(expected, noise, distance < stride)
    distance = np.where(tied, 0, distance)
    return CropAgreement(
        error,
        largest,
        float(distance.max()),
        int(distance.size - tied.sum()),
        int(tied.sum()),
    )


def _ties(maps: np.ndarray, noise: float, near: np.ndarray) -> np.ndarray:
    """[B, K]: whether a difference below `noise`, as from rounding, can move a keypoint.

    Either the two highest heatmap values are equal up to `noise` (or the maximum is near 0), or,
    for keypoints that are `near`, the neighbors that give the quarter offset its sign are equal up
    to `noise`.
    """
    b, h, w, k = maps.shape
    flat = maps.transpose(0, 3, 1, 2).reshape(b, k, h * w)
    best = np.partition(flat, -2, axis=-1)
    peak = (best[..., -1] - best[..., -2] <= noise) | (np.abs(best[..., -1]) <= noise)
    top = flat.argmax(-1)
    y, x = np.clip(top // w, 1, h - 2), np.clip(top % w, 1, w - 2)
    rows, columns = np.indices((b, k))
    heatmaps = flat.reshape(b, k, h, w)
    across = heatmaps[rows, columns, y, x + 1] - heatmaps[rows, columns, y, x - 1]
    down = heatmaps[rows, columns, y + 1, x] - heatmaps[rows, columns, y - 1, x]
    return peak | (near & ((np.abs(across) <= noise) | (np.abs(down) <= noise)))
