"""Lite CSW-HRNet: pose estimation based on channel spatial weighting (Xi et al. 2024).

Lite-HRNet with other weights (sections 3.2 and 3.3): both within a branch and across branches, they
are a channel map times a spatial map. There is no public code. Where the paper is open or
contradicts itself, the defaults are these; the printed sizes decide the last two:

* the two maps come from the same input, in parallel (eqs. 2, 3, 15; eq. 12 chains them);
* gamma = 2 and b = 1 in eq. (8), as ECA-Net has them (the text says 1 and 2, "typically");
* one 1-D convolution for the averages and the maxima, as eq. (9) has one symbol; no bias;
* the weights across branches are the maps alone;
* half of the channels pass unchanged, as in Lite-HRNet, whose widths Table 1 keeps;
* both weightings are replaced (the paper prints 0.9 M parameters; with one replaced it is 1.0 M);
* two blocks in every module, also in stage 4, where Table 1 has one ("repeat"): the paper prints
  0.45 G at 384x288; with one block there (`stage4_blocks=1`) it is 0.44 G.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxpose import ops
from jaxpose.layers import Conv, ModuleDef, check_choice, check_images, init
from jaxpose.models.hrnet import CONV_INIT, heatmaps
from jaxpose.models.lite_hrnet import (
    BLOCKS,
    FUSIONS,
    CrossResolutionWeighting,
    Layout,
    LiteBackbone,
    Stem,
    lite_layers,
    spatial_weighting,
    weighting_body,
)

WEIGHTINGS = ("both", "single", "cross", "none")
INSTEAD = ("lite", "none")
ARRANGEMENTS = ("parallel", "serial", "serial_single")
POOLINGS = {"both": ("avg", "max"), "avg": ("avg",), "max": ("max",)}
OVER_SPACE = {"avg": ops.global_avg_pool, "max": ops.global_max_pool}
OVER_CHANNELS = {"avg": ops.channel_mean, "max": ops.channel_max}


def kernel_size(channels: int, gamma: float, b: float) -> int:
    """k of eq. (8): the odd number closest to (log2(C) + b) / gamma, at least 1."""
    return max(1, 2 * math.floor((math.log2(channels) + b) / gamma / 2) + 1)


class ChannelConv(nn.Module):
    """One convolution along the channels of [B,1,1,C], eq. (6), without bias."""

    size: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        uniform = init.torch_default_bias(self.size)  # U(+-1/sqrt(k)), also the kernel's default
        return ops.channel_conv1d(x, self.param("kernel", uniform, (self.size,), jnp.float32))


def _sum(arrays: Sequence[jax.Array]) -> jax.Array:
    return cast(jax.Array, sum(arrays))


class ChannelMap(nn.Module):
    """M_c of eq. (9): sigmoid(f(average) + f(maximum)), [B,H,W,C] -> [B,1,1,C].

    With one f for both, it is computed as sigmoid(f(average + maximum)), which is the same.
    """

    size: int
    pooling: str
    shared: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        pooled = [OVER_SPACE[kind](x) for kind in POOLINGS[self.pooling]]
        if self.shared:
            pooled = [_sum(pooled)]
        names = ("conv", "conv_max")
        maps = [ChannelConv(self.size, name=n)(p) for n, p in zip(names, pooled, strict=False)]
        return ops.activation(_sum(maps), kind="sigmoid")


class SpatialMap(nn.Module):
    """M_s of eq. (10): sigmoid(7x7 convolution of [mean, maximum]), [B,H,W,C] -> [B,H,W,1]."""

    pooling: str
    conv: ModuleDef = Conv

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        maps = [OVER_CHANNELS[kind](x) for kind in POOLINGS[self.pooling]]
        both = jnp.concatenate(maps, axis=-1) if len(maps) > 1 else maps[0]
        return ops.activation(self.conv(1, 7, name="conv")(both), kind="sigmoid")


class ChannelSpatialWeights(nn.Module):
    """M_c times M_s, [B,H,W,C] -> the same shape; serial: M_s of M_c * x, eq. (12)."""

    channels: int
    gamma: float
    b: float
    pooling: str
    shared: bool
    serial: bool
    conv: ModuleDef = Conv

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        size = kernel_size(self.channels, self.gamma, self.b)
        channel = ChannelMap(size, self.pooling, self.shared, name="channel")(x)
        weighted = x * channel if self.serial else x
        return channel * SpatialMap(self.pooling, self.conv, name="spatial")(weighted)


class LiteCSWHRNet(nn.Module):
    """[B,H,W,3] normalized images -> heatmaps [B,H/4,W/4,K], float32.

    The paper compares only with Lite-HRNet and has no table of ablations. Each choice that its text
    argues for is an option; `weighting` "none" is Lite-HRNet, "single" and "cross" are in between.

    Attributes:
      layout: widths and repeats.
      num_keypoints: K.
      weighting: which weightings are the paper's: "both", "single" (of one branch, section 3.2),
        "cross" (across branches, section 3.3) or "none".
      instead: what replaces a weighting that is not: "lite" = Lite-HRNet's, or "none".
      arrangement: of the two maps: "parallel" (section 3.2), "serial" in either weighting, or
        "serial_single", the equations to the letter: eq. (12) chains them in the weighting of one
        branch, eq. (15) across branches does not.
      gamma, b: of eq. (8), by default ECA-Net's; the text has gamma = 1 and b = 2.
      pooling: "both", "avg" or "max" (the argument of Figure 4), in both maps.
      shared: whether averages and maxima share one 1-D convolution.
      stage4_blocks: blocks per module of stage 4, 2 or 1 (Table 1).
      fusion: "released", Lite-HRNet's, or "sum", HRNet's.
      conv_init: "paper" = N(0, 0.001), or "kaiming", for all 2-D convolutions but the last.
      dtype: of the arithmetic; parameters stay float32.
      bn_axis: mesh axis over which batch norm shares its statistics.
    """

    layout: Layout
    num_keypoints: int = 17
    weighting: str = "both"
    instead: str = "lite"
    arrangement: str = "parallel"
    gamma: float = 2.0
    b: float = 1.0
    pooling: str = "both"
    shared: bool = True
    stage4_blocks: int = BLOCKS
    fusion: str = "released"
    conv_init: str = "paper"
    dtype: Any = jnp.float32
    bn_axis: str | None = None

    def __post_init__(self):
        for option, choices in (
            ("weighting", WEIGHTINGS),
            ("instead", INSTEAD),
            ("arrangement", ARRANGEMENTS),
            ("pooling", POOLINGS),
            ("fusion", FUSIONS),
            ("conv_init", CONV_INIT),
        ):
            check_choice(f"lite_csw_hrnet: {option}", getattr(self, option), choices)
        check_choice("lite_csw_hrnet: stage4_blocks", self.stage4_blocks, (BLOCKS, 1))
        if not self.gamma > 0:
            raise ValueError(f"lite_csw_hrnet: gamma must be positive, got {self.gamma!r}")
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        check_images(x, 32, "lite_csw_hrnet")
        layers = lite_layers(self.conv_init, self.dtype, self.bn_axis)
        conv = layers["conv"]
        cross: ModuleDef | None = None
        single: ModuleDef | None = None
        if self.instead == "lite":
            cross = partial(CrossResolutionWeighting, **layers)
            single = partial(spatial_weighting, conv=conv)
        weights = partial(
            ChannelSpatialWeights,
            gamma=self.gamma,
            b=self.b,
            pooling=self.pooling,
            shared=self.shared,
            conv=conv,
        )
        if self.weighting in ("both", "cross"):
            cross = partial(weights, serial=self.arrangement == "serial")
        if self.weighting in ("both", "single"):
            single = partial(weights, serial=self.arrangement != "parallel")
        body = weighting_body(cross, single, last_blocks=self.stage4_blocks, **layers)
        backbone = LiteBackbone(
            self.layout, Stem, body, FUSIONS[self.fusion], **layers, name="backbone"
        )
        return heatmaps(backbone(x.astype(self.dtype), train), self.num_keypoints, conv)
