"""Depthwise and grouped convolutions as those of fewer groups: the form for TPUs.

XLA computes a depthwise convolution on a TPU in the vector units, but a grouped one in the matrix
units. So each block of n channels becomes a group, whose [n, n] matrices are zero off the diagonal.
By the estimates of the TPU compiler, most are faster for it (docs/plan.md has the table).

A product with zero adds nothing, so the results are the same up to the order of the sums. But an
infinity or NaN in one channel reaches all channels of its block.

A grouped convolution of few channels costs XLA an axis of groups in all arrays around it, in
float32 and padded to tiles. Groups that fit into the matrix units together become one.
"""

import jax
import jax.numpy as jnp

SUBLANES, LANES = 8, 128  # of a register: channels and images, where there are enough of both
LARGEST_KERNEL = 7
FEW_CHANNELS = 24
SOME_CHANNELS = 71
MANY_CHANNELS = 256


def block_size(x: jax.Array, kernel: tuple[int, ...]) -> int | None:
    """Channels per block of a depthwise convolution of ``x``, or None for the native form.

    8, or for up to 71 channels that 8 does not divide, all of them. None for float32, whose
    products the matrix units would round; where the images do not fill the lanes and there are more
    than 24 channels, or with 256 channels and more, because the compiler then sees a loss; and for
    what was not tried.
    """
    batch, channels = x.shape[0], x.shape[-1]
    if x.dtype != jnp.bfloat16 or batch < 16 or max(kernel) > LARGEST_KERNEL:
        return None
    if batch % LANES and channels > FEW_CHANNELS:
        return None
    # Alone, these gain as well; between their neighbours they lose more in rearranged arrays.
    if channels >= MANY_CHANNELS:
        return None
    if channels % SUBLANES == 0:
        return SUBLANES
    return channels if channels <= SOME_CHANNELS else None


def block_diagonal(w: jax.Array, n: int) -> jax.Array:
    """The kernel of the grouped convolution: [kh, kw, 1, C] -> [kh, kw, n, C]."""
    diagonal = jnp.arange(n)[:, None] == jnp.arange(w.shape[-1]) % n
    return w * diagonal.astype(w.dtype)


def merged_groups(w: jax.Array, groups: int) -> int:
    """How many groups of a convolution with kernel ``w`` become one; 1 for the native form."""
    inputs, outputs = w.shape[2], w.shape[3] // groups
    fitting = LANES // max(inputs, outputs)
    return max(n for n in range(1, groups + 1) if groups % n == 0 and (n == 1 or n <= fitting))


def merge_groups(w: jax.Array, groups: int, n: int) -> jax.Array:
    """The kernel with n groups in one: [kh, kw, I, O] -> [kh, kw, n*I, O], zero between groups."""
    inputs, outputs = w.shape[2], w.shape[3] // groups
    own = jnp.arange(n * inputs)[:, None] // inputs
    mask = own == jnp.arange(w.shape[3]) // outputs % n
    return jnp.tile(w, (1, 1, n, 1)) * mask.astype(w.dtype)
