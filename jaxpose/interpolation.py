"""Where a bilinear resize takes its samples: one rule for layers and for decoders."""

from __future__ import annotations

import numpy as np


def linear_samples(
    length: int, samples: int, align_corners: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions of the samples of one axis between its pixels.

    Args:
      length: pixels of the axis.
      samples: of the result.
      align_corners: whether the first and the last sample lie on the centers of the first and the
        last pixel; else the outer pixel borders agree, and samples beyond the outer centers repeat
        the border pixel.

    Returns:
      for each sample the pixels below and above it, and the share 0..1 of the pixel above.
    """
    if align_corners:
        at = np.arange(samples) * ((length - 1) / max(samples - 1, 1))
    else:
        at = np.maximum((np.arange(samples) + 0.5) * (length / samples) - 0.5, 0)
    low = np.minimum(at.astype(np.int32), length - 1)
    return low, np.minimum(low + 1, length - 1), at - low
