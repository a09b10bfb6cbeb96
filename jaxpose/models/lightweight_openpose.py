"""Lightweight OpenPose: real-time 2D multi-person pose estimation on CPU (Osokin 2018).

image [B,H,W,3] -> dilated MobileNetV1 to 1/8 -> 128 channels -> heatmaps and part affinity fields
-> a refinement of both from the features and the first estimate.

`jaxpose.codecs.part_affinity` makes the targets and finds the people.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxpose import ops
from jaxpose.layers import BatchNorm, Conv, ConvNormAct, ModuleDef, check_images, init, repeat
from jaxpose.models.efficient_hrnet import Entry

FEATURES = 128
# Output channels, stride and dilation of MobileNetV1's separable convolutions after the first
# layer, up to conv5_5; two strides are removed, and one layer is dilated instead.
MOBILENET = (
    (64, 1, 1),
    (128, 2, 1),
    (128, 1, 1),
    (256, 2, 1),
    (256, 1, 1),
    (512, 1, 1),
    (512, 1, 2),
    *[(512, 1, 1)] * 4,
)

# The library's normalization, RGB on the scale 0..255, and that of the public weights.
MEAN = np.array([123.675, 116.28, 103.53], np.float32)
STD = np.array([58.395, 57.12, 57.375], np.float32)
PUBLIC_MEAN, PUBLIC_STD = 128, 256


def public_input(x: jax.Array) -> jax.Array:
    """Converts images normalized by this library to the public weights': BGR, (x - 128) / 256."""
    x = x * (STD / PUBLIC_STD) + (MEAN - PUBLIC_MEAN) / PUBLIC_STD
    red, green, blue = jnp.split(x, 3, axis=-1)
    return jnp.concatenate([blue, green, red], axis=-1)


class SeparableConv(nn.Module):
    """3x3 depthwise, batch norm, ReLU, 1x1, batch norm, ReLU."""

    features: int
    stride: int
    dilation: int
    conv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        channels = x.shape[-1]
        spread = partial(self.conv, dilation=self.dilation)
        depthwise = partial(ConvNormAct, channels, 3, self.stride, groups=channels)
        x = depthwise(conv=spread, norm=self.norm, name="depthwise")(x, train)
        pointwise = ConvNormAct(self.features, conv=self.conv, norm=self.norm, name="pointwise")
        return pointwise(x, train)


class Compression(nn.Module):
    """1x1 to 128, three separable convolutions with ELU plus the identity, 3x3: "cpm"."""

    conv: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = y = ConvNormAct(FEATURES, conv=self.conv, name="align")(x)
        for number in range(3):
            y = SeparableELU(self.conv, name=f"trunk_{number}")(y)
        return ConvNormAct(FEATURES, 3, conv=self.conv, name="conv")(x + y)


class SeparableELU(nn.Module):
    """3x3 depthwise, ELU, 1x1, ELU; neither bias nor batch norm."""

    conv: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        channels = x.shape[-1]
        x = self.conv(channels, 3, groups=channels, name="depthwise")(x)
        x = self.conv(channels, name="pointwise")(ops.activation(x, kind="elu"))
        return ops.activation(x, kind="elu")


def predict(
    x: jax.Array, hidden: int, outputs: dict[str, int], conv: ModuleDef
) -> tuple[jax.Array, ...]:
    """Two 1x1 layers per output, {name: channels}; call it in a compact method."""
    layer = partial(ConvNormAct, conv=conv)
    return tuple(
        layer(channels, act=None, name=f"{name}_1")(layer(hidden, name=f"{name}_0")(x))
        for name, channels in outputs.items()
    )


class InitialStage(nn.Module):
    """The first estimate: three 3x3 convolutions, then the predictions."""

    outputs: dict[str, int]
    conv: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, ...]:
        for number in range(3):
            x = ConvNormAct(FEATURES, 3, conv=self.conv, name=f"trunk_{number}")(x)
        return predict(x, 512, self.outputs, self.conv)


class RefinementBlock(nn.Module):
    """1x1 to 128 channels, plus two 3x3 convolutions of the result, the second dilated."""

    conv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = ConvNormAct(FEATURES, conv=self.conv, name="initial")(x)
        dilated = partial(self.conv, dilation=2)
        y = Entry(FEATURES, 1, self.conv, self.norm, name="trunk_0")(x, train)
        return x + Entry(FEATURES, 1, dilated, self.norm, name="trunk_1")(y, train)


class RefinementStage(nn.Module):
    """A better estimate from the features and the previous one: five blocks, predictions."""

    outputs: dict[str, int]
    conv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> tuple[jax.Array, ...]:
        first, *others = (f"trunk_{number}" for number in range(5))
        x = RefinementBlock(self.conv, self.norm, name=first)(x, train)
        block = RefinementBlock(self.conv, self.norm, parent=None)
        x = repeat(self, block, others, x, train)
        return predict(x, FEATURES, self.outputs, self.conv)


class LightweightOpenPose(nn.Module):
    """[B,H,W,3] images -> (heatmaps, fields, ...), one pair per stage, the best pair last.

    All float32 at 1/8: heatmaps [B,H/8,W/8,K+1], whose last channel is the background, and part
    affinity fields [B,H/8,W/8,2L]; H and W are multiples of 8.

    Attributes:
      num_keypoints: K; the published network has 18, COCO's and the neck.
      limbs: number of limbs L.
      refinement_stages: one as published; the public weights were trained with three.
      public_input: whether to convert this library's normalized RGB to the input that the public
        weights were trained on, BGR (x - 128) / 256.
      dtype: of the arithmetic; parameters stay float32.
      bn_axis: mesh axis over which batch norm shares its statistics.
    """

    num_keypoints: int = 18
    limbs: int = 19
    refinement_stages: int = 1
    public_input: bool = False
    dtype: Any = jnp.float32
    bn_axis: str | None = None

    def __post_init__(self):
        if self.limbs < 1 or self.refinement_stages < 0:
            raise ValueError(
                "lightweight_openpose: limbs must be at least 1 and refinement_stages at least 0, "
                f"got {self.limbs} and {self.refinement_stages}"
            )
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> tuple[jax.Array, ...]:
        check_images(x, 8, "lightweight_openpose")
        # PyTorch's initial values, except that biases start at zero and the backbone has He's, with
        # which the maps of an untrained network do not vanish.
        conv = partial(Conv, kernel_init=init.torch_default, dtype=self.dtype)
        kaiming = partial(conv, kernel_init=init.variance_scaling(2.0, "fan_in", "normal"))
        norm = partial(BatchNorm, axis_name=self.bn_axis)
        outputs = {"heatmaps": self.num_keypoints + 1, "pafs": 2 * self.limbs}

        x = (public_input(x) if self.public_input else x).astype(self.dtype)
        x = ConvNormAct(32, 3, 2, conv=kaiming, norm=norm, name="model_0")(x, train)
        for number, window in enumerate(MOBILENET, 1):
            x = SeparableConv(*window, kaiming, norm, name=f"model_{number}")(x, train)
        features = Compression(conv, name="cpm")(x)
        stages = [InitialStage(outputs, conv, name="initial_stage")(features)]
        for number in range(self.refinement_stages):
            stage = RefinementStage(outputs, conv, norm, name=f"refinement_stages_{number}")
            stages.append(stage(jnp.concatenate([features, *stages[-1]], axis=-1), train))
        return tuple(y.astype(jnp.float32) for stage in stages for y in stage)
