"""Dite-HRNet: a dynamic lightweight high-resolution network (Li et al., IJCAI 2022).

Lite-HRNet with another stem and other blocks: half of the channels of every branch go through dense
context modeling across the branches (DCM), a dynamic split convolution (DSC) and global context
modeling (GCM). A convolution with several kernels mixes them into one kernel per image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxpose import ops
from jaxpose.layers import (
    BatchNorm,
    Conv,
    ConvNormAct,
    Layers,
    ModuleDef,
    check_choice,
    check_images,
    init,
)
from jaxpose.models.hrnet import CONV_INIT, heatmaps
from jaxpose.models.hrnet_stages import Fuse, Maps, all_branches, fuse_sum
from jaxpose.models.lite_hrnet import (
    BLOCKS,
    Layout,
    LiteBackbone,
    fuse_doubled,
    join,
    lite_layers,
    split_halves,
    weigh,
)

FUSIONS: dict[str, Fuse] = {"released": partial(fuse_doubled, after_relu=True), "sum": fuse_sum}

# Per branch, from the highest resolution: parts of the channels, each with a larger kernel than the
# one before; number of kernels that are mixed; reduction of the global context.
GROUPS, KERNELS, REDUCTIONS = (1, 1, 2, 4), (4, 4, 2, 1), (4, 4, 8, 8)
DENSE_REDUCTION = 8


def kaiming_bank(key: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> jax.Array:
    """U(+-sqrt(6 / fan_in)) for each kernel of a bank [K,kh,kw,I,O]; fan_in = kh * kw * I."""
    return init.uniform(math.sqrt(6 / math.prod(shape[1:4])))(key, shape, dtype)


class Excitation(nn.Module):
    """[B,h,w,C] -> 1x1 to `hidden` -> batch norm -> ReLU -> 1x1 with bias -> sigmoid."""

    hidden: int
    features: int
    conv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = self.norm(name="bn")(self.conv(self.hidden, name="conv1")(x), train)
        x = self.conv(self.features, use_bias=True, name="conv2")(ops.activation(x, kind="relu"))
        return ops.activation(x, kind="sigmoid")


class KernelAggregation(nn.Module):
    """Convolution of each image with its own mixture of K kernels; `attention` is [B,1,1,K]."""

    features: int
    kernel_size: int
    stride: int
    depthwise: bool

    @nn.compact
    def __call__(self, x: jax.Array, attention: jax.Array) -> jax.Array:
        size, channels = self.kernel_size, 1 if self.depthwise else x.shape[-1]
        shape = (attention.shape[-1], size, size, channels, self.features)
        bank = self.param("kernel", kaiming_bank, shape, jnp.float32)
        return ops.dynamic_conv(x, attention, bank, stride=self.stride, padding=size // 2)


class DynamicConv(nn.Module):
    """A convolution whose kernel is a mixture of several, with weights in [0, 1] per image.

    The weights come from the mean over the image, as in the released code through a sigmoid, not a
    softmax.
    """

    features: int
    kernel_size: int
    stride: int
    depthwise: bool
    kernels: int
    conv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        attend = Excitation(x.shape[-1] // 4, self.kernels, self.conv, self.norm, name="attention")
        attention = attend(ops.global_avg_pool(x), train)
        convolve = KernelAggregation(
            self.features, self.kernel_size, self.stride, self.depthwise, name="aggregation"
        )
        return convolve(x, attention)


class DynamicLayer(nn.Module):
    """Convolution with `kernels` mixed kernels (1: an ordinary one), batch norm, activation."""

    features: int
    kernel_size: int = 1
    stride: int = 1
    depthwise: bool = False
    kernels: int = 4
    act: str | None = "relu"
    conv: ModuleDef = Conv
    norm: ModuleDef = BatchNorm

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        shape = (self.features, self.kernel_size, self.stride)
        if self.kernels == 1:
            groups = self.features if self.depthwise else 1
            x = self.conv(*shape, groups=groups, name="conv")(x)
        else:
            layer = DynamicConv(
                *shape, self.depthwise, self.kernels, self.conv, self.norm, name="conv"
            )
            x = layer(x, train)
        x = self.norm(name="bn")(x, train)
        return x if self.act is None else ops.activation(x, kind=self.act)


class GlobalContext(nn.Module):
    """Channels gated by the image's mean under a learned mask, then batch norm (GCM)."""

    reduction: int
    conv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        channels = x.shape[-1]
        mask = ops.spatial_softmax(self.conv(1, use_bias=True, name="conv_mask")(x))
        context = jnp.sum(x * mask, axis=(1, 2), keepdims=True)
        gate = Excitation(
            channels // self.reduction, channels, self.conv, self.norm, name="channel_attention"
        )
        return self.norm(name="bn")(x * gate(context, train), train)


def reinterpreted_pool(x: jax.Array, mask: jax.Array, size: Sequence[int]) -> jax.Array:
    """Sums of [B,H,W,C] weighted by a mask [B,H,W,1], n = H*W/(h*w) terms each: [B,h,w,C].

    These are not sums over patches of the image: the released code reads the memory of its [C,H,W]
    array as [h*w,C,n], which mixes channels and positions, and that of the mask as [h*w,n].
    Checkpoints need this.
    """
    batch, height, width, channels = x.shape
    positions = size[0] * size[1]
    terms = height * width // positions
    memory = x.transpose(0, 3, 1, 2).reshape(batch, positions, channels, terms)
    pooled = jnp.sum(memory * mask.reshape(batch, positions, 1, terms), axis=-1)
    return pooled.reshape(batch, *size, channels)


class UnusedMask(nn.Module):
    """The mask layer of the lowest resolution: checkpoints have its parameters; nothing uses it."""

    channels: int

    @nn.compact
    def __call__(self) -> None:
        self.param("kernel", init.normal_small, (1, 1, self.channels, 1), jnp.float32)
        self.param("bias", nn.initializers.zeros, (1,), jnp.float32)


class DenseContext(nn.Module):
    """Every branch weighted by a context of all branches at the lowest resolution (DCM)."""

    conv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, xs: Maps, train: bool) -> Maps:
        *higher, lowest = xs
        context = []
        for i, x in enumerate(higher):
            logits = self.conv(1, use_bias=True, name=f"conv_mask_{i}")(x)
            mask = ops.spatial_softmax(logits)
            context.append(reinterpreted_pool(x, mask, lowest.shape[1:3]))
        UnusedMask(lowest.shape[-1], name=f"conv_mask_{len(higher)}")()
        z = jnp.concatenate([*context, lowest], axis=-1)
        channels = z.shape[-1]
        excite = Excitation(
            channels // DENSE_REDUCTION, channels, self.conv, self.norm, name="channel_attention"
        )
        return weigh(xs, excite(z, train))


class SplitConv(nn.Module):
    """Depthwise kernels of size 3, 5, 7, ... on equal parts of the channels, then shuffle (DSC)."""

    groups: int
    kernels: int
    conv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        layer = partial(
            DynamicLayer,
            depthwise=True,
            kernels=self.kernels,
            act=None,
            conv=self.conv,
            norm=self.norm,
        )
        parts = jnp.split(x, self.groups, axis=-1) if self.groups > 1 else [x]
        parts = [
            layer(part.shape[-1], 3 + 2 * g, name=f"conv_{g}")(part, train)
            for g, part in enumerate(parts)
        ]
        if self.groups == 1:
            return parts[0]
        return ops.channel_shuffle(jnp.concatenate(parts, axis=-1), groups=self.groups)


class ContextBlock(nn.Module):
    """Dynamic multi-scale context (DMC) block: DCM, DSC and GCM on half the channels."""

    conv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, xs: Maps, train: bool) -> Maps:
        layers: Layers = dict(conv=self.conv, norm=self.norm)
        kept, ys = split_halves(xs)
        ys = DenseContext(**layers, name="dcm")(ys, train)
        outputs = []
        for i, (x, y) in enumerate(zip(kept, ys, strict=True)):
            y = SplitConv(GROUPS[i], KERNELS[i], **layers, name=f"conv_{i}")(y, train)
            y = GlobalContext(REDUCTIONS[i], **layers, name=f"gcm_{i}")(y, train)
            outputs.append(join(x, y))
        return outputs


class DynamicStem(nn.Module):
    """[B,H,W,3] -> [B,H/4,W/4,32]: 3x3 of stride 2, then two dynamic branches of stride 2."""

    conv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        layers: Layers = dict(conv=self.conv, norm=self.norm)
        layer: ModuleDef = partial(DynamicLayer, **layers)
        depthwise = partial(layer, 16, 3, depthwise=True)
        context = partial(GlobalContext, REDUCTIONS[0], **layers)

        x = ConvNormAct(32, 3, 2, **layers, name="conv1")(x, train)
        a, b = jnp.split(x, 2, axis=-1)
        a = depthwise(stride=2, act=None, name="branch1_0")(a, train)
        a = context(name="branch1_1")(a, train)
        a = layer(16, name="branch1_2")(a, train)
        b = depthwise(act=None, name="branch2_0")(b, train)
        b = context(name="branch2_1")(b, train)
        b = layer(4, name="branch2_2")(b, train)
        b = layer(16, act=None, name="branch2_3")(b, train)
        b = depthwise(stride=2, name="branch2_4")(b, train)
        return join(a, b)


class DiteHRNet(nn.Module):
    """[B,H,W,3] normalized images -> heatmaps [B,H/4,W/4,K], float32.

    Attributes:
      layout: widths and repeats.
      num_keypoints: K.
      fusion: "released", which public checkpoints need, or "sum", HRNet's.
      conv_init: "paper" = N(0, 0.001), or "kaiming", for all but the last layer and the kernels
        that are mixed.
      dtype: of the arithmetic; parameters stay float32.
      bn_axis: mesh axis over which batch norm shares its statistics.
    """

    layout: Layout
    num_keypoints: int = 17
    fusion: str = "released"
    conv_init: str = "paper"
    dtype: Any = jnp.float32
    bn_axis: str | None = None

    def __post_init__(self):
        check_choice("dite_hrnet: fusion", self.fusion, FUSIONS)
        check_choice("dite_hrnet: conv_init", self.conv_init, CONV_INIT)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        check_images(x, 32, "dite_hrnet")
        layers = lite_layers(self.conv_init, self.dtype, self.bn_axis)
        body = partial(all_branches, block=partial(ContextBlock, **layers), blocks=BLOCKS)
        backbone = LiteBackbone(
            self.layout, DynamicStem, body, FUSIONS[self.fusion], **layers, name="backbone"
        )
        return heatmaps(backbone(x.astype(self.dtype), train), self.num_keypoints, layers["conv"])
