"""How far a top-down file is from its model: heatmaps, and the joints decoded from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jaxpose import geometry
from jaxpose.codecs import topdown
from jaxpose.export.graph import ExportError

HEATMAP_TOLERANCE = 1e-4  # of the largest heatmap value of the model
KEYPOINT_TOLERANCE = 0.05  # input pixels


class MismatchError(ExportError):
    """The exported file does not give what the model gives."""


@dataclass(frozen=True)
class Agreement:
    """How far a file is from its model over some crops."""

    heatmap: float  # largest absolute difference of the heatmaps
    scale: float  # largest absolute heatmap value of the model
    keypoint: float  # largest distance of a joint, in input pixels
    joints: int  # joints compared
    ties: int  # joints left out: equally high maxima, or equal neighbours, up to rounding

    @property
    def holds(self) -> bool:
        """Whether both are within the tolerances; not when one of them is NaN."""
        near = self.heatmap <= HEATMAP_TOLERANCE * max(self.scale, 1e-12)
        return near and self.keypoint <= KEYPOINT_TOLERANCE

    def __str__(self) -> str:
        tied = f", {self.ties} left out as ties" if self.ties else ""
        return (
            f"heatmaps differ by at most {self.heatmap:.2g} (largest value {self.scale:.2g}), "
            f"joints by {self.keypoint:.2g} px ({self.joints} joints{tied})"
        )


def compare(
    expected: np.ndarray,
    actual: np.ndarray,
    input_size: tuple[int, int],
    *,
    decode: str = "quarter",
    sigma: float = 2.0,
) -> Agreement:
    """Differences of two sets of heatmaps [B,h,w,K] and of the joints decoded from them.

    `decode` and `sigma` as for `codecs.topdown.decoder`.
    """
    if expected.shape != actual.shape:
        raise MismatchError(f"the file gives heatmaps {actual.shape}, the model {expected.shape}")
    function = topdown.decoder(decode, sigma)
    height, width = input_size
    sides = np.float32([width, height])
    center = np.tile(sides / 2, (len(expected), 1))
    scale = np.tile(sides / geometry.PIXEL_STD, (len(expected), 1))
    joints, _ = function(expected, center, scale)
    others, _ = function(actual, center, scale)
    distance = np.linalg.norm(np.asarray(joints) - np.asarray(others), axis=-1)
    error, largest = float(np.abs(expected - actual).max()), float(np.abs(expected).max())
    # Rounding may flip what it decides, but only rounding: a large difference is no excuse.
    noise = 4 * min(error, HEATMAP_TOLERANCE * largest)
    cell = width / expected.shape[2]
    tied = (distance > KEYPOINT_TOLERANCE) & _ties(expected, noise, distance < cell)
    distance = np.where(tied, 0, distance)
    return Agreement(
        error,
        largest,
        float(distance.max()),
        int(distance.size - tied.sum()),
        int(tied.sum()),
    )


def _ties(maps: np.ndarray, noise: float, near: np.ndarray) -> np.ndarray:
    """[B,K]: joints whose place is decided by less than `noise`, which rounding alone can flip.

    Either two cells are the maximum up to `noise` (or none is above 0), or, for the joints that are
    `near`, the neighbours that give the quarter offset its sign are equal up to `noise`.
    """
    b, h, w, k = maps.shape
    flat = maps.transpose(0, 3, 1, 2).reshape(b, k, h * w)
    best = np.partition(flat, -2, axis=-1)
    peak = (best[..., -1] - best[..., -2] <= noise) | (np.abs(best[..., -1]) <= noise)
    top = flat.argmax(-1)
    y, x = np.clip(top // w, 1, h - 2), np.clip(top % w, 1, w - 2)
    rows, columns = np.indices((b, k))
    grid = flat.reshape(b, k, h, w)
    across = grid[rows, columns, y, x + 1] - grid[rows, columns, y, x - 1]
    down = grid[rows, columns, y + 1, x] - grid[rows, columns, y - 1, x]
    return peak | (near & ((np.abs(across) <= noise) | (np.abs(down) <= noise)))
