"""The training step of a recipe, lowered for devices that need not exist."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding
from ml_collections import ConfigDict

from jaxpose import ops, skeletons, tasks
from jaxpose.config import ConfigError
from jaxpose.geometry import nearest_multiple
from jaxpose.mesh import EVERYWHERE, SPLIT, make_mesh
from jaxpose.plan.topology import Target
from jaxpose.training.setup import Setup, make_setup

# The length of a run changes constants of the learning rate in the step, not its cost.
_STEPS_PER_EPOCH, _TOTAL_STEPS = 1000.0, 100_000
_SKELETONS = {"crowdpose": skeletons.CROWDPOSE, "mpii": skeletons.MPII}


def keypoints_of(config: ConfigDict) -> int:
    """Number of keypoints of the public dataset whose format the recipe names; else COCO's."""
    return _SKELETONS.get(config.data.format, skeletons.COCO).num_joints


def check_settings(config: ConfigDict, target: Target, batch_per_chip: int | None) -> int:
    """Checks the settings of a step; sets `config.batch_size`, and what the step does not read.

    Args:
      config: all settings; changed.
      target: devices to compile for.
      batch_per_chip: examples on each device; None for those of `config.batch_size`.

    Returns:
      The number of examples per device.

    Raises:
      ConfigError: an invalid setting, or a batch that cannot be divided.
    """
    devices = len(target.devices)
    if batch_per_chip is not None:
        if batch_per_chip % config.accumulate:
            nearest = nearest_multiple(batch_per_chip, config.accumulate)
            raise ConfigError(
                f"--batch-per-chip={batch_per_chip} cannot be split over {config.accumulate} "
                f"micro-batches (config.accumulate); the nearest is {nearest}"
            )
        config.batch_size = batch_per_chip * devices
    config.eval.batch_size = devices
    config.data.root = config.data.root or "."
    tasks.validate(config, devices=devices)
    return config.batch_size // devices


def lower_step(config: ConfigDict, target: Target, num_keypoints: int) -> jax.stages.Lowered:
    """The step of train.py, traced and lowered; nothing is allocated on a device.

    Args:
      config: settings from `check_settings`.
      target: devices to compile for.
      num_keypoints: of the dataset.
    """
    mesh = make_mesh(target.devices)
    with ops.implementation(config.ops):
        setup = make_setup(config, num_keypoints, _STEPS_PER_EPOCH, _TOTAL_STEPS)
        state = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(
                x.shape, x.dtype, sharding=NamedSharding(mesh, EVERYWHERE)
            ),
            setup.shapes,
        )
        batch = {
            key: jax.ShapeDtypeStruct(shape, dtype, sharding=NamedSharding(mesh, SPLIT))
            for key, (shape, dtype) in batch_shapes(setup, num_keypoints).items()
        }
        return setup.make_step(mesh).lower(state, batch)


def argument_bytes(lowered: jax.stages.Lowered, devices: int) -> int:
    """Bytes of the state and of one device's part of the batch, without padding."""

    def size(tree: Any) -> int:
        return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(tree))

    (state, batch), _ = lowered.args_info
    return size(state) + size(batch) // devices


def batch_shapes(setup: Setup, num_keypoints: int) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Shapes and dtypes of the arrays of a global batch that the loss reads."""
    config = setup.config
    one = tasks.get(config.task).sample_batch(tuple(config.input_size), 1, num_keypoints)
    shapes = {key: (one[key].shape[1:], one[key].dtype) for key in setup.objective.inputs}
    if "max_people" in config:  # rows for people, in images with several of them
        (_, *rest), dtype = shapes["keypoints"]
        shapes["keypoints"] = (config.max_people, *rest), dtype
    return {key: ((config.batch_size, *shape), dtype) for key, (shape, dtype) in shapes.items()}
