"""The forward pass and heatmap sizes, shared by the objectives of all tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jaxpose import geometry
from jaxpose.tasks.protocol import Size, Tree

if TYPE_CHECKING:
    import flax.linen as nn
    import jax

# Input pixels per heatmap pixel. All top-down networks and the first output of bottom-up networks
# have QUARTER; their second output has HALF.
QUARTER, HALF = 4, 2


def forward(
    model: nn.Module,
    params: Tree,
    batch_stats: Tree,
    images: jax.Array | np.ndarray,
    key: jax.Array | None,
) -> tuple[Tree, Tree]:
    """Outputs for uint8 images in training mode, and the new batch statistics.

    The key is for stochastic depth, the only random operation of the models.
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


def check_outputs(model: nn.Module, outputs: Tree, **expected: tuple[int, ...]) -> None:
    """Compares the shapes of a network's outputs with those that its task learns from.

    Args:
      model: for the error message; a user's network may return anything.
      outputs: an array, or a tuple of arrays.
      **expected: content and shape of each output, e.g. heatmaps=(8, 64, 48, 17).

    Raises:
      ValueError: another number of outputs, or other shapes.
    """
    several = isinstance(outputs, tuple | list)
    shapes = [getattr(output, "shape", None) for output in (outputs if several else [outputs])]
    if shapes != list(expected.values()) or several != (len(expected) > 1):
        needed = " and ".join(f"{name} {shape}" for name, shape in expected.items())
        returned = " and ".join(map(str, shapes)) or "nothing"
        raise ValueError(f"{type(model).__name__} returns {returned}, but the task needs {needed}")


def map_size(size: Size, stride: int) -> Size:
    """(h, w) of heatmaps with `stride` input pixels per heatmap pixel."""
    return size[0] // stride, size[1] // stride
