"""Activations and operators along the channel axis."""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from jaxpose.choices import choose_from
from jaxpose.ops.named import call, linear
from jaxpose.ops.pool import maximum

_ACTIVATIONS = {
    "relu": jax.nn.relu,
    "relu6": lambda x: jnp.minimum(jax.nn.relu(x), 6),
    "hard_swish": lambda x: x * (jnp.clip(x + 3, 0, 6) * (1 / 6)),
    "hard_sigmoid": lambda x: jnp.clip(x + 3, 0, 6) * (1 / 6),
    "hard_sigmoid_v1": lambda x: jnp.clip((x + 1) * 0.5, 0, 1),
    "sigmoid": jax.nn.sigmoid,
    "silu": jax.nn.silu,
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "elu": jax.nn.elu,
}


def activation(x: jax.Array, *, kind: str) -> jax.Array:
    """Elementwise activation, any shape.

    ``kind``: relu, relu6, hard_swish = x * clip(x+3, 0, 6) / 6, hard_sigmoid = clip((x+3)/6, 0, 1)
    (``F.hardsigmoid``), hard_sigmoid_v1 = clip((x+1)/2, 0, 1) (mmcv before 1.4.4), sigmoid, silu,
    gelu (exact, with erf), elu.
    """
    if kind not in _ACTIVATIONS:
        raise ValueError(f"unknown activation {kind!r}; {choose_from(kind, _ACTIVATIONS)}")
    return call(_activation, x, kind=kind)


def channel_shuffle(x: jax.Array, *, groups: int) -> jax.Array:
    """Interleave ``groups`` blocks of n = C / groups channels.

    Channel g*n + i moves to i*groups + g. x: [..., C]. PyTorch: ``F.channel_shuffle(x, groups)``.
    """
    if x.shape[-1] % groups:
        raise ValueError(f"channel_shuffle: {groups} groups do not divide {x.shape[-1]} channels")
    return call(_channel_shuffle, x, groups=groups)


def channel_mean(x: jax.Array) -> jax.Array:
    """Mean over channels, [B, H, W, C] -> [B, H, W, 1]. PyTorch: ``x.mean(1, keepdim=True)``."""
    return call(_channel_mean, x)


def channel_max(x: jax.Array) -> jax.Array:
    """Maximum over channels, [B, H, W, C] -> [B, H, W, 1]. PyTorch: ``x.amax(1, keepdim=True)``."""
    return call(_channel_max, x)


def channel_conv1d(x: jax.Array, w: jax.Array) -> jax.Array:
    """1-D convolution along the channel axis of pooled features (ECA).

    out[..., c] = sum over i of x[..., c + i - k//2] * w[i], zero outside. ``x``: [B, 1, 1, C];
    ``w``: [k]. PyTorch: ``F.conv1d`` of x as [B, 1, C] with kernel [1, 1, k] and padding k//2 (k
    odd).
    """
    if w.ndim != 1 or w.shape[0] % 2 == 0:
        raise ValueError(f"channel_conv1d: w must be a vector of odd length, got {w.shape}")
    return call(_channel_conv1d, x, w)


def _activation(x, *, impl, kind):
    return _ACTIVATIONS[kind](x)


def _channel_shuffle(x, *, impl, groups):
    native = functools.partial(_transposed, groups=groups)
    return linear(impl, native, functools.partial(_permuted, groups=groups), x)


def _transposed(x, groups):
    blocks = x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)
    return blocks.swapaxes(-1, -2).reshape(x.shape)


def _permuted(x, groups):
    """The same as a product with a permutation matrix: TPUs multiply faster than they move.

    It is exact for finite values; an infinite one makes the other channels of its pixel NaN.
    """
    channels = x.shape[-1]
    target = jnp.arange(channels)
    source = target % groups * (channels // groups) + target // groups
    permutation = (target[:, None] == source).astype(x.dtype)
    y = jnp.matmul(
        x, permutation, precision=lax.Precision.HIGHEST, preferred_element_type=jnp.float32
    )
    return y.astype(x.dtype)


def _channel_mean(x, *, impl):
    return jnp.mean(x, -1, keepdims=True, dtype=jnp.float32).astype(x.dtype)


def _channel_max(x, *, impl):
    return maximum(x, -1)


def _channel_conv1d(x, w, *, impl):
    k, channels = w.shape[0], x.shape[-1]
    padded = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(k // 2, k // 2)]).astype(jnp.float32)
    return sum(padded[..., i : i + channels] * w[i] for i in range(k)).astype(x.dtype)
