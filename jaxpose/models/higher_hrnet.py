"""HigherHRNet: scale-aware representation learning for bottom-up pose (Cheng et al., CVPR 2020).

image [B,H,W,3] -> HRNet -> heatmaps and tags [B,H/4,W/4,2K] -> features and predictions,
concatenated, through one transposed convolution and residual blocks -> heatmaps [B,H/2,W/2,K].
"""

from __future__ import annotations

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxpose.layers import Deconv, ModuleDef, check_choice, check_images, init, repeat
from jaxpose.models.hrnet import CONV_INIT, HRBackbone, Layout, policy
from jaxpose.models.resnet import BasicBlock


class HigherHead(nn.Module):
    """[B,h,w,C] -> (heatmaps and tags [B,h,w,2K], heatmaps [B,2h,2w,K]).

    The first K channels of the first map are heatmaps, the other K are tags. The second map has C
    channels before its last layer, as the input does.

    Attributes:
      num_keypoints: K.
      blocks: residual blocks after the transposed convolution.
    """

    num_keypoints: int
    blocks: int
    conv: ModuleDef
    deconv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> tuple[jax.Array, jax.Array]:
        width = x.shape[-1]
        final = partial(self.conv, use_bias=True, kernel_init=init.normal_small)
        low = final(2 * self.num_keypoints, name="final_layers_0")(x)
        x = jnp.concatenate([x, low], axis=-1)
        x = Deconv(width, self.deconv, self.norm, name="deconv_layers_0_0")(x, train)
        block = BasicBlock(width, self.conv, self.norm, parent=None)
        names = [f"deconv_layers_0_{number}_0" for number in range(1, self.blocks + 1)]
        x = repeat(self, block, names, x, train)
        return low, final(self.num_keypoints, name="final_layers_1")(x)


class HigherHRNet(nn.Module):
    """[B,H,W,3] normalized images -> (heatmaps and tags [B,H/4,W/4,2K], heatmaps [B,H/2,W/2,K]).

    Both float32; the first K channels of the first map are heatmaps, the other K are tags.

    Attributes:
      layout: widths and repeats.
      num_keypoints: K.
      conv_init: "paper" = N(0, 0.001), or "kaiming", for all but the last layers.
      dtype: of the arithmetic; parameters stay float32.
      bn_axis: mesh axis over which batch norm shares its statistics.
    """

    layout: Layout
    num_keypoints: int = 17
    conv_init: str = "paper"
    dtype: Any = jnp.float32
    bn_axis: str | None = None

    def __post_init__(self):
        check_choice("higher_hrnet: conv_init", self.conv_init, CONV_INIT)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> tuple[jax.Array, jax.Array]:
        check_images(x, 32, "higher_hrnet")
        layers = policy(self.conv_init, self.dtype, self.bn_axis)
        backbone = HRBackbone(
            self.layout, BasicBlock, layers["conv"], layers["norm"], name="backbone"
        )
        head = HigherHead(self.num_keypoints, 4, **layers, name="head")
        low, high = head(backbone(x.astype(self.dtype), train), train)
        return low.astype(jnp.float32), high.astype(jnp.float32)
