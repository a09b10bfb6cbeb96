"""Random weights with which all maps of a network are of order 1.

With the initial weights of a network, its heatmaps are nearly 0 and its maps vanish or grow with
every layer; differences between programs then mean nothing. Here the kernels are He-normal and the
running statistics of the batch norms are those of a batch of drawn images.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from jaxpose import geometry, images
from jaxpose.export.source import Source
from jaxpose.export.verify import in_float32

_IMAGES = 4  # in the batch
_LEAST_VARIANCE = 1e-6


def calibrated(source: Source, seed: int = 0) -> Source:
    """The network with random weights and statistics that fit them.

    Args:
      source: the network; its batch norms have `mean` and `var` in `batch_stats`.
      seed: random seed of the weights.
    """
    params = _random(source.variables["params"], seed)
    others = {key: value for key, value in source.variables.items() if key != "params"}
    source = dataclasses.replace(source, variables={"params": params, **others})
    if "batch_stats" not in others:
        return source
    stats = _statistics(source)
    return dataclasses.replace(source, variables=source.variables | {"batch_stats": stats})


def _random(params: dict, seed: int) -> dict:
    rng = np.random.default_rng(seed)

    def leaf(path, array):
        name, shape = path[-1].key, array.shape
        if len(shape) >= 3 or (len(shape) == 2 and "kernel" in name):
            fan_in = max(int(np.prod(shape[:-1])), 1)
            return rng.normal(0, np.sqrt(2 / fan_in), shape).astype(np.float32)
        if name == "scale":
            return rng.uniform(0.8, 1.2, shape).astype(np.float32)
        if name == "bias":
            return rng.normal(0, 0.1, shape).astype(np.float32)
        return np.asarray(array)

    return jax.tree_util.tree_map_with_path(leaf, params)


def _statistics(source: Source) -> dict:
    """The batch statistics of one batch, whatever the momentum of the batch norms.

    A step in training mode gives m * old + (1 - m) * batch. Two steps, from 0 and from 1, have
    different results by m, from which the statistics of the batch follow.
    """
    model = in_float32(source.model)
    image = geometry.normalize(images.draw_samples(source.input_size, _IMAGES, seed=1))
    initial = source.variables["batch_stats"]

    @jax.jit  # weights and image are arguments, because XLA would fold constants for minutes
    def step(variables, image):
        rngs = {"dropout": jax.random.key(0)}
        _, changed = model.apply(variables, image, train=True, mutable=["batch_stats"], rngs=rngs)
        return changed["batch_stats"]

    def after(start: float) -> dict:
        stats = jax.tree.map(lambda leaf: jnp.full_like(leaf, start), initial)
        return jax.device_get(step(source.variables | {"batch_stats": stats}, image))

    low, high = after(0.0), after(1.0)

    def batch(path, low, high):
        values = low / (1 - (high - low))
        return np.maximum(values, _LEAST_VARIANCE) if path[-1].key == "var" else values

    return jax.tree_util.tree_map_with_path(batch, low, high)
