"""HRNet: deep high-resolution representation learning for human pose (Sun et al., CVPR 2019).

image [B,H,W,3] -> two 3x3 convolutions of stride 2 -> bottlenecks at 1/4 -> stages of 2, 3 and 4
branches -> 1x1 convolution of the highest resolution -> heatmaps [B,H/4,W/4,K].

Small HRNet is the same network with one module per stage, a baseline of the Lite-HRNet paper.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxpose import ops
from jaxpose.layers import (
    BatchNorm,
    Conv,
    ConvNormAct,
    ConvTranspose,
    Layers,
    ModuleDef,
    check_choice,
    check_images,
    init,
    repeat,
)
from jaxpose.models.hrnet_stages import HRModule, Stage, each_branch, grow, run_stages
from jaxpose.models.resnet import Bottleneck

# Initializers of convolutions and of transposed convolutions.
CONV_INIT = {
    "paper": (init.normal_small, init.normal_small),
    "kaiming": (init.kaiming_fan_out, init.kaiming_transposed(2)),
}


class Layout(NamedTuple):
    """What distinguishes the dense high-resolution networks."""

    width: int  # of the first branch; the others have 2, 4 and 8 times as many channels
    modules: tuple[int, int, int] = (1, 4, 3)  # of the stages with 2, 3 and 4 branches
    blocks: int = 4  # per branch, in every module
    planes: int = 64  # of the bottlenecks before the first stage
    bottlenecks: int = 4

    def stages(self) -> list[Stage]:
        """The stages; the last module of the last one outputs only the highest resolution."""
        widths = [self.width * 2**i for i in range(4)]
        return [
            Stage(f"stage{n}", f"transition{n - 1}", tuple(widths[:n]), modules, outputs)
            for n, modules, outputs in zip((2, 3, 4), self.modules, (None, None, 1), strict=True)
        ]


W32 = Layout(32)
W48 = Layout(48)
SMALL_W16 = Layout(16, modules=(1, 1, 1), blocks=2, planes=32, bottlenecks=1)


class HRBackbone(nn.Module):
    """[B,H,W,3] -> [B,H/4,W/4,width].

    Attributes:
      layout: widths and repeats.
      block: constructor of the branches' blocks, called as block(features, conv=, norm=, name=).
    """

    layout: Layout
    block: ModuleDef
    conv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        layout = self.layout
        layers: Layers = dict(conv=self.conv, norm=self.norm)
        for number in (1, 2):
            x = self.conv(64, 3, 2, name=f"conv{number}")(x)
            x = ops.activation(self.norm(name=f"bn{number}")(x, train), kind="relu")
        first, *others = (f"layer1_{number}" for number in range(layout.bottlenecks))
        x = Bottleneck(layout.planes, **layers, name=first)(x, train)
        x = repeat(self, Bottleneck(layout.planes, **layers, parent=None), others, x, train)
        step = partial(ConvNormAct, kernel_size=3, **layers)
        body = partial(each_branch, block=partial(self.block, **layers), blocks=layout.blocks)
        module = partial(HRModule, body, step, **layers)
        return run_stages(self, [x], layout.stages(), partial(grow, step=step), module, train)[0]


def policy(conv_init: str, dtype: Any, bn_axis: str | None) -> Layers:
    """The layers of the network; `conv_init` is "paper", N(0, 0.001), or "kaiming"."""
    conv, deconv = CONV_INIT[conv_init]
    return {
        "conv": partial(Conv, kernel_init=conv, dtype=dtype),
        "deconv": partial(ConvTranspose, kernel_init=deconv, dtype=dtype),
        "norm": partial(BatchNorm, axis_name=bn_axis),
    }


class HRNet(nn.Module):
    """[B,H,W,3] normalized images -> heatmaps [B,H/4,W/4,K], float32.

    Attributes:
      layout: widths and repeats.
      block: constructor of the branches' blocks.
      num_keypoints: K.
      conv_init: "paper" = N(0, 0.001), or "kaiming", for all but the last layer.
      dtype: of the arithmetic; parameters stay float32.
      bn_axis: mesh axis over which batch norm shares its statistics.
    """

    layout: Layout
    block: ModuleDef
    num_keypoints: int = 17
    conv_init: str = "paper"
    dtype: Any = jnp.float32
    bn_axis: str | None = None

    def __post_init__(self):
        check_choice("hrnet: conv_init", self.conv_init, CONV_INIT)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        check_images(x, 32, "hrnet")
        layers = policy(self.conv_init, self.dtype, self.bn_axis)
        conv, norm = layers["conv"], layers["norm"]
        x = HRBackbone(self.layout, self.block, conv, norm, name="backbone")(
            x.astype(self.dtype), train
        )
        return heatmaps(x, self.num_keypoints, conv)


def heatmaps(x: jax.Array, num_keypoints: int, conv: ModuleDef) -> jax.Array:
    """The last layer, 1x1 to [B,h,w,K] in float32; call it in the network's compact method."""
    final = partial(conv, use_bias=True, kernel_init=init.normal_small)
    return final(num_keypoints, name="final_layer")(x).astype(jnp.float32)
