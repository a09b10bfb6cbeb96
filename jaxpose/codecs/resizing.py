"""Bilinear and bicubic resizing of maps between pixel centers, with numpy and with jax.

numpy arrays are resized by OpenCV, which is several times faster on a CPU than the same arithmetic
in numpy. Its sampling positions are float32: exact where the ratio of the sizes is a power of two,
which is the usual case; else interpolated values may differ by about 1e-5 of the maps' range.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from jaxpose.codecs.arrays import as_array, einsum, namespace, with_opencv
from jaxpose.interpolation import linear_samples

if TYPE_CHECKING:
    from jax.typing import ArrayLike

    from jaxpose.codecs.arrays import Array


def resize_linear(maps: ArrayLike, size: tuple[int, ...]) -> Array:
    """[B, h, w, C] -> [B, H, W, C] float32, bilinear, no antialiasing.

    Samples lie at half-pixel centers; borders are repeated.
    """
    xp = namespace(maps)
    maps = as_array(xp, maps, np.float32)
    if xp is np:
        import cv2

        return with_opencv(cv2.resize, maps, size, size[::-1], interpolation=cv2.INTER_LINEAR)
    return _interpolate(_interpolate(maps, 1, size[0]), 2, size[1])


def resize_cubic(maps: ArrayLike, size: tuple[int, int]) -> Array:
    """[B, h, w, C] -> [B, H, W, C] float32, bicubic, to any larger size.

    Samples lie at half-pixel centers; borders are repeated. The kernel is that of OpenCV and
    PyTorch (a = -0.75).
    """
    xp = namespace(maps)
    maps = as_array(xp, maps, np.float32)
    if xp is np:
        import cv2

        return with_opencv(cv2.resize, maps, size, size[::-1], interpolation=cv2.INTER_CUBIC)
    rows, columns = (_cubic(n, m) for n, m in zip(maps.shape[1:3], size, strict=True))
    return einsum("yi,bijc,xj->byxc", rows, maps, columns)


def _interpolate(maps: Array, axis: int, length: int) -> Array:
    """Linear interpolation of one axis to `length` samples; the ends repeat the border pixel.

    The samples of `ops.resize`, gathered two by two: on maps of this size several times as fast on
    a CPU as the products of matrices that networks are trained and exported with.
    """
    import jax.numpy as jnp

    old = maps.shape[axis]
    if old == length:
        return maps
    low, high, share = linear_samples(old, length)
    shape = [1] * maps.ndim
    shape[axis] = length
    share = share.astype(np.float32).reshape(shape)
    return jnp.take(maps, low, axis) * (1 - share) + jnp.take(maps, high, axis) * share


@functools.cache
def _cubic(n: int, length: int) -> np.ndarray:
    """[length, n] weights of four neighbors each."""
    a = -0.75
    at = (np.arange(length) + 0.5) * (n / length) - 0.5
    base = np.floor(at).astype(int)
    weights = np.zeros((length, n))
    for tap in range(-1, 3):
        t = np.abs(at - (base + tap))
        near = ((a + 2) * t - (a + 3)) * t**2 + 1
        far = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
        np.add.at(
            weights,
            (np.arange(length), np.clip(base + tap, 0, n - 1)),
            np.where(t <= 1, near, far),
        )
    return weights.astype(np.float32)
