"""Convolutions from few channels to one for TPU, with the columns as channels.

A spatial attention map is a 7x7 convolution of two channels to one. The matrix units multiply
input channels by output channels, 128 of each: 2 x 1 leaves them empty. Here the columns of the
image are the channels: a convolution along the rows, whose kernel is a band matrix for each tap
and input channel, with the taps of a row on its diagonals.
"""

import jax
import jax.numpy as jnp
from jax import lax

Pair = tuple[int, int]
FEW = 2  # input channels


def fits(w: jax.Array, *, stride: Pair, padding: Pair, dilation: Pair) -> bool:
    """Whether a convolution is from few channels to one and keeps the size of the image.

    w: [kh, kw, Cin, Cout].
    """
    kh, kw, channels, features = w.shape
    keeps_size = kh % 2 == kw % 2 == 1 and padding == (kh // 2, kw // 2) and stride == (1, 1)
    return kw > 1 and channels <= FEW and features == 1 and keeps_size and dilation == (1, 1)


def conv(x: jax.Array, w: jax.Array) -> jax.Array:
    """The convolution of stride 1 that keeps the size: x [B, H, W, Cin], w [kh, kw, Cin, 1]."""
    batch, height, width, channels = x.shape
    bands = jnp.einsum(
        "uvc,vij->cuij", w[..., 0], _diagonals(w.shape[1], width), precision=lax.Precision.HIGHEST
    ).astype(x.dtype)
    rows = w.shape[0] // 2
    total = sum(
        lax.conv_general_dilated(
            x[:, :, None, :, n],
            bands[n][:, None],
            (1, 1),
            ((rows, rows), (0, 0)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            preferred_element_type=jnp.float32,
        )
        for n in range(channels)
    )
    return jnp.reshape(total, (batch, height, width, 1)).astype(x.dtype)


def _diagonals(taps: int, width: int) -> jax.Array:
    """[taps, width, width]: 1 where a tap takes column i to column j."""
    columns = jnp.arange(width)
    offsets = columns[:, None] - columns + taps // 2
    return (jnp.arange(taps)[:, None, None] == offsets).astype(jnp.float32)


def gradients(x: jax.Array, w: jax.Array, g: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Those of `conv`."""
    return jax.vjp(conv, x, w)[1](g)
