"""Operators whose weights depend on the image."""

import jax
import jax.numpy as jnp
from jax import lax

from jaxpose.ops.conv import Size, _conv, _depthwise_conv, pair
from jaxpose.ops.named import call


def dynamic_conv(
    x: jax.Array, attention: jax.Array, bank: jax.Array, *, stride: Size = 1, padding: Size = 0
) -> jax.Array:
    """Convolution of each image with its own mixture of K kernels.

    The kernel of image b is the sum over k of attention[b,0,0,k] * bank[k]. A convolution is linear
    in its kernel, so the result equals the mixture of K ordinary convolutions, which cost K times
    as much but need no kernel per image.

    Args:
      x: [B, H, W, C].
      attention: [B, 1, 1, K].
      bank: [K, kh, kw, C, Cout], dense, or [K, kh, kw, 1, C], depthwise.
      stride: int or (h, w).
      padding: zeros on both sides, int or (h, w).

    Returns:
      [B, (H+2p-kh)//s+1, (W+2p-kw)//s+1, Cout].
    """
    channels = x.shape[-1]
    if (
        x.ndim != 4
        or bank.ndim != 5
        or attention.shape != (x.shape[0], 1, 1, bank.shape[0])
        or (bank.shape[3] != channels and bank.shape[3:] != (1, channels))
    ):
        raise ValueError(
            "dynamic_conv: x must be [B,H,W,C], attention [B,1,1,K] and bank [K,kh,kw,C,Cout] or "
            f"[K,kh,kw,1,C], got {x.shape}, {attention.shape} and {bank.shape}"
        )
    return call(_dynamic_conv, x, attention, bank, stride=pair(stride), padding=pair(padding))


def spatial_softmax(x: jax.Array) -> jax.Array:
    """Softmax over all pixels of an image, per channel, in float32.

    x and the result: [B, H, W, C]. PyTorch: ``x.flatten(2).softmax(2).view_as(x)``.
    """
    return call(_spatial_softmax, x)


def _dynamic_conv(x, attention, bank, *, impl, stride, padding):
    weights = attention[:, 0, 0].astype(jnp.float32)
    kernels = jnp.tensordot(weights, bank, 1, precision=lax.Precision.HIGHEST)
    conv = _conv if bank.shape[3] == x.shape[-1] else _depthwise_conv

    def convolve(image, kernel):
        return conv(image[None], kernel, impl=impl, stride=stride, padding=padding)[0]

    return jax.vmap(convolve)(x, kernels.astype(x.dtype))


def _spatial_softmax(x, *, impl):
    return jax.nn.softmax(x.astype(jnp.float32), axis=(1, 2)).astype(x.dtype)
