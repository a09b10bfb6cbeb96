"""Lite-HRNet: a lightweight high-resolution network (Yu et al., CVPR 2021), and its naive variant.

image [B,H,W,3] -> stem to 1/4 -> stages of 2, 3 and 4 branches -> iterative head, from the lowest
resolution to the highest -> 1x1 convolution -> heatmaps [B,H/4,W/4,K].

In every branch, half of the channels pass through unchanged. The other half goes through a
depthwise convolution, before which it is weighted by all branches and after which it is weighted by
its own branch (conditional channel weighting). The naive variant has ShuffleNetV2's units instead.
Other papers change the weighting, the stem or the fusion and keep the rest: `LiteBackbone` has
these as fields.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxpose import ops
from jaxpose.layers import (
    BatchNorm,
    ChannelGate,
    Conv,
    ConvNormAct,
    Layers,
    ModuleDef,
    check_choice,
    check_images,
)
from jaxpose.models.hrnet import CONV_INIT, heatmaps, policy
from jaxpose.models.hrnet_stages import (
    Fuse,
    HRModule,
    Maps,
    Stage,
    Term,
    all_branches,
    each_branch,
    fuse_sum,
    grow,
    run_stages,
)
from jaxpose.models.shufflenet_v2 import ShuffleUnit

BLOCKS = 2  # per module
NARROW, WIDE = (30, 60, 120, 240), (40, 80, 160, 320)  # of the branches
MODULES = {18: (2, 4, 2), 30: (3, 8, 3)}  # of the stages with 2, 3 and 4 branches, by depth


class Layout(NamedTuple):
    """Widths of the branches and modules per stage."""

    widths: tuple[int, int, int, int] = WIDE
    modules: tuple[int, int, int] = MODULES[18]

    def stages(self) -> list[Stage]:
        """Named as in the released code, which counts the stages from 0."""
        return [
            Stage(f"stage{n}", f"transition{n}", self.widths[: n + 2], modules)
            for n, modules in enumerate(self.modules)
        ]


LITE_18 = Layout()
LITE_30 = Layout(modules=MODULES[30])


class Separable(nn.Module):
    """Depthwise 3x3 with batch norm, then 1x1 with batch norm and `act`."""

    features: int
    stride: int = 1
    act: str | None = "relu"
    conv: ModuleDef = Conv
    norm: ModuleDef = BatchNorm

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        layer, channels = partial(ConvNormAct, conv=self.conv, norm=self.norm), x.shape[-1]
        depthwise = partial(layer, channels, 3, self.stride, groups=channels, act=None)
        x = depthwise(name="depthwise_conv")(x, train)
        return layer(self.features, act=self.act, name="pointwise_conv")(x, train)


class Stem(nn.Module):
    """[B,H,W,3] -> [B,H/4,W/4,32]: 3x3 of stride 2, then a shuffle block of stride 2."""

    conv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        layer = partial(ConvNormAct, conv=self.conv, norm=self.norm)
        x = layer(32, 3, 2, name="conv1")(x, train)
        a, b = jnp.split(x, 2, axis=-1)
        a = layer(16, 3, 2, groups=16, act=None, name="branch1_0")(a, train)
        a = layer(16, name="branch1_1")(a, train)
        b = layer(32, name="expand_conv")(b, train)
        b = layer(32, 3, 2, groups=32, act=None, name="depthwise_conv")(b, train)
        b = layer(16, name="linear_conv")(b, train)
        return join(a, b)


def join(a: jax.Array, b: jax.Array) -> jax.Array:
    """Interleaves two maps: channel 2i is a's channel i, channel 2i+1 is b's."""
    return ops.channel_shuffle(jnp.concatenate([a, b], axis=-1), groups=2)


def fuse_doubled(xs: Maps, outputs: int, term: Term, *, after_relu: bool) -> Maps:
    """The fusion that the released networks were trained with; not a plain sum.

    Their code starts the sum of an output with the term of branch 0 and then adds the terms of all
    branches to it, in place. So the term of branch 0 counts twice. And since the sum of output 0
    starts with branch 0 itself, the other outputs read output 0 where they should read branch 0:
    before its ReLU, or after it (`after_relu`) where the ReLU is in place, too.

    Both uses of a term run the same layers on the same map: here it is computed once and doubled.
    (In the released code, the running statistics of these layers are updated twice per step.)
    """
    m = 2 * xs[0] + sum(term(0, j, x) for j, x in enumerate(xs) if j)
    fused = [ops.activation(m, kind="relu")]
    source = fused[0] if after_relu else m
    for i in range(1, outputs):
        m = 2 * term(i, 0, source) + sum(term(i, j, x) for j, x in enumerate(xs) if j)
        fused.append(ops.activation(m, kind="relu"))
    return fused


FUSIONS: dict[str, Fuse] = {"released": partial(fuse_doubled, after_relu=False), "sum": fuse_sum}


class IterativeHead(nn.Module):
    """The lowest resolution, projected and enlarged, is added to the next one, and so on.

    Enlarging is bilinear with aligned corners. Returns the highest resolution at its width; the
    released code also returns the intermediate maps.
    """

    conv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, xs: Maps, train: bool) -> jax.Array:
        layer = partial(Separable, conv=self.conv, norm=self.norm)
        widths = [x.shape[-1] for x in xs[:1] + xs[:-1]]
        y: jax.Array | None = None
        for number, (x, width) in enumerate(zip(xs[::-1], widths[::-1], strict=True)):
            if y is not None:
                x = x + ops.resize(y, size=x.shape[1:3], method="bilinear_align_corners")
            y = layer(width, name=f"projects_{number}")(x, train)
        assert y is not None
        return y


class LiteBackbone(nn.Module):
    """[B,H,W,3] -> [B,H/4,W/4,widths[0]].

    Attributes:
      layout: widths and repeats.
      stem: constructor of the layers to 1/4.
      body: the blocks of a module.
      fuse: how a module sums its branches.
    """

    layout: Layout
    stem: ModuleDef
    body: Callable[[nn.Module, Maps, bool], Maps]
    fuse: Fuse
    conv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        layers: Layers = dict(conv=self.conv, norm=self.norm)
        x = self.stem(**layers, name="stem")(x, train)
        step = partial(Separable, **layers)
        module = partial(HRModule, self.body, step, fuse=self.fuse, **layers)
        xs = run_stages(self, [x], self.layout.stages(), partial(grow, step=step), module, train)
        return IterativeHead(**layers, name="head_layer")(xs, train)


def at_lowest_resolution(xs: Maps) -> jax.Array:
    """All branches averaged to the size of the last one and concatenated: [B,h,w,sum of C]."""
    size = xs[-1].shape[1:3]
    pooled = [ops.adaptive_avg_pool(x, size=size) for x in xs[:-1]]
    return jnp.concatenate([*pooled, xs[-1]], axis=-1)


def weigh(xs: Maps, weights: jax.Array) -> Maps:
    """Each branch times its channels of the weights [B,h,w,sum of C], enlarged to its size."""
    ends = [sum(x.shape[-1] for x in xs[: i + 1]) for i in range(len(xs) - 1)]
    parts = jnp.split(weights, ends, axis=-1)
    return [
        x * ops.resize(part, size=x.shape[1:3], method="nearest")
        for x, part in zip(xs, parts, strict=True)
    ]


class CrossResolutionWeighting(nn.Module):
    """H of the paper: 1x1 to an eighth -> ReLU -> 1x1 back -> sigmoid, with batch norm in both."""

    channels: int
    conv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        layer = partial(ConvNormAct, conv=self.conv, norm=self.norm)
        x = layer(self.channels // 8, name="conv1")(x, train)
        return layer(self.channels, act="sigmoid", name="conv2")(x, train)


def spatial_weighting(channels: int, *, conv: ModuleDef, name: str) -> ChannelGate:
    """F, which the paper calls spatial weighting: squeeze-and-excitation of one branch."""
    return ChannelGate(channels // 4, gate="sigmoid", conv=conv, name=name)


class WeightingBlock(nn.Module):
    """On half the channels: weighting across branches, depthwise 3x3, weighting of each branch.

    Attributes:
      cross: called as cross(channels, name=)(maps, train) on all branches at the lowest resolution,
        returns weights of that shape; None means no such weighting.
      single: called as single(channels, name=)(map), returns weights that broadcast to the map;
        None means no such weighting.
    """

    cross: ModuleDef | None
    single: ModuleDef | None
    conv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, xs: Maps, train: bool) -> Maps:
        kept, ys = split_halves(xs)
        if self.cross is not None:
            z = at_lowest_resolution(ys)
            ys = weigh(ys, self.cross(z.shape[-1], name="cross_resolution_weighting")(z, train))
        layer = partial(ConvNormAct, kernel_size=3, act=None, conv=self.conv, norm=self.norm)
        outputs = []
        for i, (x, y) in enumerate(zip(kept, ys, strict=True)):
            channels = y.shape[-1]
            y = layer(channels, groups=channels, name=f"depthwise_convs_{i}")(y, train)
            if self.single is not None:
                y = y * self.single(channels, name=f"spatial_weighting_{i}")(y)
            outputs.append(join(x, y))
        return outputs


def split_halves(xs: Maps) -> tuple[Sequence[jax.Array], Maps]:
    """The first halves of the channels of all branches, and the second halves."""
    first, second = zip(*(jnp.split(x, 2, axis=-1) for x in xs), strict=True)
    return first, list(second)


def weighting_body(
    cross: ModuleDef | None,
    single: ModuleDef | None,
    conv: ModuleDef,
    norm: ModuleDef,
    last_blocks: int = BLOCKS,
) -> Callable[[nn.Module, Maps, bool], Maps]:
    """The body of a module: a sequence of `WeightingBlock`s, `last_blocks` in the last stage."""
    block = partial(WeightingBlock, cross, single, conv, norm)

    def body(module: nn.Module, xs: Maps, train: bool) -> Maps:
        blocks = last_blocks if len(xs) == len(WIDE) else BLOCKS
        return all_branches(module, xs, train, block=block, blocks=blocks)

    return body


def lite_layers(conv_init: str, dtype: Any, bn_axis: str | None) -> Layers:
    """`conv` and `norm` of these networks."""
    layers = policy(conv_init, dtype, bn_axis)
    return {key: layers[key] for key in ("conv", "norm")}


class LiteHRNet(nn.Module):
    """[B,H,W,3] normalized images -> heatmaps [B,H/4,W/4,K], float32.

    Attributes:
      layout: widths and repeats.
      num_keypoints: K.
      fusion: "released", which public checkpoints need, or "sum", HRNet's.
      conv_init: "paper" = N(0, 0.001), or "kaiming", for all but the last layer.
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
        check_choice("lite_hrnet: fusion", self.fusion, FUSIONS)
        check_choice("lite_hrnet: conv_init", self.conv_init, CONV_INIT)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        check_images(x, 32, "lite_hrnet")
        layers = lite_layers(self.conv_init, self.dtype, self.bn_axis)
        cross = partial(CrossResolutionWeighting, **layers)
        single = partial(spatial_weighting, conv=layers["conv"])
        body = weighting_body(cross, single, **layers)
        backbone = LiteBackbone(
            self.layout, Stem, body, FUSIONS[self.fusion], **layers, name="backbone"
        )
        return heatmaps(backbone(x.astype(self.dtype), train), self.num_keypoints, layers["conv"])


class NaiveLiteHRNet(nn.Module):
    """Lite-HRNet with ShuffleNetV2's units, which do not mix branches.

    Attributes:
      widths: of the branches.
      num_keypoints: K.
      depth: 18, or 30, which has as many modules as Lite-HRNet-30 and no published result.
      fusion, conv_init, dtype, bn_axis: as for `LiteHRNet`.
    """

    widths: tuple[int, int, int, int]
    num_keypoints: int = 17
    depth: int = 18
    fusion: str = "released"
    conv_init: str = "paper"
    dtype: Any = jnp.float32
    bn_axis: str | None = None

    def __post_init__(self):
        check_choice("naive_lite_hrnet: depth", self.depth, MODULES)
        check_choice("naive_lite_hrnet: fusion", self.fusion, FUSIONS)
        check_choice("naive_lite_hrnet: conv_init", self.conv_init, CONV_INIT)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        check_images(x, 32, "naive_lite_hrnet")
        layers = lite_layers(self.conv_init, self.dtype, self.bn_axis)
        block = partial(ShuffleUnit, stride=1, **layers)
        body = partial(each_branch, block=block, blocks=BLOCKS, name="layers")
        layout = Layout(self.widths, MODULES[self.depth])
        backbone = LiteBackbone(layout, Stem, body, FUSIONS[self.fusion], **layers, name="backbone")
        return heatmaps(backbone(x.astype(self.dtype), train), self.num_keypoints, layers["conv"])
