"""The network of the trials: it compiles in a second."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jaxpose.layers import BatchNorm, Conv, ConvNormAct


class TwoLayers(nn.Module):
    """[B,H,W,3] -> heatmaps [B,H/4,W/4,num_keypoints]."""

    task = "topdown"
    input_size = (64, 64)

    num_keypoints: int
    dtype: Any = jnp.float32
    bn_axis: str | None = None

    @nn.compact
    def __call__(self, x, train: bool = False):
        layer = ConvNormAct(
            8, 5, 4, act="relu", conv=partial(Conv, dtype=self.dtype),
            norm=partial(BatchNorm, axis_name=self.bn_axis), name="stem",
        )  # fmt: skip
        x = layer(x.astype(self.dtype), train)
        return Conv(self.num_keypoints, name="final")(x).astype(jnp.float32)
