"""LitePose: efficient architecture design for 2D human pose estimation (Wang et al., CVPR 2022).

image [B,H,W,3] -> MobileNetV2-like single branch with 7x7 kernels (stride 16) -> fusion
deconvolutions, each adding a raw map of the backbone -> heatmaps and tags [B,H/4,W/4,2K], and
heatmaps alone [B,H/2,W/2,K].

Widths, stride and head are those of the released code. The paper's text has stride 32 and heads at
1/8 and 1/4, but its printed multiply-adds are those of this network.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxpose import ops
from jaxpose.layers import (
    BatchNorm,
    Conv,
    ConvNormAct,
    ConvTranspose,
    Layers,
    ModuleDef,
    check_images,
    init,
    repeat,
)


class Widths(NamedTuple):
    """Channels that the architecture search chose."""

    first: int  # at 1/2
    stages: tuple[int, int, int, int]  # at 1/4, 1/8, 1/16, 1/16
    fusion: tuple[int, int, int]  # of the deconvolutions to 1/8, 1/4, 1/2


XS = Widths(16, (16, 32, 48, 80), (16, 24, 24))
S = Widths(16, (16, 32, 48, 120), (32, 24, 32))
M = Widths(16, (24, 48, 72, 120), (64, 40, 32))
L = Widths(24, (24, 64, 96, 160), (64, 40, 32))

# The same in every searched network: the search chose only widths and input size.
REPEATS = (6, 8, 10, 10)
STRIDES = (2, 2, 2, 1)
EXPANSION = 6
KERNEL = 7


class FirstLayers(nn.Module):
    """3x3 stride 2 to 32 channels, 3x3 depthwise, 1x1 linear: [B,H,W,3] -> [B,H/2,W/2,features]."""

    features: int
    conv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        block = partial(ConvNormAct, act="relu6", conv=self.conv, norm=self.norm)
        x = block(32, 3, 2, name="conv_0")(x, train)
        x = block(32, 3, groups=32, name="conv_1")(x, train)
        return block(self.features, act=None, name="project")(x, train)


class InvertedBottleneck(nn.Module):
    """1x1 expand -> 7x7 depthwise -> 1x1 linear, plus identity where shapes allow."""

    features: int
    stride: int
    conv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        block = partial(ConvNormAct, act="relu6", conv=self.conv, norm=self.norm)
        mid = EXPANSION * x.shape[-1]
        y = block(mid, name="inv")(x, train)
        y = block(mid, KERNEL, self.stride, groups=mid, name="depth_conv")(y, train)
        y = block(self.features, act=None, name="point_conv")(y, train)
        return x + y if self.stride == 1 and x.shape[-1] == self.features else y


class Backbone(nn.Module):
    """[B,H,W,3] -> five maps: of the first layers at 1/2, of the stages at 1/4, 1/8, 1/16, 1/16.

    `blocks(stage, number)` is the constructor of a block, called with features and stride. Stages
    and blocks are counted from 0; all blocks of a stage but the first are the same. `strides` are
    those of the stages; with other ones the maps have other sizes.
    """

    widths: Widths
    blocks: Any
    conv: ModuleDef
    norm: ModuleDef
    strides: tuple[int, int, int, int] = STRIDES

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> list[jax.Array]:
        x = FirstLayers(self.widths.first, self.conv, self.norm, name="first")(x, train)
        maps = [x]
        for stage, features in enumerate(self.widths.stages):
            names = [f"stage_{stage}_{number}" for number in range(REPEATS[stage])]
            x = self.blocks(stage, 0)(features, self.strides[stage], name=names[0])(x, train)
            block = self.blocks(stage, 1)(features, 1, parent=None)
            x = repeat(self, block, names[1:], x, train)
            maps.append(x)
        return maps


class FusionDeconv(nn.Module):
    """Two 4x4 transposed convolutions, summed, batch norm, ReLU: twice the size, `features` wide.

    One reads the refined map of the previous step, the other the raw backbone map of that size,
    unless it is None.
    """

    features: int
    deconv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, refined: jax.Array, raw: jax.Array | None, train: bool) -> jax.Array:
        x = self.deconv(self.features, name="refined")(refined)
        if raw is not None:
            x = x + self.deconv(self.features, name="raw")(raw)
        return ops.activation(self.norm(name="bn")(x, train), kind="relu")


class SeparableConv(nn.Module):
    """5x5 depthwise, batch norm, ReLU, 1x1; no bias."""

    features: int
    conv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        block = partial(ConvNormAct, conv=self.conv, norm=self.norm)
        x = block(x.shape[-1], 5, groups=x.shape[-1], name="depthwise")(x, train)
        return self.conv(self.features, name="pointwise")(x)


class Prediction(nn.Module):
    """A separable convolution of the refined map plus one of the raw map of the same size."""

    features: int
    conv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, refined: jax.Array, raw: jax.Array, train: bool) -> jax.Array:
        separable = partial(SeparableConv, self.features, self.conv, self.norm)
        return separable(name="refined")(refined, train) + separable(name="raw")(raw, train)


class FusionHead(nn.Module):
    """The backbone's five maps -> (heatmaps and tags at 1/4, heatmaps at 1/2)."""

    num_keypoints: int
    widths: Widths
    conv: ModuleDef
    deconv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, maps: list[jax.Array], train: bool) -> tuple[jax.Array, jax.Array]:
        half, quarter, eighth, sixteenth, x = maps
        fusion = partial(FusionDeconv, deconv=self.deconv, norm=self.norm)
        prediction = partial(Prediction, conv=self.conv, norm=self.norm)
        to_eighth, to_quarter, to_half = self.widths.fusion

        x = fusion(to_eighth, name="fusion_0")(x, sixteenth, train)
        x = fusion(to_quarter, name="fusion_1")(x, eighth, train)
        low = prediction(2 * self.num_keypoints, name="final_0")(x, quarter, train)
        x = fusion(to_half, name="fusion_2")(x, quarter, train)
        return low, prediction(self.num_keypoints, name="final_1")(x, half, train)


def policy(dtype: Any, bn_axis: str | None) -> Layers:
    """The layers of the network: PyTorch's initial values everywhere, as in the released code."""
    return {
        "conv": partial(Conv, kernel_init=init.torch_default, dtype=dtype),
        "deconv": partial(ConvTranspose, kernel_init=init.torch_default_transposed, dtype=dtype),
        "norm": partial(BatchNorm, axis_name=bn_axis),
    }


class LitePose(nn.Module):
    """[B,H,W,3] normalized images -> (heatmaps and tags [B,H/4,W/4,2K], heatmaps [B,H/2,W/2,K]).

    Both float32; the first K channels of the first map are heatmaps, the other K are tags.

    Attributes:
      widths: channels.
      num_keypoints: K.
      dtype: of the arithmetic; parameters stay float32.
      bn_axis: mesh axis over which batch norm shares its statistics.
    """

    widths: Widths
    num_keypoints: int = 17
    dtype: Any = jnp.float32
    bn_axis: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> tuple[jax.Array, jax.Array]:
        check_images(x, 32, "litepose")
        layers = policy(self.dtype, self.bn_axis)
        conv, norm = layers["conv"], layers["norm"]
        block = partial(InvertedBottleneck, conv=conv, norm=norm)
        backbone = Backbone(self.widths, lambda stage, number: block, conv, norm, name="backbone")
        head = FusionHead(self.num_keypoints, self.widths, **layers, name="head")
        low, high = head(backbone(x.astype(self.dtype), train), train)
        return low.astype(jnp.float32), high.astype(jnp.float32)
