"""Simple Baselines (Xiao, Wu & Wei 2018): a classification backbone and three deconvolutions.

image [B,H,W,3] -> backbone (stride 32) -> 3 x [4x4 transposed convolution to 256, stride 2, batch
norm, ReLU] -> 1x1 convolution -> heatmaps [B,H/4,W/4,K].
"""

from __future__ import annotations

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxpose.layers import (
    BatchNorm,
    Conv,
    ConvTranspose,
    Deconv,
    check_choice,
    check_images,
    init,
)
from jaxpose.models.mobilenet_v2 import MobileNetV2
from jaxpose.models.mobilenet_v3 import MobileNetV3
from jaxpose.models.resnet import ResNet
from jaxpose.models.shufflenet_v2 import CHANNELS, ShuffleNetV2

DECONV_INIT = ("paper", "kaiming")
HARD_SIGMOID = ("hard_sigmoid", "hard_sigmoid_v1")


class DeconvHead(nn.Module):
    """[B,h,w,C] -> heatmaps [B,8h,8w,K]."""

    num_keypoints: int
    deconv_init: str
    dtype: Any
    bn_axis: str | None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        norm = partial(BatchNorm, axis_name=self.bn_axis)
        kernel = init.normal_small if self.deconv_init == "paper" else init.kaiming_transposed(2)
        deconv = partial(ConvTranspose, kernel_init=kernel, dtype=self.dtype)
        for number in (1, 2, 3):
            x = Deconv(256, deconv, norm, name=f"deconv{number}")(x, train)
        return Conv(
            self.num_keypoints,
            use_bias=True,
            kernel_init=init.normal_small,
            dtype=self.dtype,
            name="final_layer",
        )(x)


class SimpleBaseline(nn.Module):
    """[B,H,W,3] normalized images -> heatmaps [B,H/4,W/4,K], float32.

    Attributes:
      backbone: module of stride 32, called as backbone(x, train).
      num_keypoints: K.
      deconv_init: "paper" = N(0, 0.001) or "kaiming".
      dtype: of the head's arithmetic; parameters stay float32.
      bn_axis: mesh axis over which the head's batch norm shares its statistics.
    """

    backbone: nn.Module
    num_keypoints: int = 17
    deconv_init: str = "paper"
    dtype: Any = jnp.float32
    bn_axis: str | None = None

    def __post_init__(self):
        check_choice("simplebaseline: deconv_init", self.deconv_init, DECONV_INIT)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        check_images(x, 32, "simplebaseline")
        x = self.backbone(x.astype(self.dtype), train)
        head = DeconvHead(
            self.num_keypoints, self.deconv_init, self.dtype, self.bn_axis, name="head"
        )
        return head(x, train).astype(jnp.float32)


def simplebaseline_mobilenetv2(
    num_keypoints: int = 17,
    deconv_init: str = "paper",
    dtype: Any = jnp.float32,
    bn_axis: str | None = None,
) -> SimpleBaseline:
    """SimpleBaseline on MobileNetV2 1.0."""
    backbone = MobileNetV2(dtype=dtype, bn_axis=bn_axis)
    return SimpleBaseline(backbone, num_keypoints, deconv_init, dtype, bn_axis)


def simplebaseline_mobilenetv3(
    num_keypoints: int = 17,
    hard_sigmoid: str = "hard_sigmoid",
    deconv_init: str = "paper",
    dtype: Any = jnp.float32,
    bn_axis: str | None = None,
) -> SimpleBaseline:
    """SimpleBaseline on the MobileNetV3 of the HWL paper; `hard_sigmoid` as in `MobileNetV3`."""
    check_choice("simplebaseline_mobilenetv3: hard_sigmoid", hard_sigmoid, HARD_SIGMOID)
    backbone = MobileNetV3(hard_sigmoid=hard_sigmoid, dtype=dtype, bn_axis=bn_axis)
    return SimpleBaseline(backbone, num_keypoints, deconv_init, dtype, bn_axis)


def simplebaseline_shufflenetv2(
    num_keypoints: int = 17,
    width: float = 1.0,
    deconv_init: str = "paper",
    dtype: Any = jnp.float32,
    bn_axis: str | None = None,
) -> SimpleBaseline:
    """SimpleBaseline on ShuffleNetV2, width 0.5, 1.0, 1.5 or 2.0."""
    check_choice("simplebaseline_shufflenetv2: width", width, CHANNELS)
    backbone = ShuffleNetV2(width=width, dtype=dtype, bn_axis=bn_axis)
    return SimpleBaseline(backbone, num_keypoints, deconv_init, dtype, bn_axis)


def simplebaseline_resnet50(
    num_keypoints: int = 17,
    deconv_init: str = "paper",
    dtype: Any = jnp.float32,
    bn_axis: str | None = None,
) -> SimpleBaseline:
    """SimpleBaseline on ResNet-50."""
    backbone = ResNet(dtype=dtype, bn_axis=bn_axis)
    return SimpleBaseline(backbone, num_keypoints, deconv_init, dtype, bn_axis)
