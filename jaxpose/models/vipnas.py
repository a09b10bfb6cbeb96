"""ViPNAS-MobileNetV3: efficient video pose estimation via architecture search (Xu et al. 2021).

image [B,H,W,3] -> searched MobileNetV3-like backbone, grouped convolutions in its blocks (stride
32) -> 3 depthwise transposed convolutions -> 1x1 convolution -> heatmaps [B,H/4,W/4,K].

This is the network that mmpose ships (5.9 M parameters), not the 2.8 M one of the authors' tables.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxpose.layers import (
    ConvNormAct,
    Deconv,
    Layers,
    ModuleDef,
    check_choice,
    check_images,
    init,
    repeat,
)
from jaxpose.models.hrnet import CONV_INIT, policy
from jaxpose.models.hwl import HARD_SIGMOID
from jaxpose.models.mobilenet_v3 import InvertedResidual, Row


class Searched(NamedTuple):
    """One stage that the search chose; the stride is that of its first block."""

    features: int
    expand: int
    repeats: int
    kernel: int
    groups: int
    attention: bool
    stride: int
    act: str


STAGES = (
    Searched(16, 1, 1, 3, 8, True, 1, "relu"),
    Searched(24, 5, 4, 7, 120, True, 2, "relu"),
    Searched(40, 4, 4, 7, 20, False, 2, "relu"),
    Searched(80, 5, 4, 5, 100, True, 2, "hard_swish"),
    Searched(112, 5, 4, 7, 280, True, 1, "hard_swish"),
    Searched(160, 6, 4, 5, 240, True, 2, "hard_swish"),
)


class Backbone(nn.Module):
    """[B,H,W,3] -> [B,H/32,W/32,160]."""

    gate: str
    conv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        layers: Layers = dict(conv=self.conv, norm=self.norm)
        x = ConvNormAct(16, 3, 2, act="hard_swish", **layers, name="conv1")(x, train)
        number = 0
        for stage in STAGES:
            mid = stage.features * stage.expand
            squeeze = mid // 4 if stage.attention else 0
            row = Row(stage.kernel, mid, stage.features, squeeze, stage.act, stage.stride)
            expand = stage.expand != 1
            block: ModuleDef = partial(
                InvertedResidual, expand=expand, gate=self.gate, groups=stage.groups, **layers
            )
            first, *others = (f"layer{number + i}" for i in range(1, stage.repeats + 1))
            number += stage.repeats
            x = block(row, name=first)(x, train)
            x = repeat(self, block(row._replace(stride=1), parent=None), others, x, train)
        return x


class Head(nn.Module):
    """[B,h,w,C] -> heatmaps [B,8h,8w,K]; the transposed convolutions keep the C channels."""

    num_keypoints: int
    conv: ModuleDef
    deconv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        deconv = partial(self.deconv, depthwise=True)
        for number in (1, 2, 3):
            x = Deconv(x.shape[-1], deconv, self.norm, name=f"deconv{number}")(x, train)
        final = partial(self.conv, use_bias=True, kernel_init=init.normal_small)
        return final(self.num_keypoints, name="final_layer")(x)


class ViPNAS(nn.Module):
    """[B,H,W,3] normalized images -> heatmaps [B,H/4,W/4,K], float32.

    Attributes:
      num_keypoints: K.
      hard_sigmoid: gate of squeeze-and-excitation, "hard_sigmoid_v1" = clip((x+1)/2, 0, 1), as in
        mmpose, or "hard_sigmoid" = clip((x+3)/6, 0, 1).
      conv_init: "paper" = N(0, 0.001), or "kaiming", for all but the last layer.
      dtype: of the arithmetic; parameters stay float32.
      bn_axis: mesh axis over which batch norm shares its statistics.
    """

    num_keypoints: int = 17
    hard_sigmoid: str = "hard_sigmoid_v1"
    conv_init: str = "paper"
    dtype: Any = jnp.float32
    bn_axis: str | None = None

    def __post_init__(self):
        check_choice("vipnas_mobilenetv3: hard_sigmoid", self.hard_sigmoid, HARD_SIGMOID)
        check_choice("vipnas_mobilenetv3: conv_init", self.conv_init, CONV_INIT)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        check_images(x, 32, "vipnas_mobilenetv3")
        layers = policy(self.conv_init, self.dtype, self.bn_axis)
        backbone = Backbone(self.hard_sigmoid, layers["conv"], layers["norm"], name="backbone")
        head = Head(self.num_keypoints, **layers, name="head")
        return head(backbone(x.astype(self.dtype), train), train).astype(jnp.float32)
