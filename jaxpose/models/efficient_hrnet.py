"""EfficientHRNet: efficient scaling for lightweight high-resolution pose (Neff et al. 2020).

image [B,H,W,3] -> EfficientNet, whose maps at 1/4 to 1/32 become HRNet's branches -> stages of 2, 3
and 4 branches -> HigherHRNet's head: heatmaps and tags [B,H/4,W/4,2K], heatmaps [B,H/2,W/2,K].

H0 is scaled down to H-1 ... H-4, here hm1 ... hm4. Widths of the branches scale with 1.2455^phi;
the 1.25 of the text does not give the printed widths. Lightweight HRNet has another backbone before
the same network; the two share `pose_from_taps`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxpose import ops
from jaxpose.layers import ConvNormAct, Layers, ModuleDef, check_choice, check_images, init
from jaxpose.models.efficientnet import EfficientNet
from jaxpose.models.higher_hrnet import HigherHead
from jaxpose.models.hrnet import CONV_INIT, policy
from jaxpose.models.hrnet_stages import HRModule, Maps, Stage, each_branch, run_stages
from jaxpose.models.resnet import BasicBlock

BLOCKS = 2  # residual blocks per branch of a module, and in the head


class Scaling(NamedTuple):
    """What distinguishes H0 to H-4; each side of the input has 512 + 32 phi pixels."""

    phi: int
    width: float  # of the backbone, about 1.1^phi
    depth: float  # of the backbone, about 1.2^phi
    modules: tuple[int, int, int]  # of the stages with 2, 3 and 4 branches


H0 = Scaling(0, 1.0, 1.0, (1, 4, 3))
HM1 = Scaling(-1, 0.909, 0.833, (1, 3, 3))
HM2 = Scaling(-2, 0.826, 0.694, (1, 2, 3))
HM3 = Scaling(-3, 0.751, 0.578, (1, 1, 3))
HM4 = Scaling(-4, 0.684, 0.483, (1, 1, 2))


def branch_widths(phi: int) -> tuple[int, ...]:
    """Channels of the four branches."""
    return tuple(math.ceil(32 * 2**i * 1.2455**phi) for i in range(4))


class Entry(nn.Module):
    """3x3 convolution with a bias (which batch norm cancels), batch norm, ReLU."""

    features: int
    stride: int
    conv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = self.conv(self.features, 3, self.stride, use_bias=True, name="conv")(x)
        return ops.activation(self.norm(name="bn")(x, train), kind="relu")


def enter(
    stage: Stage,
    xs: Maps,
    train: bool,
    *,
    taps: Sequence[jax.Array],
    strides: Sequence[int],
    entry: ModuleDef,
) -> Maps:
    """A transition of `run_stages`: new branches come from the backbone's maps.

    Each branch passes through a layer `{transition}_branch{number}`; an existing branch keeps its
    size and width there.
    """
    new = slice(len(xs), len(stage.widths))
    inputs = [(x, 1) for x in xs] + list(zip(taps[new], strides[new], strict=True))
    return [
        entry(width, stride, name=f"{stage.transition}_branch{number}")(x, train)
        for number, (width, (x, stride)) in enumerate(zip(stage.widths, inputs, strict=True), 1)
    ]


def pose_from_taps(
    parent: nn.Module,
    taps: Sequence[jax.Array],
    stages: Sequence[Stage],
    num_keypoints: int,
    layers: Layers,
    train: bool,
    strides: Sequence[int] = (1, 1, 1, 1),
) -> tuple[jax.Array, jax.Array]:
    """The high-resolution network and its head; call it in a compact method.

    Args:
      parent: module in whose compact method this runs.
      taps: maps of the backbone, one per branch.
      stages: of the network.
      num_keypoints: K.
      layers: what `hrnet.policy` returns.
      train: whether this is a training step.
      strides: of the layers that make the branches from the maps.

    Returns:
      Heatmaps and tags [B,H/4,W/4,2K], and heatmaps [B,H/2,W/2,K]; float32.
    """
    dense: Layers = {"conv": layers["conv"], "norm": layers["norm"]}
    transition = partial(enter, taps=taps, strides=strides, entry=partial(Entry, **dense))
    body = partial(each_branch, block=partial(BasicBlock, **dense), blocks=BLOCKS)
    step = partial(ConvNormAct, kernel_size=3, **dense)
    module = partial(HRModule, body, step, **dense)
    x = run_stages(parent, [], stages, transition, module, train)[0]
    low, high = HigherHead(num_keypoints, BLOCKS, **layers, name="head")(x, train)
    return low.astype(jnp.float32), high.astype(jnp.float32)


class EfficientHRNet(nn.Module):
    """[B,H,W,3] normalized images -> (heatmaps and tags [B,H/4,W/4,2K], heatmaps [B,H/2,W/2,K]).

    Both float32; the first K channels of the first map are heatmaps, the other K are tags.

    Attributes:
      scaling: H0, HM1, ... HM4.
      num_keypoints: K.
      drop_path: rate of stochastic depth in the backbone, in training. The released code has 0.2;
        0, the default, needs no random numbers. With another rate `model.apply(..., train=True)`
        needs `rngs={"drop_path": key}`, which the training step passes.
      conv_init: "paper" = N(0, 0.001), or "kaiming", for all but the last layers; the backbone
        always has the latter (the paper starts it from ImageNet weights).
      dtype: of the arithmetic; parameters stay float32.
      bn_axis: mesh axis over which batch norm shares its statistics.
    """

    scaling: Scaling
    num_keypoints: int = 17
    drop_path: float = 0.0
    conv_init: str = "paper"
    dtype: Any = jnp.float32
    bn_axis: str | None = None

    def __post_init__(self):
        check_choice("efficient_hrnet: conv_init", self.conv_init, CONV_INIT)
        if not 0 <= self.drop_path < 1:
            raise ValueError(f"efficient_hrnet: drop_path {self.drop_path} is not in [0, 1)")
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> tuple[jax.Array, jax.Array]:
        check_images(x, 32, "efficient_hrnet")
        layers = policy(self.conv_init, self.dtype, self.bn_axis)
        backbone = EfficientNet(
            self.scaling.width,
            self.scaling.depth,
            self.drop_path,
            partial(layers["conv"], kernel_init=init.kaiming_fan_out),
            layers["norm"],
            name="backbone",
        )
        taps = backbone(x.astype(self.dtype), train)
        widths = branch_widths(self.scaling.phi)
        two, three, four = self.scaling.modules
        stages = [
            Stage("stage2", "trans1", widths[:2], two),
            Stage("stage3", "trans2", widths[:3], three),
            Stage("stage4", "trans3", widths, four, outputs=1),
        ]
        return pose_from_taps(self, taps, stages, self.num_keypoints, layers, train)
