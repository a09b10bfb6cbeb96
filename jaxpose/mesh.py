"""One mesh axis, `data`: parameters are on every device, the batch is split over them."""

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

AXIS = "data"
SPLIT = PartitionSpec(AXIS)
EVERYWHERE = PartitionSpec()


def make_mesh(devices: list | None = None) -> Mesh:
    """A one-dimensional mesh over `devices` (all devices of all hosts by default)."""
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
