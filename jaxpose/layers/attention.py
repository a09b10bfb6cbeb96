"""Attention blocks that several papers use."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxpose import ops
from jaxpose.layers.conv import Conv, ConvNormAct, ModuleDef


class ChannelGate(nn.Module):
    """Squeeze-and-excitation weights (Hu et al. 2018): [B,H,W,C] -> [B,1,1,C] in [0, 1].

    global mean -> 1x1 to `hidden` -> ReLU -> 1x1 back -> gate; both convolutions have a bias. The
    caller multiplies: `x * ChannelGate(hidden)(x)`.
    """

    hidden: int
    gate: str = "hard_sigmoid"
    conv: ModuleDef = Conv

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        c = ops.global_avg_pool(x)
        c = ConvNormAct(self.hidden, act="relu", conv=self.conv, name="conv1")(c)
        return ConvNormAct(x.shape[-1], act=self.gate, conv=self.conv, name="conv2")(c)


class CBAM(nn.Module):
    """Convolutional block attention module (Woo et al. 2018): channel gate, then spatial gate.

    channel: gate(MLP(mean) + MLP(max)); the MLP, two 1x1 convolutions without bias, is shared.
    spatial: gate(7x7 convolution of the two maps [channel mean, channel max]).

    Attributes:
      reduction: channels are squeezed to C // reduction.
      spatial_bias: whether the 7x7 convolution has a bias.
      max_first: order of the two spatial maps.
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
        maps = jnp.concatenate(maps[::-1] if self.max_first else maps, axis=-1)
        s = self.conv(1, 7, use_bias=self.spatial_bias, name="spatial")(maps)
        return x * ops.activation(s, kind=self.gate)
