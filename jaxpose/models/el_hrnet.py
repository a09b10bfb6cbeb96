"""EL-HRNet: human pose estimation on an efficient, lightweight HRNet (Li et al., Sensors 2024).

HRNet-W32 with another block in its branches (sections 2.2 and 2.3); stem, transitions, fusion and
last layer are HRNet's. What the paper leaves open (depthwise 3x3 layers, reduction 16) is chosen so
that the multiply-adds match the printed digits for both input sizes. The paper prints 5.0 M
parameters; there are 4.86 M. The counter of HRNet's code counts the layers that the attention
shares twice and gives 5.03 M.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxpose import ops
from jaxpose.layers import CBAM, BatchNorm, Conv, ModuleDef, check_choice
from jaxpose.models.hrnet import W32, HRNet

GROUPS = (1, 2, 4, 8, 16)
REDUCTIONS = (2, 4, 8, 16, 32)


class NConv(nn.Module):
    """NConv3x3, Figure 2b: 1x1 to half the channels, concatenated with a grouped 3x3 of that half.

    It has C^2/2 + 9C/2 weights if every channel is its own group (section 2.2.2). There is nothing
    between the two layers: eq. (8) has one batch norm after each NConv.
    """

    groups: int | None
    conv: ModuleDef = Conv

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        half = x.shape[-1] // 2
        a = self.conv(half, name="pointwise")(x)
        b = self.conv(half, 3, groups=self.groups or half, name="grouped")(a)
        return jnp.concatenate([a, b], axis=-1)


class LABasicBlock(nn.Module):
    """LA-Basicblock, Figure 3b: Y1 of eq. (8), its attention, plus the input, eq. (10).

    Without `cbam` it is the L-Basicblock of Figure 3a, eq. (9).
    """

    features: int
    cbam: bool
    reduction: int
    groups: int | None
    conv: ModuleDef = Conv
    norm: ModuleDef = BatchNorm

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        y = self.norm(name="bn1")(NConv(self.groups, self.conv, name="conv1")(x), train)
        y = ops.activation(y, kind="relu")
        y = self.norm(name="bn2")(NConv(self.groups, self.conv, name="conv2")(y), train)
        if self.cbam:
            y = CBAM(self.reduction, max_first=True, conv=self.conv, name="cbam")(y)
        return ops.activation(x + y, kind="relu")


def el_hrnet_w32(
    num_keypoints: int = 17,
    cbam: bool = True,
    reduction: int = 16,
    groups: int | None = None,
    conv_init: str = "paper",
    dtype: Any = jnp.float32,
    bn_axis: str | None = None,
) -> HRNet:
    """HRNet-W32 with LA-Basicblocks.

    Args:
      num_keypoints: K.
      cbam: whether the blocks have attention; False gives L-Basicblocks.
      reduction: of CBAM's shared layers, r = 2 to 32.
      groups: of the 3x3 layers, g = 1 to 16; None means as many as channels.
      conv_init, dtype, bn_axis: as for `HRNet`.
    """
    check_choice("el_hrnet_w32: reduction", reduction, REDUCTIONS)
    if groups is not None:
        check_choice("el_hrnet_w32: groups", groups, GROUPS)
    block = partial(LABasicBlock, cbam=cbam, reduction=reduction, groups=groups)
    return HRNet(W32, block, num_keypoints, conv_init, dtype, bn_axis)
