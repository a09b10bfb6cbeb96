"""Peaks of heatmaps: their positions, the values around them, and the blur before refinement.

Numpy arrays give numpy arrays, jax arrays give jax arrays; see `jaxpose.codecs.arrays`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jaxpose.codecs.arrays import einsum, namespace

if TYPE_CHECKING:
    from jaxpose.codecs.arrays import Array


def first_maximum(heatmaps: Array) -> tuple[Array, Array, Array]:
    """First row-major maximum: integer x, y and its value, each [B, K].

    Where the maximum is not positive, x and y are 0.
    """
    xp = namespace(heatmaps)
    batch, height, width, keypoints = heatmaps.shape
    flat = heatmaps.reshape(batch, height * width, keypoints)
    scores = flat.max(axis=1)
    index = xp.where(scores <= 0, 0, flat.argmax(axis=1))
    return index % width, index // width, scores


def values_at(maps: Array, x: Array, y: Array) -> Array:
    """Values [B, K] at integer positions [B, K]; positions outside read the nearest border."""
    xp = namespace(maps)
    batch, height, width, keypoints = maps.shape
    index = xp.clip(y, 0, height - 1) * width + xp.clip(x, 0, width - 1)
    flat = maps.reshape(batch, height * width, keypoints)
    return xp.take_along_axis(flat, index[:, None], axis=1)[:, 0]


def check_kernel(name: str, kernel: int) -> None:
    """Raises ValueError for a width that a smoothing kernel cannot have."""
    if kernel % 2 == 0 or kernel < 3:
        raise ValueError(f"the {name} kernel must be odd and at least 3, got {kernel}")


def smoothed(heatmaps: Array, scores: Array, kernel: int) -> Array:
    """Heatmaps [B, h, w, K] after a Gaussian blur, scaled to their former maxima.

    The blur is separable, of an odd width `kernel`, with zeros outside the map; its sigma is
    0.3 * ((kernel - 1) / 2 - 1) + 0.8. `scores` [B, K] are the maxima before the blur. A map whose
    blurred maximum is not positive is not scaled.
    """
    xp = namespace(heatmaps)
    height, width = heatmaps.shape[1:3]
    rows, columns = _smoothing_matrix(height, kernel), _smoothing_matrix(width, kernel)
    smooth = einsum("yj,xi,bjik->byxk", rows, columns, heatmaps)
    top = smooth.max(axis=(1, 2), keepdims=True)
    return smooth * (scores[:, None, None] / xp.where(top > 0, top, 1))


def _smoothing_matrix(length: int, kernel: int) -> np.ndarray:
    """[length, length] band matrix: a normalized Gaussian along one axis, zeros outside the map.

    A product of two such matrices is a separable convolution that is fast on every device.
    """
    sigma = 0.3 * ((kernel - 1) / 2 - 1) + 0.8
    distance = np.arange(length)[:, None] - np.arange(length)[None, :]
    taps = np.exp(-((np.arange(kernel) - kernel // 2) ** 2) / (2 * sigma**2))
    band = np.exp(-(distance**2) / (2 * sigma**2)) * (np.abs(distance) <= kernel // 2)
    return (band / taps.sum()).astype(np.float32)
