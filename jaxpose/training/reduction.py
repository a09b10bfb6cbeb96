"""The average over the devices of a mesh: one all-reduce per dtype.

XLA combines the all-reduces of separate arrays only up to 256 arrays (the default of its
`AllReduceCombiner`), and our networks have 300 to 1,000. So the arrays are concatenated here.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxpose.tasks.protocol import Tree


def mean_over_devices(
    values: Tree, grads: Tree, axis: str, reduce_dtype: str = "float32"
) -> tuple[Tree, Tree]:
    """Means over the devices of a mesh axis, inside `jax.shard_map`.

    On a single device nothing is reduced, and nothing rounded.

    Args:
      values: losses and statistics, which keep their precision.
      grads: gradients.
      axis: the mesh axis.
      reduce_dtype: dtype in which the gradients are sent and added, "float32" or "bfloat16". The
        sum is divided in float32.

    Returns:
      (values, grads), each array with the dtype that it came with.
    """
    if lax.axis_size(axis) == 1:
        return values, grads
    leaves, structure = jax.tree.flatten((values, grads))
    first_grad = len(jax.tree.leaves(values))
    groups: dict[jnp.dtype, list[int]] = {}
    for index, leaf in enumerate(leaves):
        sent = leaf.dtype if index < first_grad else jnp.dtype(reduce_dtype)
        groups.setdefault(sent, []).append(index)
    for sent, indices in groups.items():
        means = _mean([leaves[index].astype(sent) for index in indices], axis)
        for index, mean in zip(indices, means, strict=True):
            leaves[index] = mean.astype(leaves[index].dtype)
    return jax.tree.unflatten(structure, leaves)


def _mean(arrays: list[jax.Array], axis: str) -> list[jax.Array]:
    """Means of arrays of one dtype, with one all-reduce; at least float32."""
    total = lax.psum(jnp.concatenate([x.ravel() for x in arrays]), axis)
    mean = total.astype(jnp.promote_types(total.dtype, jnp.float32)) / lax.axis_size(axis)
    parts = jnp.split(mean, np.cumsum([x.size for x in arrays])[:-1])
    return [part.reshape(x.shape) for x, part in zip(arrays, parts, strict=True)]
