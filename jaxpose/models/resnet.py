"""ResNet-50 backbone (He et al. 2016), with the stride in the 3x3 convolution ("v1.5").

Other networks use its residual blocks too.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxpose import ops
from jaxpose.layers import BatchNorm, Conv, ModuleDef, repeat

BLOCKS = (3, 4, 6, 3)
EXPANSION = 4


class BasicBlock(nn.Module):
    """3x3 -> 3x3, plus the input, which must have `features` channels too."""

    features: int
    conv: ModuleDef = Conv
    norm: ModuleDef = BatchNorm

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        y = self.norm(name="bn1")(self.conv(self.features, 3, name="conv1")(x), train)
        y = ops.activation(y, kind="relu")
        y = self.norm(name="bn2")(self.conv(self.features, 3, name="conv2")(y), train)
        return ops.activation(x + y, kind="relu")


class Bottleneck(nn.Module):
    """1x1 -> 3x3 -> 1x1 to 4 * planes, plus the input (projected when its shape differs)."""

    planes: int
    stride: int = 1
    conv: ModuleDef = Conv
    norm: ModuleDef = BatchNorm

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        features = self.planes * EXPANSION
        y = self.norm(name="bn1")(self.conv(self.planes, 1, name="conv1")(x), train)
        y = ops.activation(y, kind="relu")
        y = self.norm(name="bn2")(self.conv(self.planes, 3, self.stride, name="conv2")(y), train)
        y = ops.activation(y, kind="relu")
        y = self.norm(name="bn3")(self.conv(features, 1, name="conv3")(y), train)
        if self.stride != 1 or x.shape[-1] != features:
            x = self.conv(features, 1, self.stride, name="downsample_0")(x)
            x = self.norm(name="downsample_1")(x, train)
        return ops.activation(x + y, kind="relu")


class ResNet(nn.Module):
    """ResNet-50: [B,H,W,3] -> [B,H/32,W/32,2048]."""

    dtype: Any = jnp.float32
    bn_axis: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        conv = partial(Conv, dtype=self.dtype)
        norm = partial(BatchNorm, axis_name=self.bn_axis)

        x = norm(name="bn1")(conv(64, 7, 2, name="conv1")(x), train)
        x = ops.activation(x, kind="relu")
        x = ops.max_pool(x, window=3, stride=2, padding=1)
        for stage, blocks in enumerate(BLOCKS):
            block = partial(Bottleneck, 64 * 2**stage, conv=conv, norm=norm)
            first, *others = (f"layer{stage + 1}_{i}" for i in range(blocks))
            x = block(stride=2 if stage > 0 else 1, name=first)(x, train)
            x = repeat(self, block(stride=1, parent=None), others, x, train)
        return x
