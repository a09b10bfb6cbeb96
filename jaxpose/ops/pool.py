"""Pooling and resizing. NHWC; PyTorch's rules for windows, bins and sample positions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxpose.choices import choose_from
from jaxpose.interpolation import linear_samples
from jaxpose.ops import taps
from jaxpose.ops.conv import Size, pair
from jaxpose.ops.named import call, linear, with_gradient

RESIZE_METHODS = ("bilinear", "bilinear_align_corners", "nearest")


def max_pool(x: jax.Array, *, window: Size, stride: Size, padding: Size = 0) -> jax.Array:
    """Maximum over windows; padding counts as minus infinity.

    x: [B, H, W, C] -> [B, (H+2p-k)//s+1, (W+2p-k)//s+1, C]. PyTorch: ``F.max_pool2d(x, window,
    stride, padding)``.
    """
    return call(_max_pool, x, window=pair(window), stride=pair(stride), padding=pair(padding))


def avg_pool(
    x: jax.Array, *, window: Size, stride: Size, padding: Size = 0, count_include_pad: bool = True
) -> jax.Array:
    """Mean over windows; ``count_include_pad`` says whether padded zeros count in the denominator.

    x: [B, H, W, C] -> [B, (H+2p-k)//s+1, (W+2p-k)//s+1, C]. PyTorch: ``F.avg_pool2d``.
    """
    return call(
        _avg_pool,
        x,
        window=pair(window),
        stride=pair(stride),
        padding=pair(padding),
        count_include_pad=bool(count_include_pad),
    )


def adaptive_avg_pool(x: jax.Array, *, size: Size) -> jax.Array:
    """Mean over ``size`` = (h, w) bins; bin i of n covers pixels floor(i*H/n) to ceil((i+1)*H/n).

    x: [B, H, W, C] -> [B, h, w, C]. PyTorch: ``F.adaptive_avg_pool2d(x, size)``.
    """
    return call(_adaptive_avg_pool, x, size=pair(size))


def resize(x: jax.Array, *, size: Size, method: str = "bilinear") -> jax.Array:
    """Resize to ``size`` = (h, w), without antialiasing.

    bilinear: half-pixel centers, PyTorch's ``align_corners=False``; bilinear_align_corners: corner
    pixels map to corner pixels; nearest: source index floor(i*H/h), PyTorch's ``nearest``.

    x: [B, H, W, C] -> [B, h, w, C]. PyTorch: ``F.interpolate(x, size, mode=...)``.
    """
    if method not in RESIZE_METHODS:
        raise ValueError(f"unknown resize method {method!r}; {choose_from(method, RESIZE_METHODS)}")
    return call(_resize, x, size=pair(size), method=method)


def global_avg_pool(x: jax.Array) -> jax.Array:
    """Mean over the image, [B, H, W, C] -> [B, 1, 1, C].

    PyTorch: ``F.adaptive_avg_pool2d(x, 1)``.
    """
    return call(_global_avg_pool, x)


def global_max_pool(x: jax.Array) -> jax.Array:
    """Maximum over the image, [B, H, W, C] -> [B, 1, 1, C].

    PyTorch: ``F.adaptive_max_pool2d(x, 1)``.
    """
    return call(_global_max_pool, x)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def maximum(x: jax.Array, axis: int) -> jax.Array:
    """Maximum along an axis, kept with length 1; the first of equal values gets the gradient.

    JAX's gradient compares x with the maximum and divides by the number of equal values. Where the
    compiler computes x twice with different rounding, no value is equal, and the result is 0 / 0.
    """
    return jnp.max(x, axis, keepdims=True)


def _maximum_forward(x, axis):
    return maximum(x, axis), x


def _maximum_backward(axis, x, g):
    first = jnp.argmax(x, axis, keepdims=True)
    index = lax.broadcasted_iota(first.dtype, x.shape, axis % x.ndim)
    return (jnp.where(index == first, g, 0),)


maximum.defvjp(_maximum_forward, _maximum_backward)


def _max_pool(x, *, impl, window, stride, padding):
    return lax.reduce_window(
        x,
        # A NumPy constant: JAX differentiates the maximum only when it knows the initial value.
        np.array(-np.inf, x.dtype),
        lax.max,
        (1, *window, 1),
        (1, *stride, 1),
        ((0, 0), *((p, p) for p in padding), (0, 0)),
    )


def _window_counts(size, window, stride, padding) -> np.ndarray:
    """How many pixels of the image each window covers, [h, w, 1]."""
    counts = []
    for n, k, s, p in zip(size, window, stride, padding, strict=True):
        starts = np.arange((n + 2 * p - k) // s + 1) * s - p
        counts.append(np.minimum(starts + k, n) - np.maximum(starts, 0))
    return np.outer(*counts).astype(np.float32)[:, :, None]


def _avg_pool(x, *, impl, window, stride, padding, count_include_pad):
    window, stride, padding, size = tuple(window), tuple(stride), tuple(padding), x.shape[1:3]
    ones = np.ones((*window, x.shape[-1]), np.float32)
    share: np.floating | np.ndarray
    if count_include_pad:
        share = np.float32(1 / (window[0] * window[1]))
    else:
        share = 1 / _window_counts(size, window, stride, padding)

    def native(x):
        sums = lax.reduce_window(
            x.astype(jnp.float32),
            np.float32(0),
            lax.add,
            (1, *window, 1),
            (1, *stride, 1),
            ((0, 0), *((p, p) for p in padding), (0, 0)),
        )
        return (sums * share).astype(x.dtype)

    def fast(x):
        return (taps.gather(x, ones, stride, padding) * share).astype(x.dtype)

    def vjp(x, g):
        g = g.astype(jnp.float32) * share
        return (taps.scatter(g, ones, stride, padding, size).astype(x.dtype),)

    return with_gradient(impl, native, fast, vjp)(x)


def _separable(x, rows: np.ndarray, columns: np.ndarray):
    """out[b,i,j,c] = sum over h, w of rows[i,h] * columns[j,w] * x[b,h,w,c]."""
    x32 = x.astype(jnp.float32)
    out = jnp.einsum("ih,bhwc,jw->bijc", rows, x32, columns, precision=lax.Precision.HIGHEST)
    return out.astype(x.dtype)


@functools.cache
def average_bins(n: int, bins: int) -> np.ndarray:
    """Row i holds the weights of bin i of an adaptive average pool, [bins, n]."""
    weights = np.zeros((bins, n), np.float32)
    for i in range(bins):
        start, stop = i * n // bins, -(-(i + 1) * n // bins)
        weights[i, start:stop] = 1 / (stop - start)
    return weights


def _adaptive_avg_pool(x, *, impl, size):
    b, h, w, c = x.shape
    if h % size[0] or w % size[1]:
        return _separable(x, average_bins(h, size[0]), average_bins(w, size[1]))
    window = (1, h // size[0], w // size[1], 1)

    def blocks(x):
        parts = x.reshape(b, size[0], window[1], size[1], window[2], c)
        return jnp.mean(parts, (2, 4), dtype=jnp.float32).astype(x.dtype)

    # To split or merge rows and columns, as `blocks` does, a TPU rearranges the array; sums over
    # windows take a tenth to a half of the time (docs/plan.md).
    def windows(x):
        sums = lax.reduce_window(
            x.astype(jnp.float32), np.float32(0), lax.add, window, window, "VALID"
        )
        return (sums * np.float32(1 / (window[1] * window[2]))).astype(x.dtype)

    return linear(impl, blocks, windows, x)


@functools.cache
def _interpolation(n: int, out: int, align_corners: bool) -> np.ndarray:
    """Row i holds the two weights of bilinear sample i, [out, n]."""
    low, high, share = linear_samples(n, out, align_corners)
    weights = np.zeros((out, n))
    np.add.at(weights, (np.arange(out), low), 1 - share)
    np.add.at(weights, (np.arange(out), high), share)
    return weights.astype(np.float32)


def _resize(x, *, impl, size, method):
    b, h, w, c = x.shape
    if method != "nearest":
        align = method == "bilinear_align_corners"
        return _separable(x, _interpolation(h, size[0], align), _interpolation(w, size[1], align))
    if size[0] % h or size[1] % w:
        rows, columns = np.arange(size[0]) * h // size[0], np.arange(size[1]) * w // size[1]
        return x[:, rows][:, :, columns]
    copies = (size[0] // h, size[1] // w)

    def blocks(x):
        up = (b, h, copies[0], w, copies[1], c)
        return jnp.broadcast_to(x[:, :, None, :, None], up).reshape(b, *size, c)

    def windows(x):  # each has one pixel and the zeros between pixels
        window = (1, *copies, 1)
        sums = lax.reduce_window(
            x.astype(jnp.float32),
            np.float32(0),
            lax.add,
            window,
            (1, 1, 1, 1),
            [(n - 1, n - 1) for n in window],
            base_dilation=window,
        )
        return sums.astype(x.dtype)

    return linear(impl, blocks, windows, x)


def _global_avg_pool(x, *, impl):
    return jnp.mean(x, (1, 2), keepdims=True, dtype=jnp.float32).astype(x.dtype)


def _global_max_pool(x, *, impl):
    b, h, w, c = x.shape
    return maximum(x.reshape(b, h * w, c), 1)[:, None]
