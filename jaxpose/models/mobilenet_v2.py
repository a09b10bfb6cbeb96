"""MobileNetV2 backbone (Sandler et al. 2018)."""

from __future__ import annotations

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxpose.layers import BatchNorm, Conv, ConvNormAct, ModuleDef

# Table 2 of the paper: expansion t, output channels c, repeats n, stride s of the first repeat.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class InvertedResidual(nn.Module):
    """[1x1 expand] -> 3x3 depthwise -> 1x1 linear, plus identity where shapes allow."""

    features: int
    expansion: int
    stride: int
    conv: ModuleDef = Conv
    norm: ModuleDef = BatchNorm

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        block = partial(ConvNormAct, act="relu6", conv=self.conv, norm=self.norm)
        mid = x.shape[-1] * self.expansion
        # Numbered as in public checkpoints, where a block without expansion starts at depthwise.
        n = int(self.expansion != 1)
        y = block(mid, name="conv_0")(x, train) if n else x
        y = block(mid, 3, self.stride, groups=mid, name=f"conv_{n}")(y, train)
        y = block(self.features, act=None, name=f"conv_{n + 1}")(y, train)
        return x + y if self.stride == 1 and x.shape[-1] == self.features else y


class MobileNetV2(nn.Module):
    """Width 1.0: [B,H,W,3] -> [B,H/32,W/32,1280]."""

    dtype: Any = jnp.float32
    bn_axis: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        conv = partial(Conv, dtype=self.dtype)
        norm = partial(BatchNorm, axis_name=self.bn_axis)
        block = partial(ConvNormAct, act="relu6", conv=conv, norm=norm)

        x = block(32, 3, 2, name="conv1")(x, train)
        for stage, (expansion, features, repeats, stride) in enumerate(STAGES, 1):
            for i in range(repeats):
                x = InvertedResidual(
                    features,
                    expansion,
                    stride if i == 0 else 1,
                    conv=conv,
                    norm=norm,
                    name=f"layer{stage}_{i}",
                )(x, train)
        return block(1280, name="conv2")(x, train)
