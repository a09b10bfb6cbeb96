"""Filling in the joints that a person lacks, from all pixels of the maps."""

from __future__ import annotations

import numpy as np


def refine(
    heatmaps: np.ndarray, tags: np.ndarray, joints: np.ndarray, means: np.ndarray
) -> np.ndarray:
    """Best places for missing joints.

    For joint j of a person of mean tag m: the pixel of greatest heat_j - round(|tag_j - m|), the
    first of several; half a pixel further right and down, and a quarter toward the higher
    neighbour. It is taken when its heat is positive.

    Args:
      heatmaps: float32 [H, W, K].
      tags: float32 [H, W, K, T].
      joints: int [n], the joint that is missing.
      means: float32 [n, T], the mean tag of the person that lacks it.

    Returns:
      float32 [n, 3] (x, y, heat), zeros where the joint stays missing.
    """
    height, width, _ = heatmaps.shape
    filled = np.zeros((len(joints), 3), np.float32)
    for row, (joint, mean) in enumerate(zip(joints, means, strict=True)):
        heat = heatmaps[..., joint]
        distance = np.sqrt(np.square(tags[:, :, joint] - mean).sum(axis=2))
        y, x = divmod(int(np.argmax(heat - np.rint(distance))), width)
        if heat[y, x] > 0:
            right = heat[y, min(x + 1, width - 1)] > heat[y, max(x - 1, 0)]
            down = heat[min(y + 1, height - 1), x] > heat[max(y - 1, 0), x]
            filled[row] = x + 0.25 + 0.5 * right, y + 0.25 + 0.5 * down, heat[y, x]
    return filled
