"""Sample positions of bilinear resizing, shared by layers and codecs."""

from __future__ import annotations

import numpy as np


def linear_samples(
    length: int, samples: int, align_corners: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two pixels that each sample lies between, along one axis.

    Args:
      length: number of pixels along the axis.
      samples: number of samples.
      align_corners: whether the first and the last sample lie on the centers of the first and the
        last pixel; else the outer pixel borders agree, and samples beyond the outer centers repeat
        the border pixel.

    Returns:
      For each sample, the index of the pixel below it, that of the pixel above it, and the weight
      0..1 of the pixel above.
    """
    if align_corners:
        position = np.arange(samples) * ((length - 1) / max(samples - 1, 1))
    else:
        position = np.maximum((np.arange(samples) + 0.5) * (length / samples) - 0.5, 0)
    low = np.minimum(position.astype(np.int32), length - 1)
    return low, np.minimum(low + 1, length - 1), position - low
