"""The mesh with its one axis `data`: parameters are replicated, batches are split over the devices.

`gather`, `gather_rows` and `local_rows` copy arrays of several hosts back to the hosts.
"""

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxpose import jax_api

AXIS = "data"
SPLIT = PartitionSpec(AXIS)
EVERYWHERE = PartitionSpec()


def make_mesh(devices: list | None = None) -> Mesh:
    """Returns a one-dimensional mesh over `devices`, by default all devices of all hosts."""
    return Mesh(np.asarray(jax.devices() if devices is None else devices), (AXIS,))


def shard_batch(batch: dict[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """Puts this host's part of a batch on its devices.

    Args:
      batch: arrays [B / hosts, ...], this host's contiguous slice of the global batch.

    Returns:
      arrays [B, ...] split over the mesh.
    """
    sharding = NamedSharding(mesh, SPLIT)
    return {
        key: jax.make_array_from_process_local_data(sharding, np.asarray(value))
        for key, value in batch.items()
    }


def replicate(tree, mesh: Mesh):
    """Puts a tree of host arrays on every device of the mesh."""
    return jax.device_put(tree, NamedSharding(mesh, EVERYWHERE))


def gather(tree: Any) -> Any:
    """Gathers arrays that are split over the hosts to complete numpy arrays on every host.

    Args:
      tree: global arrays, or numpy arrays with each host's part.
    """
    if jax.process_count() == 1:
        return jax.device_get(tree)

    def complete(x):
        words = x.view(np.uint32) if x.dtype.itemsize == 8 else x  # JAX truncates 64 bits to 32
        return np.asarray(jax_api.process_allgather(words, tiled=True)).view(x.dtype)

    return jax.tree.map(complete, tree)


def gather_rows(rows: np.ndarray) -> np.ndarray:
    """Concatenates the rows [n, ...] of all hosts on every host; n may differ between hosts."""
    if jax.process_count() == 1:
        return rows
    counts = gather(np.array([len(rows)]))
    if not counts.any():
        return rows
    padding = [(0, counts.max() - len(rows))] + [(0, 0)] * (rows.ndim - 1)
    padded = gather(np.pad(rows, padding)).reshape(len(counts), -1, *rows.shape[1:])
    return np.concatenate([part[:count] for part, count in zip(padded, counts, strict=True)])


def local_rows(tree: Any) -> Any:
    """Returns this host's rows, in order, of arrays that are split over all devices."""
    if jax.process_count() == 1:
        return jax.device_get(tree)

    def rows(array: jax.Array) -> np.ndarray:
        shards = sorted(array.addressable_shards, key=lambda shard: shard.index[0].start or 0)
        return np.concatenate([np.asarray(shard.data) for shard in shards])

    return jax.tree.map(rows, tree)
