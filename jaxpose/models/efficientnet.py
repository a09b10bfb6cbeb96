"""EfficientNet-B0 (Tan & Le 2019) and the smaller networks that EfficientHRNet scales it down to.

Widths, repeats and padding are those of EfficientHRNet's code. Unlike in the other networks,
convolutions of stride 2 are padded as TensorFlow's "same": one pixel more after than before.
"""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from jaxpose import ops
from jaxpose.layers import ChannelGate, ConvNormAct, Layers, ModuleDef


class Row(NamedTuple):
    """One stage of B0: expansion, channels, repeats, stride of the first block, kernel."""

    expand: int
    features: int
    repeats: int
    stride: int
    kernel: int


STEM = 32
B0 = (
    Row(1, 16, 1, 1, 3),
    Row(6, 24, 2, 2, 3),
    Row(6, 40, 2, 2, 5),
    Row(6, 80, 3, 2, 3),
    Row(6, 112, 3, 1, 5),
    Row(6, 192, 4, 2, 5),
    Row(6, 320, 1, 1, 3),
)
TAPS = (2, 3, 5, 7)  # the last stages at 1/4, 1/8, 1/16 and 1/32, counted from 1


def scaled_width(channels: int, factor: float) -> int:
    """channels * factor, to the nearest multiple of 8 but not more than a tenth below."""
    if factor == 1:
        return channels
    exact = channels * factor
    rounded = max(8, int(exact + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * exact else rounded


class PaddedConv(nn.Module):
    """Convolution padded as TensorFlow does for even sizes, batch norm, swish.

    There are kernel - stride zeros in total; an odd one is after the image.
    """

    features: int
    kernel_size: int
    stride: int
    conv: ModuleDef
    norm: ModuleDef
    groups: int = 1

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        padding, odd = divmod(max(self.kernel_size - self.stride, 0), 2)
        if odd:
            # The operators pad both sides equally, so an odd total is padded here.
            zero = jnp.zeros((), x.dtype)
            edge = (padding, padding + 1, 0)
            x, padding = lax.pad(x, zero, ((0, 0, 0), edge, edge, (0, 0, 0))), 0
        x = self.conv(
            self.features,
            self.kernel_size,
            self.stride,
            padding=padding,
            groups=self.groups,
            name="conv",
        )(x)
        return ops.activation(self.norm(name="bn")(x, train), kind="silu")


class MBConv(nn.Module):
    """1x1 expand -> depthwise -> SE -> 1x1 project, plus identity where shapes allow.

    Attributes:
      row: of the stage, whose stride only its first block has.
      drop_path: rate at which a training example skips the block's residual path (stochastic
        depth), drawn from the random stream "drop_path".
    """

    row: Row
    features: int
    stride: int
    drop_path: float
    conv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        channels = x.shape[-1]
        mid = channels * self.row.expand
        layers: Layers = dict(conv=self.conv, norm=self.norm)
        y = x
        if self.row.expand != 1:
            y = PaddedConv(mid, 1, 1, **layers, name="expand")(y, train)
        depthwise = PaddedConv(
            mid, self.row.kernel, self.stride, groups=mid, **layers, name="depthwise"
        )
        y = depthwise(y, train)
        # The width of the squeeze depends on the channels before the expansion.
        squeeze = max(1, channels // 4)
        y = y * ChannelGate(squeeze, "sigmoid", self.conv, act="silu", name="se")(y)
        y = ConvNormAct(self.features, act=None, **layers, name="project")(y, train)
        if self.stride != 1 or channels != self.features:
            return y
        return x + (self._drop(y) if train and self.drop_path else y)

    def _drop(self, y: jax.Array) -> jax.Array:
        if not self.has_rng("drop_path"):
            raise ValueError(
                f"drop_path={self.drop_path} needs random numbers in training: pass "
                'rngs={"drop_path": key} to model.apply, or set drop_path to 0'
            )
        keep = 1 - self.drop_path
        kept = jax.random.bernoulli(self.make_rng("drop_path"), keep, (y.shape[0], 1, 1, 1))
        return jnp.where(kept, y / keep, 0)


class EfficientNet(nn.Module):
    """[B,H,W,3] -> four maps at 1/4, 1/8, 1/16, 1/32; without EfficientNet's last 1x1 layer.

    Attributes:
      width: factor of the channels.
      depth: factor of the repeats, which are rounded up.
      drop_path: see `MBConv`.
    """

    width: float
    depth: float
    drop_path: float
    conv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> list[jax.Array]:
        layers: Layers = dict(conv=self.conv, norm=self.norm)
        stem = scaled_width(STEM, self.width)
        x = PaddedConv(stem, 3, 2, **layers, name="features_0")(x, train)
        block: ModuleDef = partial(MBConv, drop_path=self.drop_path, **layers)
        number, taps = 0, []
        for stage, row in enumerate(B0, 1):
            features = scaled_width(row.features, self.width)
            for repeat in range(math.ceil(row.repeats * self.depth)):
                number += 1
                stride = row.stride if repeat == 0 else 1
                x = block(row, features, stride, name=f"features_{number}")(x, train)
            if stage in TAPS:
                taps.append(x)
        return taps
