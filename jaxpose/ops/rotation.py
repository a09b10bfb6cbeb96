"""Grouped convolutions as sums of depthwise ones: the form for CPU, for small groups.

XLA's CPU backend runs grouped convolutions slowly. With groups of n channels, a grouped convolution
is a sum of n depthwise ones, for which `jaxpose.ops.taps` has a fast form. The d-th of them adds
input channel (o + d) mod n to output channel o of each group: rotate the channels of every group by
d, then convolve depthwise with the kernel entries of (o + d, o).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxpose.ops import taps


def forms(groups, stride, padding, size):
    """(function, gradients) of a convolution with groups of n channels to n channels, n small."""

    def rotate(x, d):
        n = x.shape[-1] // groups
        blocks = x.reshape(*x.shape[:-1], groups, n)
        twice = jnp.concatenate([blocks, blocks], -1)
        return lax.dynamic_slice_in_dim(twice, d, n, -1).reshape(x.shape)

    def fast(x, w):
        def term(total, item):
            d, kernel = item
            return total + taps.gather(rotate(x, d), kernel, stride, padding), None

        kernels = _rotated_kernels(w, groups)
        first = taps.gather(x, kernels[0], stride, padding)
        rest = (jnp.arange(1, len(kernels)), kernels[1:])
        return lax.scan(term, first, rest)[0].astype(x.dtype)

    def vjp(x, w, g):
        n = x.shape[-1] // groups

        def term(d, kernel):
            dx = rotate(taps.scatter(g, kernel, stride, padding, size), (n - d) % n)
            return dx, taps.correlate(rotate(x, d), g, w.shape[:2], stride, padding, dense=False)

        def step(total, item):
            dx, dw = term(*item)
            return total + dx, dw

        kernels = _rotated_kernels(w, groups)
        dx, dw = term(0, kernels[0])
        dx, rest = lax.scan(step, dx, (jnp.arange(1, n), kernels[1:]))
        dw = _unrotated_kernel(jnp.concatenate([dw[None], rest]), groups)
        return dx.astype(x.dtype), dw.astype(w.dtype)

    return fast, vjp


def _rotated_kernels(w: jax.Array, groups: int) -> jax.Array:
    """[kh, kw, n, C] -> [n, kh, kw, C]; entry (d, .., o) is w's entry ((o + d) mod n, .., o)."""
    kh, kw, n, channels = w.shape
    d, o = np.arange(n)[:, None], np.arange(n)[None]
    blocks = w.reshape(kh, kw, n, groups, n).transpose(2, 4, 0, 1, 3)[(o + d) % n, o]
    return blocks.transpose(0, 2, 3, 4, 1).reshape(n, kh, kw, channels)


def _unrotated_kernel(kernels: jax.Array, groups: int) -> jax.Array:
    """The inverse of `_rotated_kernels`."""
    n, kh, kw, channels = kernels.shape
    a, o = np.arange(n)[:, None], np.arange(n)[None]
    blocks = kernels.reshape(n, kh, kw, groups, n).transpose(0, 4, 1, 2, 3)[(a - o) % n, o]
    return blocks.transpose(2, 3, 0, 4, 1).reshape(kh, kw, n, channels)
