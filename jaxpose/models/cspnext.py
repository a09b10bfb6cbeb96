"""CSPNeXt: cross-stage-partial blocks with large depthwise kernels (RTMDet, Lyu et al. 2022).

image [B,H,W,3] -> three 3x3 convolutions (stride 2) -> four stages, each a 3x3 convolution of
stride 2 and a cross-stage-partial layer; the last stage pools at several scales in between.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxpose import ops
from jaxpose.layers import ConvNormAct, Layers, ModuleDef, repeat


class Layout(NamedTuple):
    """What distinguishes the sizes: multiples of the widths and of the numbers of blocks."""

    widen: float
    deepen: float

    def widths(self) -> tuple[int, ...]:
        """Output channels of the stem and of the four stages."""
        return tuple(int(width * self.widen) for width in (64, 128, 256, 512, 1024))

    def repeats(self) -> tuple[int, ...]:
        """Blocks in the four stages."""
        return tuple(max(round(count * self.deepen), 1) for count in (3, 6, 6, 3))


TINY = Layout(0.375, 0.167)
SMALL = Layout(0.5, 0.33)
MEDIUM = Layout(0.75, 0.67)
LARGE = Layout(1, 1)
EXTRA_LARGE = Layout(1.25, 1.33)

LAST_STAGE = 4


class DepthwiseSeparable(nn.Module):
    """5x5 depthwise, then 1x1; both with batch norm and SiLU. [B,H,W,C] -> [B,H,W,C]."""

    conv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        channels = x.shape[-1]
        block: ModuleDef = partial(
            ConvNormAct, channels, act="silu", conv=self.conv, norm=self.norm
        )
        x = block(5, groups=channels, name="depthwise_conv")(x, train)
        return block(1, name="pointwise_conv")(x, train)


class Block(nn.Module):
    """3x3, then depthwise 5x5 and 1x1, plus identity; [B,H,W,C] -> [B,H,W,C]."""

    identity: bool
    conv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        layers: Layers = dict(conv=self.conv, norm=self.norm)
        y = ConvNormAct(x.shape[-1], 3, act="silu", **layers, name="conv1")(x, train)
        y = DepthwiseSeparable(**layers, name="conv2")(y, train)
        return x + y if self.identity else y


class ChannelAttention(nn.Module):
    """x * gate(1x1 convolution of the mean over the image); [B,H,W,C] -> [B,H,W,C]."""

    conv: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        weights = self.conv(x.shape[-1], use_bias=True, name="fc")(ops.global_avg_pool(x))
        return x * ops.activation(weights, kind="hard_sigmoid")


class CSPLayer(nn.Module):
    """Half of the channels pass through `blocks`, the other half does not; [B,H,W,C] kept.

    1x1 to C/2 and blocks | 1x1 to C/2 -> concatenation -> channel attention -> 1x1.
    """

    blocks: int
    identity: bool
    conv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        layers: Layers = dict(conv=self.conv, norm=self.norm)
        pointwise: ModuleDef = partial(ConvNormAct, act="silu", **layers)
        channels = x.shape[-1]
        short = pointwise(channels // 2, name="short_conv")(x, train)
        main = pointwise(channels // 2, name="main_conv")(x, train)
        names = [f"blocks_{number}" for number in range(self.blocks)]
        main = repeat(self, Block(self.identity, **layers, parent=None), names, main, train)
        both = jnp.concatenate([main, short], axis=-1)
        both = ChannelAttention(self.conv, name="attention")(both)
        return pointwise(channels, name="final_conv")(both, train)


class SpatialPyramidPooling(nn.Module):
    """1x1 to C/2, beside its maxima over 5x5, 9x9 and 13x13 windows, 1x1; [B,H,W,C] kept."""

    conv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        pointwise: ModuleDef = partial(ConvNormAct, act="silu", conv=self.conv, norm=self.norm)
        channels = x.shape[-1]
        x = pointwise(channels // 2, name="conv1")(x, train)
        pooled = [ops.max_pool(x, window=k, stride=1, padding=k // 2) for k in (5, 9, 13)]
        return pointwise(channels, name="conv2")(jnp.concatenate([x, *pooled], axis=-1), train)


class CSPNeXt(nn.Module):
    """[B,H,W,3] -> [B,H/32,W/32,C], the last stage.

    Attributes:
      layout: widths and repeats.
      conv: constructor of convolutions.
      norm: constructor of batch norms.
    """

    layout: Layout
    conv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        layers: Layers = dict(conv=self.conv, norm=self.norm)
        step: ModuleDef = partial(ConvNormAct, kernel_size=3, act="silu", **layers)
        stem, *widths = self.layout.widths()
        for number, (width, stride) in enumerate([(stem // 2, 2), (stem // 2, 1), (stem, 1)]):
            x = step(width, stride=stride, name=f"stem_{number}")(x, train)
        for stage, (width, blocks) in enumerate(zip(widths, self.layout.repeats(), strict=True), 1):
            last = stage == LAST_STAGE
            x = step(width, stride=2, name=f"stage{stage}_0")(x, train)
            if last:
                x = SpatialPyramidPooling(**layers, name=f"stage{stage}_1")(x, train)
            number = 2 if last else 1  # as in the public checkpoints
            csp = CSPLayer(blocks, not last, **layers, name=f"stage{stage}_{number}")
            x = csp(x, train)
        return x
