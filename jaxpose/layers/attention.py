"""Attention blocks that several papers use."""

from __future__ import annotations

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxpose import ops
from jaxpose.layers.conv import Conv, ConvNormAct, ModuleDef
from jaxpose.layers.norm import BatchNorm


class ChannelGate(nn.Module):
    """Squeeze-and-excitation weights (Hu et al. 2018): [B,H,W,C] -> [B,1,1,C] in [0, 1].

    global mean -> 1x1 to `hidden` -> `act` (None: nothing) -> 1x1 back -> gate; both convolutions
    have a bias. The caller multiplies: `x * ChannelGate(hidden)(x)`.
    """

    hidden: int
    gate: str = "hard_sigmoid"
    conv: ModuleDef = Conv
    act: str | None = "relu"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        c = ops.global_avg_pool(x)
        c = ConvNormAct(self.hidden, act=self.act, conv=self.conv, name="conv1")(c)
        return ConvNormAct(x.shape[-1], act=self.gate, conv=self.conv, name="conv2")(c)


class CBAM(nn.Module):
    """Convolutional block attention module (Woo et al. 2018): channel gate, then spatial gate.

    channel: gate(MLP(mean) + MLP(max)); the MLP, two 1x1 convolutions without bias, is shared.
    spatial: gate(7x7 convolution of the two maps [channel mean, channel max]).

    Attributes:
      reduction: the MLP has C // reduction hidden channels.
      gate: activation of both gates.
      spatial_bias: whether the 7x7 convolution has a bias.
      max_first: whether the channel maximum comes before the mean.
    """

    reduction: int
    gate: str = "sigmoid"
    spatial_bias: bool = False
    max_first: bool = False
    conv: ModuleDef = Conv

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        squeeze = self.conv(x.shape[-1] // self.reduction, name="mlp1")
        expand = self.conv(x.shape[-1], name="mlp2")

        def mlp(pooled):
            return expand(ops.activation(squeeze(pooled), kind="relu"))

        c = mlp(ops.global_avg_pool(x)) + mlp(ops.global_max_pool(x))
        x = x * ops.activation(c, kind=self.gate)
        maps = [ops.channel_mean(x), ops.channel_max(x)]
        both = jnp.concatenate(maps[::-1] if self.max_first else maps, axis=-1)
        s = self.conv(1, 7, use_bias=self.spatial_bias, name="spatial")(both)
        return x * ops.activation(s, kind=self.gate)


class CoordinateAttention(nn.Module):
    """Coordinate attention (Hou, Zhou & Feng 2021): weights per row and per column, [B,H,W,C].

    Row means and column means, concatenated -> 1x1 to max(8, C / reduction), batch norm, hard
    swish -> split -> 1x1 back to C and sigmoid for each part. The result is
    x * row weights [B,H,1,C] * column weights [B,1,W,C].
    """

    reduction: int = 32
    conv: ModuleDef = Conv
    norm: ModuleDef = BatchNorm

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        batch, height, width, channels = x.shape
        rows = ops.adaptive_avg_pool(x, size=(height, 1))
        columns = ops.adaptive_avg_pool(x, size=(1, width)).reshape(batch, width, 1, channels)
        y = jnp.concatenate([rows, columns], axis=1)
        y = self.conv(max(8, channels // self.reduction), use_bias=True, name="squeeze")(y)
        y = ops.activation(self.norm(name="bn")(y, train), kind="hard_swish")
        rows, columns = jnp.split(y, [height], axis=1)
        columns = columns.reshape(batch, 1, width, y.shape[-1])
        block = partial(ConvNormAct, channels, act="sigmoid", conv=self.conv)
        return x * block(name="rows")(rows) * block(name="columns")(columns)


class DFCAttention(nn.Module):
    """Decoupled fully connected attention map (GhostNetV2, Tang et al. 2022).

    [2x2 mean] -> 1x1 to `features` -> 1 x k, then k x 1 depthwise: one long-range aggregation along
    the width, one along the height. The map is returned before resize and sigmoid:
    [B,H/2,W/2,features], or [B,H,W,features] without pooling.

    Attributes:
      features: channels of the map.
      kernel_size: k; must be odd.
      pool: whether the map is computed at half resolution.
      norm: batch norm after each of the three convolutions; None for none.
    """

    features: int
    kernel_size: int = 5
    pool: bool = True
    conv: ModuleDef = Conv
    norm: ModuleDef | None = BatchNorm

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        k, channels = self.kernel_size, self.features
        if self.pool:
            x = ops.avg_pool(x, window=2, stride=2)
        for name, size, groups in (
            ("pointwise", 1, 1),
            ("horizontal", (1, k), channels),
            ("vertical", (k, 1), channels),
        ):
            x = self.conv(channels, size, groups=groups, name=name)(x)
            if self.norm is not None:
                x = self.norm(name=f"{name}_bn")(x, train)
        return x
