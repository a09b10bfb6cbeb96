"""WLitePose: lightweight human pose estimation based on heatmap weighted loss (Wang et al. 2024).

image [B,H,W,3] -> LitePose's backbone, its blocks replaced by DFC-bottlenecks (section III-C)
-> LitePose's fusion deconvolutions to 1/4, heatmaps and tags there -> lightweight deconvolution
module (III-B) -> heatmaps at 1/2.

Trained with `jaxpose.losses.soft_boundary_loss` (III-A, eq. 4). There is no public code. What the
text leaves open is an option of `WLitePose`. The defaults differ from the text in two points:

* The backbone ends at 1/16, as in LitePose's code, to which the paper's sizes of LitePose belong.
  In the text it ends at 1/32 (section III); `topology="text"` selects this.
* The light module has 33 channels. The text has 32 in 3 groups, which is impossible;
  `light_width=32, light_groups=4` gives 32 channels in 4 groups.

No interpretation gives the sizes that the paper prints: see `jaxpose models --paper wlitepose`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxpose import ops
from jaxpose.layers import (
    CBAM,
    ChannelGate,
    CoordinateAttention,
    DFCAttention,
    Layers,
    ModuleDef,
    check_choice,
    check_images,
    init,
    repeat,
)
from jaxpose.models.litepose import (
    KERNEL,
    STRIDES,
    Backbone,
    FusionDeconv,
    FusionHead,
    InvertedBottleneck,
    Prediction,
    Widths,
    policy,
)

ATTENTION = ("dfc", "se", "cbam", "ca", "none")
GATE = ("input", "expanded")
TOPOLOGY = {"litepose": STRIDES, "text": (2, 2, 2, 2)}  # strides of the four stages


class Reading(NamedTuple):
    """One interpretation of section III-C; the fields are options of `WLitePose`."""

    gate: str
    pool: bool
    dfc_kernel: int
    dfc_bn: bool
    expansion: int
    keep_first: bool


# A, B and C come closest to printed sizes: A to the parameters of Table VI Exp-1, B to its MACs and
# to those of Table X, C to the parameters with the pooling that the text describes. They are fits,
# not evidence of the authors' code: eq. (11) gates C channels, not the expanded ones.
PRESETS = {
    "literal": Reading("input", True, 5, True, 6, False),
    "A": Reading("expanded", False, 5, False, 6, True),
    "B": Reading("expanded", False, 7, True, 6, True),
    "C": Reading("expanded", True, 5, True, 6, True),
}


class LightDeconv(nn.Module):
    """Depthwise 4x4 transposed convolution, then pointwise: [B,h,w,C] -> [B,2h,2w,features].

    Eq. (6) instead of eq. (5): 3/32 of the cost for 66 input and 32 output channels, eq. (7). Batch
    norm and ReLU are "applied to the upsampled feature maps": once, after the pointwise layer.

    HWL's module shares only the two convolutions: it has other initial values, a bias, batch norm
    and ReLU after each, and the parameter names of its released code. A block for both would have
    more options than layers.
    """

    features: int
    conv: ModuleDef
    deconv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        depthwise = partial(self.deconv, depthwise=True, kernel_init=init.torch_default)
        x = depthwise(x.shape[-1], name="depthwise")(x)
        x = self.conv(self.features, name="pointwise")(x)
        return ops.activation(self.norm(name="bn")(x, train), kind="relu")


class LightResidual(nn.Module):
    """Figure 3: grouped 1x1, shuffle, depthwise 3x3, grouped 1x1, identity."""

    groups: int
    conv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        channels = x.shape[-1]
        y = self.conv(channels, groups=self.groups, name="conv1")(x)
        y = ops.activation(self.norm(name="bn1")(y, train), kind="relu")
        y = ops.channel_shuffle(y, groups=self.groups)
        y = self.conv(channels, 3, groups=channels, name="depthwise")(y)
        y = self.norm(name="bn2")(y, train)
        y = self.conv(channels, groups=self.groups, name="conv2")(y)
        y = self.norm(name="bn3")(y, train)
        return ops.activation(x + y, kind="relu")


class Attention(nn.Module):
    """v(X), [B,h,w,C'], weighted by attention; the result has the same shape.

    "dfc" is eq. (11), O = Sigmoid(A) * v(X). Its map A comes from the block's input X by eqs. (9)
    and (10), in GhostNetV2's form and order: depthwise 1xk along the width, then kx1 (eq. (9),
    though called horizontal, is over the height). "se", "cbam" and "ca" are the alternatives of
    Table IX; their weights come from v(X).
    """

    kind: str
    reading: Reading
    conv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array, v: jax.Array, train: bool) -> jax.Array:
        channels, reading = v.shape[-1], self.reading
        if self.kind == "se":
            return v * ChannelGate(channels // 4, "sigmoid", self.conv, name="se")(v)
        if self.kind == "cbam":
            return CBAM(16, conv=self.conv, name="cbam")(v)
        if self.kind == "ca":
            return CoordinateAttention(conv=self.conv, norm=self.norm, name="ca")(v, train)
        norm = self.norm if reading.dfc_bn else None
        dfc = DFCAttention(channels, reading.dfc_kernel, reading.pool, self.conv, norm, name="dfc")
        a = dfc(x, train)
        if a.shape[1:3] != v.shape[1:3]:
            a = ops.resize(a, size=v.shape[1:3], method="bilinear")
        return ops.activation(a, kind="sigmoid") * v


class DFCBottleneck(nn.Module):
    """Figure 5: 7x7 depthwise beside attention, batch norm, 1x1 expand, GELU, 1x1, plus identity.

    `norms` 3 and `activations` 2 put batch norm after every convolution and an activation after the
    7x7 one too; the last rows of Table X remove them.
    """

    features: int
    stride: int
    attention: str
    reading: Reading
    act: str
    activations: int
    norms: int
    conv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        channels = x.shape[-1]
        mid = self.reading.expansion * channels

        def attend(v, where):
            if self.attention == "none" or self.reading.gate != where:
                return v
            layers: Layers = dict(conv=self.conv, norm=self.norm)
            return Attention(self.attention, self.reading, **layers, name="attention")(x, v, train)

        def pointwise(y, features, name):
            # Batch norm cancels a bias before it, so the layer has one or the other.
            if self.norms == 3:
                return self.norm(name=f"{name}_bn")(self.conv(features, name=name)(y), train)
            bias_init = init.torch_default_bias(y.shape[-1])
            return self.conv(features, use_bias=True, bias_init=bias_init, name=name)(y)

        y = self.conv(channels, KERNEL, self.stride, groups=channels, name="depthwise")(x)
        y = self.norm(name="bn")(attend(y, "input"), train)
        if self.activations == 2:
            y = ops.activation(y, kind=self.act)
        y = attend(pointwise(y, mid, "expand"), "expanded")
        y = pointwise(ops.activation(y, kind=self.act), self.features, "project")
        return x + y if self.stride == 1 and channels == self.features else y


class LightHead(nn.Module):
    """The backbone's five maps -> (heatmaps and tags at 1/4, heatmaps at 1/2).

    The lightweight deconvolution module takes the place of LitePose's last fusion deconvolution,
    from 1/4 to 1/2. Its inputs are the features and the predictions at 1/4; for S on COCO, these
    have 32 + 34 = 66 channels, as in the paper.

    After stages at 1/4, 1/8, 1/16 and 1/16, two fusion deconvolutions lead to 1/4. With the last
    stage at 1/32 there are three; the first one enlarges the map of that stage alone.
    """

    num_keypoints: int
    widths: Widths
    light_width: int
    light_groups: int
    conv: ModuleDef
    deconv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, maps: list[jax.Array], train: bool) -> tuple[jax.Array, jax.Array]:
        _, quarter, eighth, sixteenth, x = maps
        fusion = partial(FusionDeconv, deconv=self.deconv, norm=self.norm)
        first, middle, last = self.widths.fusion
        steps: list[tuple[int, jax.Array | None]]
        if x.shape[1] == sixteenth.shape[1]:
            steps = [(first, sixteenth), (last, eighth)]
        else:
            steps = [(first, None), (middle, sixteenth), (last, eighth)]
        for number, (width, raw) in enumerate(steps):
            x = fusion(width, name=f"fusion_{number}")(x, raw, train)
        low = Prediction(2 * self.num_keypoints, self.conv, self.norm, name="final_0")(
            x, quarter, train
        )
        x = jnp.concatenate([x, low], axis=-1)
        x = LightDeconv(self.light_width, self.conv, self.deconv, self.norm, name="light_deconv")(
            x, train
        )
        block = LightResidual(self.light_groups, self.conv, self.norm, parent=None)
        x = repeat(self, block, [f"light_residual_{number}" for number in range(4)], x, train)
        bias_init = init.torch_default_bias(self.light_width)
        final = self.conv(self.num_keypoints, use_bias=True, bias_init=bias_init, name="final_1")
        return low, final(x)


class WLitePose(nn.Module):
    """[B,H,W,3] normalized images -> (heatmaps and tags [B,H/4,W/4,2K], heatmaps [B,H/2,W/2,K]).

    Both float32; the first K channels of the first map are heatmaps, the other K are tags.

    Attributes:
      widths: those of LitePose.
      num_keypoints: K.
      preset: "literal" (the text), or "A", "B", "C" (fits to printed sizes, see `PRESETS`). It sets
        those of gate, pool, dfc_kernel, dfc_bn, expansion and keep_first that are None.
      topology: "litepose" = stage 4 at 1/16 and two fusion deconvolutions, as in LitePose's code,
        or "text" = stage 4 at 1/32 and three fusion deconvolutions, as in section III.
      stages: which of the backbone's stages 1 to 4 have the DFC-bottleneck (Table VII).
      light_deconv: the module of section III-B; False keeps LitePose's third fusion deconvolution
        (topology "litepose" only).
      attention: of the block, "dfc", or "se", "cbam", "ca", "none" (Table IX).
      gate: what attention weights: "input" = the C channels of v(X), "expanded" = those after the
        first 1x1.
      pool: whether the DFC map is computed at half resolution.
      dfc_kernel: k of its 1xk and kx1 layers, odd.
      dfc_bn: whether its three layers have batch norm.
      expansion: ratio of the channels between the two 1x1 layers to those of the input.
      keep_first: whether the first block of each stage, which changes size or width, stays
        LitePose's.
      act: activation of the block, "gelu" or "relu6" (Table X).
      activations: of the block, 1 or 2 (Table X).
      norms: batch norms of the block, 1 or 3 (Table X).
      full_bn_relu6: short for act="relu6", activations=2, norms=3, the start of Table X.
      light_width: channels of the light module. The paper's 32 are not a multiple of its 3 groups;
        33 are.
      light_groups: groups of the 1x1 layers of the light module.
      dtype: of the arithmetic; parameters stay float32.
      bn_axis: mesh axis over which batch norm shares its statistics.
    """

    widths: Widths
    num_keypoints: int = 17
    preset: str = "literal"
    topology: str = "litepose"
    stages: Sequence[int] = (1, 2, 3, 4)
    light_deconv: bool = True
    attention: str = "dfc"
    gate: str | None = None
    pool: bool | None = None
    dfc_kernel: int | None = None
    dfc_bn: bool | None = None
    expansion: int | None = None
    keep_first: bool | None = None
    act: str = "gelu"
    activations: int = 1
    norms: int = 1
    full_bn_relu6: bool = False
    light_width: int = 33
    light_groups: int = 3
    dtype: Any = jnp.float32
    bn_axis: str | None = None

    def __post_init__(self):
        check_choice("wlitepose: preset", self.preset, PRESETS)
        check_choice("wlitepose: topology", self.topology, TOPOLOGY)
        if self.topology == "text" and not self.light_deconv:
            raise ValueError(
                "wlitepose: light_deconv=False needs topology='litepose', whose third fusion "
                "deconvolution leads to 1/2"
            )
        check_choice("wlitepose: attention", self.attention, ATTENTION)
        reading = self.reading
        check_choice("wlitepose: gate", reading.gate, GATE)
        check_choice("wlitepose: act", self.act, ("gelu", "relu6"))
        check_choice("wlitepose: activations", self.activations, (1, 2))
        check_choice("wlitepose: norms", self.norms, (1, 3))
        if not isinstance(self.stages, (tuple, list)):
            raise ValueError(f"wlitepose: stages must be a tuple such as (1, 2), got {self.stages}")
        for stage in self.stages:
            check_choice("wlitepose: stage", stage, (1, 2, 3, 4))
        if reading.dfc_kernel < 1 or reading.dfc_kernel % 2 == 0:
            raise ValueError(f"wlitepose: dfc_kernel {reading.dfc_kernel} must be odd")
        if reading.expansion < 1:
            raise ValueError(f"wlitepose: expansion {reading.expansion} must be at least 1")
        if self.light_width % self.light_groups:
            width = -(-self.light_width // self.light_groups) * self.light_groups
            raise ValueError(
                f"wlitepose: light_width {self.light_width} is not a multiple of light_groups "
                f"{self.light_groups}; the next multiple is {width}"
            )
        super().__post_init__()

    @property
    def reading(self) -> Reading:
        """The preset, overridden by the options that are not None."""
        options = {name: getattr(self, name) for name in Reading._fields}
        overrides = {name: value for name, value in options.items() if value is not None}
        return PRESETS[self.preset]._replace(**overrides)

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> tuple[jax.Array, jax.Array]:
        reading = self.reading
        # The deepest blocks are at 1/16 or 1/32; pooling halves their maps.
        text = self.topology == "text"
        check_images(x, 64 if text and reading.pool else 32, "wlitepose")
        layers = policy(self.dtype, self.bn_axis)
        conv, norm = layers["conv"], layers["norm"]
        act, activations, norms = self.act, self.activations, self.norms
        if self.full_bn_relu6:
            act, activations, norms = "relu6", 2, 3
        original = partial(InvertedBottleneck, conv=conv, norm=norm)
        bottleneck = partial(
            DFCBottleneck,
            attention=self.attention,
            reading=reading,
            act=act,
            activations=activations,
            norms=norms,
            conv=conv,
            norm=norm,
        )

        def blocks(stage, number):
            kept = stage + 1 not in self.stages or (number == 0 and reading.keep_first)
            return original if kept else bottleneck

        backbone = Backbone(
            self.widths, blocks, conv, norm, TOPOLOGY[self.topology], name="backbone"
        )
        maps = backbone(x.astype(self.dtype), train)
        head: nn.Module
        if self.light_deconv:
            head = LightHead(
                self.num_keypoints,
                self.widths,
                light_width=self.light_width,
                light_groups=self.light_groups,
                **layers,
                name="head",
            )
        else:
            head = FusionHead(self.num_keypoints, self.widths, **layers, name="head")
        low, high = head(maps, train)
        return low.astype(jnp.float32), high.astype(jnp.float32)
