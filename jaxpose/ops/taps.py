"""Convolution as sums over kernel taps: the building blocks of the fast CPU forms.

For stride s, padding p and dilation d, image index y, output index o and kernel index k satisfy
``y = o * s + k * d - p``. Each function sums over one of the three (here d = 1):

    gather     out[o] = sum_k  x[o*s + k - p] * w[k]          convolution
    scatter    out[y] = sum_ok g[o] * w[k], o*s + k - p = y   its transpose: transposed convolution
    correlate  dw[k]  = sum_o  x[o*s + k - p] * g[o]          gradient of the kernel

All arrays are NHWC; the kernel is [kh, kw, C] (depthwise) or [kh, kw, Cin, Cout] (dense). Sums are
float32. A depthwise sum runs over shifted slices. A dense one is a matrix product (1x1), or XLA's
convolution in a form that is fast on CPU: NHWC images, no inserted zeros, operands that fit into
the cache.
"""

import itertools
from collections.abc import Sequence
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Pair = tuple[int, ...]  # (rows, columns); any length, because a slice of a shape has that type
Weights = jax.Array | np.ndarray

CACHED = 2**18  # array elements; about what the second-level cache of a core holds


def _product(x: jax.Array, w: Weights) -> jax.Array:
    """The product of one tap: per channel for a vector w, a matrix product for a matrix w."""
    x, w = x.astype(jnp.float32), w.astype(jnp.float32)
    return x @ w if w.ndim == 2 else x * w


def _window(x: jax.Array, start: Pair, size: Pair, stride: Pair) -> jax.Array:
    """x[:, start : start + size * stride : stride] along both image axes."""
    (r, c), (h, w), (sh, sw) = start, size, stride
    return lax.slice(
        x,
        (0, r, c, 0),
        (x.shape[0], r + (h - 1) * sh + 1, c + (w - 1) * sw + 1, x.shape[3]),
        (1, sh, sw, 1),
    )


def _convolve(
    x: jax.Array, w: Weights, stride: Pair, dilation: Pair, sides: Sequence[Pair] = ((0, 0), (0, 0))
) -> jax.Array:
    """Dense convolution, float32; `sides` are zeros before and after the rows and the columns."""
    x, w = x.astype(jnp.float32), w.astype(jnp.float32)
    if few_weights(w, stride):
        return _convolve_planes(_pad(x, *sides), w, dilation)
    return lax.conv_general_dilated(
        x,
        jnp.asarray(w),
        stride,
        [(before, after) for before, after in sides],
        rhs_dilation=dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _convolve_in_xla(x: jax.Array, w: Weights, dilation: Pair, sides: Sequence[Pair]) -> jax.Array:
    """`_convolve` of stride 1, with more zeros below if the result would have no more rows than x.

    XLA hands a convolution on CPU to YNNPACK unless its result or its kernel is larger than its
    image (XLA of JAX 0.10). For kernels of 2x2, XLA's own form is 1.3 to 4 times as fast. The
    caller takes the rows that it needs.
    """
    (top, bottom), columns = sides
    reached = reach(w.shape[:2], dilation)[0]
    return _convolve(x, w, (1, 1), dilation, ((top, max(bottom, reached - top)), columns))


def few_weights(w: Weights, stride: Pair) -> bool:
    """Whether a dense convolution is faster as a sum of shifted images of one channel each."""
    return w.size <= 128 and w.shape[0] > 2 and stride == (1, 1)


def _convolve_planes(x: jax.Array, w: Weights, dilation: Pair) -> jax.Array:
    """`_convolve` as sums of shifted images of one channel each.

    The 7x7 convolution of two channels to one in CBAM takes a third of the time on [4,64,48,2]. A
    loop over the rows of the kernel: XLA would compute a single sum again for each channel that the
    result is multiplied by.
    """
    kh, kw, channels, outputs = w.shape
    h, width = output_size(x.shape[1:3], reach((kh, kw), dilation), (1, 1), (0, 0))
    planes = [x[..., c] for c in range(channels)]

    def row(i, weights):
        rows = [lax.dynamic_slice_in_dim(p, i * dilation[0], h, 1) for p in planes]
        return [
            sum(
                lax.slice_in_dim(rows[c], j * dilation[1], j * dilation[1] + width, axis=2)
                * weights[j, c, out]
                for j, c in np.ndindex(kw, channels)
            )
            for out in range(outputs)
        ]

    def step(total, item):
        return [a + b for a, b in zip(total, row(*item), strict=True)], None

    total, _ = lax.scan(step, row(0, w[0]), (jnp.arange(1, kh), w[1:]))
    return jnp.stack(total, -1)


def _pad(x: jax.Array, rows: Pair, columns: Pair) -> jax.Array:
    if not any(rows + columns):
        return x
    (top, bottom), (left, right) = rows, columns
    sides = ((0, 0, 0), (top, bottom, 0), (left, right, 0), (0, 0, 0))
    return lax.pad(x, jnp.zeros((), x.dtype), sides)


def output_size(size: Pair, kernel: Pair, stride: Pair, padding: Pair) -> Pair:
    """Image size after a convolution or pooling (PyTorch's floor rule)."""
    return tuple(
        (n + 2 * p - k) // s + 1 for n, k, s, p in zip(size, kernel, stride, padding, strict=True)
    )


def reach(kernel: Pair, dilation: Pair) -> Pair:
    """Pixels from the first tap to the last, both included."""
    return tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))


def gather(
    x: jax.Array, w: Weights, stride: Pair, padding: Pair, dilation: Pair = (1, 1)
) -> jax.Array:
    """out[o] = sum_k x[o*s + k*d - p] * w[k], float32."""
    kernel = w.shape[:2]
    size = output_size(x.shape[1:3], reach(kernel, dilation), stride, padding)
    x = _pad(x, (padding[0],) * 2, (padding[1],) * 2)
    if w.ndim == 4 and kernel != (1, 1):
        return _convolve(x, w, stride, dilation)
    terms = (
        _product(_window(x, (i * dilation[0], j * dilation[1]), size, stride), w[i, j])
        for i, j in itertools.product(*map(range, kernel))
    )
    return cast(jax.Array, sum(terms))


def scatter(
    g: jax.Array,
    w: Weights,
    stride: Pair,
    padding: Pair,
    size: Pair,
    dilation: Pair = (1, 1),
) -> jax.Array:
    """out[y] = sum of g[o] * w[k] over o*s + k*d - p = y, for image size ``size``; float32.

    Image index y = a*s + r meets only the taps k*d = r + p modulo s, at o = a + (r + p - k*d)/s:
    each of the s*s phases r is a small stride-1 sum, without products with inserted zeros.
    """
    kernel = w.shape[:2]
    phases = tuple(-(-n // s) for n, s in zip(size, stride, strict=True))
    lows, highs, offsets = [], [], []
    for axis in range(2):
        k, s, p, n = kernel[axis], stride[axis], padding[axis], phases[axis]
        # r + p - k*d of every phase r and tap t; a tap belongs to a phase if s divides it.
        shifts = [r + p - t * dilation[axis] for r in range(s) for t in range(k)]
        table = [
            [
                (t, shift // s)
                for t, shift in enumerate(shifts[r * k : (r + 1) * k])
                if shift % s == 0
            ]
            for r in range(s)
        ]
        starts = [start for taps in table for _, start in taps]
        lows.append(max(0, -min(starts)))
        highs.append(max(0, max(starts) + n - g.shape[1 + axis]))
        offsets.append([[(t, start + lows[axis]) for t, start in taps] for taps in table])
    sides = ((lows[0], highs[0]), (lows[1], highs[1]))
    unpadded, g = g, _pad(g, *sides)

    def terms(rows, columns):
        for (tr, dr), (tc, dc) in itertools.product(rows, columns):
            yield _product(_window(g, (dr, dc), phases, (1, 1)), w[tr, tc])

    def phase(rows, columns):
        if not rows or not columns:
            return jnp.zeros((g.shape[0], *phases, w.shape[-1]), jnp.float32)
        if w.ndim == 3 or len(rows) == len(columns) == 1:
            return sum(terms(rows, columns))
        # The images of the taps lie `step` apart, in the opposite order.
        (tr, dr), (tc, dc) = (zip(*reversed(pairs), strict=True) for pairs in (rows, columns))
        step = tuple(d[1] - d[0] if len(d) > 1 else 1 for d in (dr, dc))
        taps = w[np.array(tr)][:, np.array(tc)]
        if stride != (1, 1):
            larger = _convolve_in_xla(unpadded, taps, step, sides)
            return _window(larger, (dr[0], dc[0]), phases, (1, 1))
        size = tuple(d[-1] - d[0] + n for d, n in zip((dr, dc), phases, strict=True))
        return _convolve(_window(g, (dr[0], dc[0]), size, (1, 1)), taps, (1, 1), step)

    if stride == (1, 1):
        return phase(offsets[0][0], offsets[1][0])
    parts = [
        jnp.stack([phase(rows, columns) for columns in offsets[1]], axis=3) for rows in offsets[0]
    ]
    out = jnp.stack(parts, axis=2)  # [B, h, sh, w, sw, C]
    out = out.reshape(g.shape[0], phases[0] * stride[0], phases[1] * stride[1], w.shape[-1])
    return out[:, : size[0], : size[1]]


def correlate(
    x: jax.Array,
    g: jax.Array,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dense: bool,
    dilation: Pair = (1, 1),
) -> jax.Array:
    """dw[k] = sum of x[o*s + k*d - p] * g[o] over batch and o, float32.

    [kh, kw, C], or (dense) [kh, kw, Cin, Cout].
    """
    size = g.shape[1:3]
    # Only rows and columns that a tap reads; x may be larger.
    stops = tuple(
        (n - 1) * s + k - p
        for n, s, k, p in zip(size, stride, reach(kernel, dilation), padding, strict=True)
    )
    extra = tuple(stop - n for stop, n in zip(stops, x.shape[1:3], strict=True))
    sides = tuple(zip(padding, extra, strict=True))
    if dense and tuple(kernel) != (1, 1):
        return _correlate_dense(x, g, kernel, stride, dilation, sides)
    x = _pad(x, *sides)
    if dense:
        return _pixel_product(_window(x, (0, 0), size, stride), g)[None, None]
    return _correlate_channels(x, g, kernel, stride, dilation)


def _pixel_product(a: jax.Array, b: jax.Array) -> jax.Array:
    """Sum over all pixels of the outer products of channels, [Ca, Cb], float32."""
    if a.shape[-1] > b.shape[-1]:  # the left factor is rearranged, so it should be the smaller
        return _pixel_product(b, a).T
    # With several contracted axes, XLA first writes a transposed copy, and computes whatever `a` is
    # made of in that order.
    a, b = (x.astype(jnp.float32).reshape(-1, x.shape[-1]) for x in (a, b))
    return lax.dot_general(a, b, (((0,), (0,)), ((), ())))


def _largest_divisor(n: int, most: int) -> int:
    return max(d for d in range(1, n + 1) if n % d == 0 and (d <= most or d == 1))


def _correlate_dense(
    x: jax.Array,
    g: jax.Array,
    kernel: Pair,
    stride: Pair,
    dilation: Pair,
    sides: tuple[Pair, ...],
) -> jax.Array:
    """`correlate` of all pairs of channels: [kh, kw, Cin, Cout]; `sides` pad x.

    A convolution: the channels of x are its images, g is its kernel, and the images of x are its
    channels. A kernel of the size of a large image makes XLA's CPU convolution two to three times
    as slow as strips (some images, or some rows of one) that fit into the cache.
    """

    def correlation(x, g, sides):
        x, g = x.transpose(3, 1, 2, 0), g.transpose(1, 2, 0, 3)
        return _convolve(x, g, dilation, stride, sides)

    b, h, w, c = g.shape
    sh, sw = stride
    channels = max(x.shape[-1] * sh * sw, c)
    if b * h * w * channels <= 2 * CACHED:  # without the copies of strips
        return correlation(x, g, sides).transpose(1, 2, 0, 3)
    images = _largest_divisor(b, CACHED // (h * w * channels))
    rows = _largest_divisor(h, CACHED // (images * w * channels))
    reached = (rows - 1) * sh + reach(kernel, dilation)[0]
    x = _pad(x, *sides)

    def strip_correlation(start):
        image, row = start
        strip = lax.dynamic_slice(g, (image, row, 0, 0), (images, rows, w, c))
        size = (images, reached, *x.shape[2:])
        window = lax.dynamic_slice(x, (image, row * sh, 0, 0), size)
        return correlation(window, strip, ((0, 0), (0, 0)))

    starts = itertools.product(range(0, b, images), range(0, h, rows))
    parts = lax.map(strip_correlation, jnp.array(list(starts)))
    return parts.sum(0).transpose(1, 2, 0, 3)


def _correlate_channels(
    x: jax.Array, g: jax.Array, kernel: Pair, stride: Pair, dilation: Pair
) -> jax.Array:
    """`correlate` per channel, of a padded x: [kh, kw, C].

    A loop over the taps: unrolled, kh*kw products of the size of g would be in memory at once. Each
    strip (some images, or some rows of one) fits into the cache and goes through all taps before
    the next one: 7x7 on [4,112,112,96] takes a third of the time. The sum over pixels is a matrix
    product with ones, on CPU about 1.5 times faster here than a reduction.
    """
    b, h, w, c = g.shape
    sh, sw = stride
    images = _largest_divisor(b, CACHED // (h * w * c))
    rows = _largest_divisor(h, CACHED // (images * w * c))
    ones = jnp.ones((1, images * rows * w), jnp.float32)

    def strip_product(start):
        image, row, i, j = start
        strip = lax.dynamic_slice(g, (image, row, 0, 0), (images, rows, w, c))
        size = (images, (rows - 1) * sh + 1, (w - 1) * sw + 1, c)
        at = (image, row * sh + i * dilation[0], j * dilation[1], 0)
        window = lax.dynamic_slice(x, at, size)[:, ::sh, ::sw]
        product = window.astype(jnp.float32) * strip.astype(jnp.float32)
        return (ones @ product.reshape(-1, c))[0]

    starts = itertools.product(range(0, b, images), range(0, h, rows), *map(range, kernel))
    parts = lax.map(strip_product, jnp.array(list(starts)))
    return parts.reshape(-1, *kernel, c).sum(0)
