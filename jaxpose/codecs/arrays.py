"""Array operations that numpy and jax do differently, each in both forms.

Decoding runs in two places: on the device inside `jax.jit`, and on a host that may have no jax at
all, as when an exported file predicts. The codecs are therefore written once, on the functions that
numpy and jax.numpy share (`namespace` tells which of them to call) and on the functions below. An
array's own kind decides: numpy arrays give numpy arrays, jax arrays (traced ones too) give jax
arrays. This module never imports jax; whoever passes a jax array has imported it.
"""

from __future__ import annotations

import functools
import itertools
import operator
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import jax

    Array = np.ndarray | jax.Array

_OPENCV_CHANNELS = 128  # CV_CN_MAX of OpenCV 5; 512 before


def namespace(*arrays: Any) -> Any:
    """`jax.numpy` where at least one of the arrays is a jax array or a tracer, else `numpy`."""
    jax = sys.modules.get("jax")
    if jax is not None and any(isinstance(array, jax.Array) for array in arrays):
        return jax.numpy
    return np


def as_array(xp: Any, values: Any, dtype: Any = None) -> Array:
    """`xp.asarray`, with a type that has a shape."""
    return xp.asarray(values, dtype)


def einsum(subscripts: str, *operands: Any) -> Array:
    """`einsum` in float32.

    On accelerators, jax would otherwise multiply in bfloat16 or TF32. Without `optimize`, numpy
    would loop over all indices at once instead of multiplying matrices.
    """
    xp = namespace(*operands)
    if xp is np:
        return np.einsum(subscripts, *operands, optimize=True)
    from jax import lax

    return xp.einsum(subscripts, *operands, precision=lax.Precision.HIGHEST)


def gather(values: Any, index: tuple[Any, ...]) -> Array:
    """`values[index]`, where indices beyond an axis read its last element.

    numpy would raise an exception there, jax return NaN.
    """
    if namespace(values) is np:
        limits = values.shape
        return values[tuple(np.clip(i, 0, n - 1) for i, n in zip(index, limits, strict=True))]
    return values.at[index].get(mode="clip")


def stack_of(function: Callable[[Any], tuple[Any, ...]], items: Sequence[Any]) -> tuple[Any, ...]:
    """Results of a function for each item, one item after another, each result stacked.

    With jax the function is traced once and runs in a loop (`lax.map`).

    Args:
      function: from a list of arrays to a tuple of arrays.
      items: lists of arrays; all of the same shapes.

    Returns:
      A tuple of arrays [len(items), ...].
    """
    xp = namespace(*(array for item in items for array in item))
    if xp is np:
        return tuple(np.stack(each) for each in zip(*map(function, items), strict=True))
    from jax import lax

    return lax.map(function, [xp.stack(each) for each in zip(*items, strict=True)])


def mean_of(arrays: Sequence[Array]) -> Array:
    """Mean of several arrays of one shape. A single one is returned as it is, without a copy."""
    return functools.reduce(operator.add, arrays) / len(arrays) if len(arrays) > 1 else arrays[0]


def with_opencv(
    function: Callable[..., np.ndarray],
    maps: Array,
    size: tuple[int, ...],
    *arguments: Any,
    **options: Any,
) -> np.ndarray:
    """Results [B, *size, C] of an OpenCV function for maps [B, h, w, C].

    The function is called image by image, for no more channels at once than OpenCV takes.
    """
    batch, channels = len(maps), maps.shape[-1]
    starts = range(0, channels, _OPENCV_CHANNELS)
    parts = [
        function(np.ascontiguousarray(image[..., i : i + _OPENCV_CHANNELS]), *arguments, **options)
        for image in maps
        for i in starts
    ]
    parts = [part.reshape(*size, -1) for part in parts]
    if len(parts) == 1:  # without a copy
        return parts[0][None]
    results = np.empty((batch, *size, channels), np.float32)
    for (image, i), part in zip(itertools.product(range(batch), starts), parts, strict=True):
        results[image, ..., i : i + _OPENCV_CHANNELS] = part
    return results


def max_pool(maps: Array, window: int) -> Array:
    """Maximum over the window around each pixel, cut at the border; stride 1.

    numpy has no such operation; OpenCV's dilation is the quickest on a CPU.

    Args:
      maps: float32 [B, H, W, C].
      window: odd side of the window, in pixels.

    Returns:
      [B, H, W, C].
    """
    if namespace(maps) is np:
        import cv2

        return with_opencv(cv2.dilate, maps, maps.shape[1:3], np.ones((window, window), np.uint8))
    from jax import lax

    for axis in (2, 1):
        size, padding = [1] * 4, [(0, 0)] * 4
        size[axis], padding[axis] = window, (window // 2,) * 2
        maps = lax.reduce_window(maps, -np.inf, lax.max, size, (1,) * 4, padding)
    return maps


def halve(maps: Array, largest: bool) -> Array:
    """Largest or smallest values over squares of two by two pixels.

    Args:
      maps: [B, H, W, ...]. Where a side is odd, its last squares are smaller.
      largest: take the largest value, not the smallest.

    Returns:
      [B, ceil(H / 2), ceil(W / 2), ...].
    """
    rest = maps.ndim - 3
    padding = [(0, 0), *((0, length % 2) for length in maps.shape[1:3])] + [(0, 0)] * rest
    start = -np.inf if largest else np.inf
    if namespace(maps) is np:
        extreme = np.maximum if largest else np.minimum
        if any(after for _, after in padding):
            maps = np.pad(maps, padding, constant_values=start)
        rows = extreme(maps[:, ::2], maps[:, 1::2])
        return extreme(rows[:, :, ::2], rows[:, :, 1::2])
    from jax import lax

    window = (1, 2, 2) + (1,) * rest
    return lax.reduce_window(maps, start, lax.max if largest else lax.min, window, window, padding)


def pad(maps: Array, padding: Sequence[tuple[int, int]], **options: Any) -> Array:
    """`pad`, without numpy's copy where nothing is to be added."""
    xp = namespace(maps)
    return xp.pad(maps, padding, **options) if xp is not np or np.any(padding) else maps


def strip_max(strips: Array) -> Array:
    """Maximum over axis 2 of [A, B, S, C], S a power of two.

    Halving the strips is several times faster in numpy than a reduction over an inner axis.
    """
    if namespace(strips) is not np:
        return strips.max(axis=2)
    while (length := strips.shape[2]) > 1:
        strips = np.maximum(strips[:, :, : length // 2], strips[:, :, length // 2 :])
    return strips[:, :, 0]


def top_k(values: Array, number: int) -> tuple[Array, Array]:
    """The `number` largest values of the last axis, largest first, and their indices.

    Of equal values, the one of lower index comes first; -0 is less than +0. That is the order of
    `lax.top_k`, which decides between equal peaks.

    Args:
      values: float32 [..., N].
      number: at most N.

    Returns:
      values [..., number] and int32 indices [..., number].
    """
    if namespace(values) is not np:
        from jax import lax

        return lax.top_k(values, number)
    rows = np.ascontiguousarray(values).reshape(-1, values.shape[-1])
    bits = rows.view(np.int32)
    # Integers in the reverse order of the floating-point numbers; -0 and +0 differ.
    rank = ~np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits)
    order = np.empty((len(rows), number), np.int32)
    for row, ranks in enumerate(rank):
        last = np.partition(ranks, number - 1)[number - 1]
        above = np.flatnonzero(ranks < last)
        order[row, : len(above)] = above[np.argsort(ranks[above], kind="stable")]
        order[row, len(above) :] = np.flatnonzero(ranks == last)[: number - len(above)]
    shape = (*values.shape[:-1], number)
    return np.take_along_axis(rows, order, axis=1).reshape(shape), order.reshape(shape)


def map_arrays(function: Callable[[Any], Any], arrays: Any) -> Any:
    """Calls a function for each array in nested tuples; `jax.tree.map` for those without jax."""
    if not isinstance(arrays, tuple):
        return function(arrays)
    parts = [map_arrays(function, part) for part in arrays]
    return type(arrays)(*parts) if hasattr(arrays, "_fields") else tuple(parts)


def image_of(batch: Any, index: int) -> Any:
    """Numpy arrays of one image of a batch: of each array [B, ...] in nested tuples, its row."""
    return map_arrays(lambda array: np.asarray(array[index]), batch)
