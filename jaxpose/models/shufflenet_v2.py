"""ShuffleNetV2 backbone (Ma et al. 2018)."""

from __future__ import annotations

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxpose import ops
from jaxpose.layers import BatchNorm, Conv, ConvNormAct, ModuleDef, repeat

# Width -> output channels of the three stages and of the last 1x1 convolution.
CHANNELS = {
    0.5: (48, 96, 192, 1024),
    1.0: (116, 232, 464, 1024),
    1.5: (176, 352, 704, 1024),
    2.0: (244, 488, 976, 2048),
}
REPEATS = (4, 8, 4)


class ShuffleUnit(nn.Module):
    """Two branches, concatenated and shuffled.

    Stride 2: both branches take the whole input and halve its size. Stride 1: the first half of the
    channels passes through unchanged, the second half goes through branch2.
    """

    features: int
    stride: int
    conv: ModuleDef = Conv
    norm: ModuleDef = BatchNorm

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        block = partial(ConvNormAct, conv=self.conv, norm=self.norm)
        half = self.features // 2
        if self.stride == 1:
            first, second = jnp.split(x, 2, axis=-1)
        else:
            channels = x.shape[-1]
            depthwise = block(channels, 3, self.stride, groups=channels, act=None, name="branch1_0")
            first = block(half, name="branch1_1")(depthwise(x, train), train)
            second = x
        second = block(half, name="branch2_0")(second, train)
        second = block(half, 3, self.stride, groups=half, act=None, name="branch2_1")(second, train)
        second = block(half, name="branch2_2")(second, train)
        return ops.channel_shuffle(jnp.concatenate([first, second], axis=-1), groups=2)


class ShuffleNetV2(nn.Module):
    """[B,H,W,3] -> [B,H/32,W/32,1024] (2048 at width 2.0)."""

    width: float = 1.0
    dtype: Any = jnp.float32
    bn_axis: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        conv = partial(Conv, dtype=self.dtype)
        norm = partial(BatchNorm, axis_name=self.bn_axis)
        block = partial(ConvNormAct, conv=conv, norm=norm)
        *stages, last = CHANNELS[self.width]

        x = block(24, 3, 2, name="conv1")(x, train)
        x = ops.max_pool(x, window=3, stride=2, padding=1)
        for stage, (features, repeats) in enumerate(zip(stages, REPEATS, strict=True)):
            first, *others = (f"layers{stage}_{i}" for i in range(repeats))
            x = ShuffleUnit(features, 2, conv, norm, name=first)(x, train)
            unit = ShuffleUnit(features, 1, conv, norm, parent=None)
            x = repeat(self, unit, others, x, train)
        return block(last, name="layers3")(x, train)
