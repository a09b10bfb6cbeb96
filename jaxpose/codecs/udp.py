"""The offset from a heatmap's maximum to its keypoint in unbiased data processing (UDP).

Huang et al., The Devil Is in the Details: Delving into Unbiased Data Processing for Human Pose
Estimation, CVPR 2020, in the form of mmpose 1.x. The heatmap is smoothed and its logarithm taken;
the offset is one Newton step from the maximum of the unsmoothed heatmap. `topdown.decode_dark`
takes a similar step, with differences over two pixels, only inside the map, and of limited length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jaxpose.codecs.arrays import namespace
from jaxpose.codecs.peaks import check_kernel, smoothed, values_at

if TYPE_CHECKING:
    from jaxpose.codecs.arrays import Array

_LOWEST, _HIGHEST = 0.001, 50.0  # limits of the smoothed values before the logarithm
_EPSILON = float(np.finfo(np.float32).eps)  # added to the diagonal of the Hessian


def refine(heatmaps: Array, x: Array, y: Array, scores: Array, kernel: int) -> Array:
    """Offset -(D + eps I)^-1 g of the log-likelihood L at each maximum.

    L is the logarithm of the smoothed heatmap, clipped to [0.001, 50]; beyond the border it repeats
    its last values. Gradient g and Hessian D are differences over one pixel, with
    D_xy = (L(1,1) - L(1,0) - L(0,1) + 2 L(0,0) - L(-1,0) - L(0,-1) + L(-1,-1)) / 2. The step has no
    limit. It is 0 where L is flat, as for a map below 0.001, and where the maximum is not positive.

    Args:
      heatmaps: float32 [B, h, w, K].
      x: [B, K], column of the maximum.
      y: [B, K], row of the maximum.
      scores: [B, K], the maximum.
      kernel: odd width of the smoothing kernel in heatmap pixels.

    Returns:
      [B, K, 2] (x, y) in heatmap pixels.

    Raises:
      ValueError: an even kernel or one below 3.
    """
    check_kernel("UDP", kernel)
    xp = namespace(heatmaps)
    log = xp.log(xp.clip(smoothed(heatmaps, scores, kernel), _LOWEST, _HIGHEST))

    def at(dx: int, dy: int) -> Array:
        return values_at(log, x + dx, y + dy)

    middle, left, right, up, down = at(0, 0), at(-1, 0), at(1, 0), at(0, -1), at(0, 1)
    gx, gy = 0.5 * (right - left), 0.5 * (down - up)
    hxx = right - 2 * middle + left + _EPSILON
    hyy = down - 2 * middle + up + _EPSILON
    hxy = 0.5 * (at(1, 1) - right - down + 2 * middle - left - up + at(-1, -1))
    determinant = hxx * hyy - hxy**2
    usable = (scores > 0) & (determinant != 0)
    divisor = xp.where(usable, determinant, 1)
    step = xp.stack([hxy * gy - hyy * gx, hxy * gx - hxx * gy], -1) / divisor[..., None]
    return xp.where(usable[..., None], step, 0)
