"""What the objectives of all tasks share: the forward pass and the sizes of maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jaxpose import geometry
from jaxpose.tasks.protocol import Size, Tree

if TYPE_CHECKING:
    import flax.linen as nn
    import jax

# Input pixels per heatmap pixel: of every top-down network here and of a bottom-up network's first
# output; its second output has twice the resolution.
QUARTER, HALF = 4, 2


def forward(
    model: nn.Module,
    params: Tree,
    batch_stats: Tree,
    images: jax.Array | np.ndarray,
    key: jax.Array | None,
) -> tuple[Tree, Tree]:
    """Outputs for uint8 images in training mode, and the new batch statistics.

    The key is for stochastic depth, the one thing that models here draw at random.
    """
    outputs, updated = model.apply(
        {"params": params, "batch_stats": batch_stats},
        geometry.normalize(images),
        train=True,
        mutable=["batch_stats"],
        rngs=None if key is None else {"drop_path": key},
    )
    # A network without batch norm has no statistics.
    return outputs, updated.get("batch_stats", {})


def map_size(size: Size, stride: int) -> Size:
    """(h, w) of maps with so many input pixels per map pixel."""
    return size[0] // stride, size[1] // stride
