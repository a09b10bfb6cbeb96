"""MobileNetV3-large backbones (Howard et al. 2019): the pose variant and the textbook one."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxpose.layers import BatchNorm, ChannelGate, Conv, ConvNormAct, ModuleDef


class Row(NamedTuple):
    """One inverted residual: depthwise kernel, expanded and output width, SE width (0: none)."""

    kernel: int
    mid: int
    out: int
    se: int
    act: str
    stride: int


# mmpose's "big" table, which the HWL paper's code uses. It differs from the textbook: the stride of
# the last stage is in layer14 (with 672 channels, not 960), layer1 keeps its 16 -> 16 expansion,
# and SE squeezes to int(mid / 4), unrounded.
POSE = (
    Row(3, 16, 16, 0, "relu", 1),
    Row(3, 64, 24, 0, "relu", 2),
    Row(3, 72, 24, 0, "relu", 1),
    Row(5, 72, 40, 18, "relu", 2),
    Row(5, 120, 40, 30, "relu", 1),
    Row(5, 120, 40, 30, "relu", 1),
    Row(3, 240, 80, 0, "hard_swish", 2),
    Row(3, 200, 80, 0, "hard_swish", 1),
    Row(3, 184, 80, 0, "hard_swish", 1),
    Row(3, 184, 80, 0, "hard_swish", 1),
    Row(3, 480, 112, 120, "hard_swish", 1),
    Row(3, 672, 112, 168, "hard_swish", 1),
    Row(5, 672, 160, 168, "hard_swish", 1),
    Row(5, 672, 160, 168, "hard_swish", 2),
    Row(5, 960, 160, 240, "hard_swish", 1),
)

# Table 1 of the MobileNetV3 paper, SE widths rounded to multiples of 8. The public ImageNet weights
# of torchvision and timm have these shapes: `--config.init_from=FILE` starts from such a file.
TEXTBOOK = (
    *POSE[:3],
    Row(5, 72, 40, 24, "relu", 2),
    Row(5, 120, 40, 32, "relu", 1),
    Row(5, 120, 40, 32, "relu", 1),
    *POSE[6:12],
    Row(5, 672, 160, 168, "hard_swish", 2),
    Row(5, 960, 160, 240, "hard_swish", 1),
    Row(5, 960, 160, 240, "hard_swish", 1),
)


class InvertedResidual(nn.Module):
    """1x1 expand -> k x k depthwise -> [SE] -> 1x1 project, plus identity where shapes allow.

    With `groups` the k x k convolution is grouped instead of depthwise.
    """

    row: Row
    expand: bool = True
    gate: str = "hard_sigmoid"
    conv: ModuleDef = Conv
    norm: ModuleDef = BatchNorm
    groups: int | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        kernel, mid, out, se, act, stride = self.row
        block = partial(ConvNormAct, conv=self.conv, norm=self.norm)
        y = x
        if self.expand:
            y = block(mid, act=act, name="expand_conv")(y, train)
        groups = self.groups or mid
        y = block(mid, kernel, stride, groups=groups, act=act, name="depthwise_conv")(y, train)
        if se:
            y = y * ChannelGate(se, gate=self.gate, conv=self.conv, name="se")(y)
        y = block(out, act=None, name="linear_conv")(y, train)
        return x + y if stride == 1 and x.shape[-1] == out else y


class MobileNetV3(nn.Module):
    """[B,H,W,3] -> [B,H/32,W/32,960], ending in a 1x1 convolution to 960 channels.

    Attributes:
      textbook: use the layout of the MobileNetV3 paper (batch-norm eps 1e-3), not the pose variant.
      hard_sigmoid: gate of squeeze-and-excitation, "hard_sigmoid" = clip((x+3)/6, 0, 1) or
        "hard_sigmoid_v1" = clip((x+1)/2, 0, 1), which mmpose's own checkpoints expect.
    """

    textbook: bool = False
    hard_sigmoid: str = "hard_sigmoid"
    dtype: Any = jnp.float32
    bn_axis: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        conv = partial(Conv, dtype=self.dtype)
        eps = 1e-3 if self.textbook else 1e-5
        norm = partial(BatchNorm, eps=eps, axis_name=self.bn_axis)
        block = partial(ConvNormAct, act="hard_swish", conv=conv, norm=norm)

        x = block(16, 3, 2, name="conv1")(x, train)
        for number, row in enumerate(TEXTBOOK if self.textbook else POSE, 1):
            x = InvertedResidual(
                row,
                # The textbook omits an expansion that does not widen.
                expand=not self.textbook or row.mid != x.shape[-1],
                gate=self.hard_sigmoid,
                conv=conv,
                norm=norm,
                name=f"layer{number}",
            )(x, train)
        return block(960, name="conv2")(x, train)
