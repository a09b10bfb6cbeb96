"""HWL-MobileNetV3: lightweight pose estimation using heatmap-weighting loss (Li & Xiang 2022).

image [B,H,W,3] -> MobileNetV3 (stride 32, 960 channels) -> 3 x light deconvolution (section III-A)
-> attention (III-B) -> 1x1 convolution -> heatmaps [B,H/4,W/4,K].

Trained with `jaxpose.losses.heatmap_weighting_loss` (section III-C, eq. 8). Where the text and the
released code differ (a ReLU inside both attention branches, the squared error), this follows the
code; `inner_relu=False` leaves out the ReLU, as in eqs. (5) and (6).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxpose import ops
from jaxpose.layers import (
    CBAM,
    BatchNorm,
    ChannelGate,
    Conv,
    ConvNormAct,
    ConvTranspose,
    ModuleDef,
    check_choice,
    check_images,
    init,
)
from jaxpose.models.mobilenet_v3 import MobileNetV3

BACKBONES = ("mobilenetv3", "mobilenetv3_large_std")
ATTENTION = ("own", "se", "cbam", "none")
HARD_SIGMOID = ("hard_sigmoid", "hard_sigmoid_v1")
DECONV_INIT = ("paper", "kaiming")
REDUCTION = 4  # r of eq. (5); not printed in the paper, from the released code


class LightDeconv(nn.Module):
    """Depthwise 4x4 transposed convolution (stride 2), then pointwise: [B,h,w,C] -> [B,2h,2w,256].

    A plain deconvolution has D_K^2 C_in C_out weights, eq. (1), applied at every pixel, eq. (2).
    Split into two layers it has D_K^2 C_in + C_in C_out, eq. (3): for D_K = 4 and 256 channels
    17/256, about 1/16, of the cost, eq. (4). Batch norm and ReLU follow each of the two layers.
    """

    features: int
    conv: ModuleDef
    deconv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        channels = x.shape[-1]
        x = self.deconv(channels, depthwise=True, name="depthwise")(x)
        x = ops.activation(self.norm(name="bn1")(x, train), kind="relu")
        x = self.conv(
            self.features,
            use_bias=True,
            kernel_init=init.torch_default,
            bias_init=init.torch_default_bias(channels),
            name="pointwise",
        )(x)
        return ops.activation(self.norm(name="bn2")(x, train), kind="relu")


class SpatialGate(nn.Module):
    """The weights of eq. (6): sigma(F_1^{3x3}(act(F_1^{1x1}(f)))), [B,H,W,C] -> [B,H,W,1]."""

    gate: str
    conv: ModuleDef
    act: str | None = "relu"

    @nn.compact
    def __call__(self, f: jax.Array) -> jax.Array:
        s = ConvNormAct(1, 1, act=self.act, conv=self.conv, name="conv1")(f)
        return ConvNormAct(1, 3, act=self.gate, conv=self.conv, name="conv2")(s)


class Attention(nn.Module):
    """f_out = f_in + H_channel(f_in) + H_spatial(f_in), eq. (7): identity, channel and spatial.

    `act` is between the two convolutions of both branches: "relu", or None as in the equations.
    """

    gate: str
    conv: ModuleDef
    act: str | None = "relu"

    @nn.compact
    def __call__(self, f: jax.Array) -> jax.Array:
        hidden = f.shape[-1] // REDUCTION
        channel = f * ChannelGate(hidden, self.gate, self.conv, self.act, name="se")(f)  # eq. (5)
        spatial = f * SpatialGate(self.gate, self.conv, self.act, name="sse")(f)  # eq. (6)
        return f + channel + spatial


class LightHead(nn.Module):
    """Three light deconvolutions, attention after the last one, and the heatmap layer."""

    num_keypoints: int
    attention: str
    hard_sigmoid: str
    deconv_init: str
    dtype: Any
    bn_axis: str | None
    inner_relu: bool = True

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        conv = partial(Conv, dtype=self.dtype, kernel_init=init.kaiming_fan_out)
        norm = partial(BatchNorm, axis_name=self.bn_axis)
        # N(0, 0.001) as released. With four terms per output, its variance starts below batch
        # norm's eps, so the normalized output starts at std 0.4; with "kaiming" it starts at 1.
        kernel = init.normal_small if self.deconv_init == "paper" else init.kaiming_transposed(2)
        deconv = partial(ConvTranspose, kernel_init=kernel, dtype=self.dtype)

        for number in (1, 2, 3):
            x = LightDeconv(256, conv, deconv, norm, name=f"deconv{number}")(x, train)
        gate = self.hard_sigmoid
        if self.attention == "own":
            act = "relu" if self.inner_relu else None
            x = Attention(gate, conv, act, name="attention")(x)
        elif self.attention == "se":  # Table VI: channel branch alone, without identity
            x = x * ChannelGate(x.shape[-1] // REDUCTION, gate, conv, name="attention")(x)
        elif self.attention == "cbam":
            # The released CBAM uses PyTorch's Hardsigmoid, whatever the rest of the network uses.
            block = CBAM(REDUCTION, "hard_sigmoid", spatial_bias=True, conv=conv, name="attention")
            x = block(x)
        return conv(
            self.num_keypoints, use_bias=True, kernel_init=init.normal_small, name="final_layer"
        )(x)


class HWL(nn.Module):
    """HWL-MobileNetV3: [B,H,W,3] normalized images -> heatmaps [B,H/4,W/4,K], float32.

    Attributes:
      num_keypoints: K.
      attention: "own" (eq. 7), or "se", "cbam", "none" (the ablations of Table VI).
      hard_sigmoid: gate of the backbone and the attention, "hard_sigmoid" = clip((x+3)/6, 0, 1) or
        "hard_sigmoid_v1" = clip((x+1)/2, 0, 1) (mmcv before 1.4.4).
      inner_relu: whether attention "own" has the released code's ReLU between the two convolutions
        of both branches; eqs. (5) and (6) have none. The other kinds of attention need True.
      backbone: "mobilenetv3" (the paper's) or "mobilenetv3_large_std", the standard one. It is not
        that of the paper's tables, but `--config.init_from=FILE` can start from torchvision's or
        timm's ImageNet weights.
      deconv_init: "paper" = N(0, 0.001) or "kaiming".
      dtype: of the arithmetic; parameters stay float32.
      bn_axis: mesh axis over which batch norm shares its statistics.
    """

    num_keypoints: int = 17
    attention: str = "own"
    inner_relu: bool = True
    hard_sigmoid: str = "hard_sigmoid"
    backbone: str = "mobilenetv3"
    deconv_init: str = "paper"
    dtype: Any = jnp.float32
    bn_axis: str | None = None

    def __post_init__(self):
        check_choice("hwl_mobilenetv3: attention", self.attention, ATTENTION)
        check_choice("hwl_mobilenetv3: hard_sigmoid", self.hard_sigmoid, HARD_SIGMOID)
        check_choice("hwl_mobilenetv3: backbone", self.backbone, BACKBONES)
        check_choice("hwl_mobilenetv3: deconv_init", self.deconv_init, DECONV_INIT)
        if not self.inner_relu and self.attention != "own":
            raise ValueError(
                f"hwl_mobilenetv3: inner_relu=False needs attention='own', not {self.attention!r}"
            )
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        check_images(x, 32, "hwl_mobilenetv3")
        x = MobileNetV3(
            textbook=self.backbone == "mobilenetv3_large_std",
            hard_sigmoid=self.hard_sigmoid,
            dtype=self.dtype,
            bn_axis=self.bn_axis,
            name="backbone",
        )(x.astype(self.dtype), train)
        x = LightHead(
            self.num_keypoints,
            self.attention,
            self.hard_sigmoid,
            self.deconv_init,
            self.dtype,
            self.bn_axis,
            self.inner_relu,
            name="head",
        )(x, train)
        return x.astype(jnp.float32)
