"""Depthwise convolutions as grouped ones: the form for TPUs.

XLA computes a depthwise convolution on a TPU in the vector units, but a grouped one in the matrix
units. So each block of n channels becomes a group, whose [n, n] matrices are zero off the diagonal.
By the estimates of the TPU compiler, most are faster for it (docs/plan.md has the table).

A product with zero adds nothing, so the results are the same up to the order of the sums. But an
infinity or NaN in one channel reaches all channels of its block.
"""

import jax
import jax.numpy as jnp
import numpy as np

SUBLANES, LANES = 8, 128  # of a register: channels and images, if both are many enough
LARGEST_KERNEL = 5
LARGEST_BLOCK = 32


def block_size(x: jax.Array, kernel: tuple[int, ...]) -> int | None:
    """Channels per block of a depthwise convolution of ``x``, or None where it should stay as it is.

    8, or for a few channels that 8 does not divide, all of them. None for float32, whose products
    the matrix units would round, for batches that do not fill the lanes, and for kernels larger
    than 5x5: there, the compiler sees losses.
    """
    if x.dtype != jnp.bfloat16 or x.shape[0] < LANES or max(kernel) > LARGEST_KERNEL:
        return None
    channels = x.shape[-1]
    if channels % SUBLANES == 0:
        return SUBLANES
    return channels if channels <= LARGEST_BLOCK else None


def block_diagonal(w: jax.Array, n: int) -> jax.Array:
    """The kernel of the grouped convolution: [kh, kw, 1, C] -> [kh, kw, n, C]."""
    diagonal = np.arange(n)[:, None] == np.arange(w.shape[-1]) % n
    return w * diagonal.astype(w.dtype)
