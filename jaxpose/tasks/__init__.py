"""Tasks: everything that the rest of the library must know about a way to estimate poses.

A task is a module that satisfies the protocol `Task`: `topdown` (one person per crop),
`associative_embedding` and `part_affinity` (all people of an image). Others look it up by the name
that the settings, a model or an exported file carry, and call it:

    task = tasks.get(config.task)
    objective = task.make_objective(model, config)

A new task is one module here and one line in `TASKS`. What tasks share is in `crops` (one person
per crop) and `whole_images`. Nothing here imports JAX before it is needed: exported files run
without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jaxpose.choices import choose_from
from jaxpose.config import ConfigError, check_config
from jaxpose.tasks import associative_embedding, part_affinity, topdown
from jaxpose.tasks.protocol import Agreement, Batch, Decoder, Objective, Task

if TYPE_CHECKING:
    from flax import linen as nn
    from ml_collections import ConfigDict

__all__ = [
    "TASKS",
    "Agreement",
    "Batch",
    "Decoder",
    "Objective",
    "Task",
    "create_model",
    "get",
    "validate",
]

# Written out, so that the type checker compares each module with the protocol.
TASKS: dict[str, Task] = {
    topdown.NAME: topdown,
    associative_embedding.NAME: associative_embedding,
    part_affinity.NAME: part_affinity,
}


def get(name: str, where: str = "config.task") -> Task:
    """The task of that name, which stands in `where`.

    Raises ValueError, with the nearest name, when there is none.
    """
    if name not in TASKS:
        raise ValueError(f"{where}={name!r}: {choose_from(name, TASKS)}")
    return TASKS[name]


def validate(config: ConfigDict, *, devices: int, hosts: int = 1, training: bool = True) -> None:
    """Checks all settings of a run on `devices` devices of `hosts` hosts.

    Args:
      config: all settings.
      devices: number of devices, of all hosts.
      hosts: number of hosts.
      training: False leaves out the size of the training batch, for evaluation elsewhere.

    Raises:
      ValueError: naming the first setting that cannot work.
    """
    from jaxpose import models

    task = get(config.task)
    # An imported network may state no task: it is of the recipe's.
    stated = get(models.info(config.model).task or config.task, f"{config.model}: task")
    if stated.NAME != config.task:
        raise ConfigError(
            f"config.model={config.model!r} is {stated.NAME}, this recipe is {config.task}: start "
            f"from {stated.RECIPE} or another {stated.NAME} recipe"
        )
    check_config(
        config,
        task.SETTINGS,
        input_step=task.INPUT_STEP,
        recipe=task.RECIPE,
        devices=devices,
        hosts=hosts,
        training=training,
    )
    task.check_settings(config)
    create_model(config, num_keypoints=17)


def create_model(config: ConfigDict, num_keypoints: int) -> nn.Module:
    """The model of a configuration, for a dataset of so many keypoints.

    Args:
      config: all settings; `task`, `model`, `model_options`, `dtype` and `batch_norm` are used.
      num_keypoints: of the dataset.

    Raises:
      ValueError: unknown name or option.
    """
    import jax.numpy as jnp

    from jaxpose import models
    from jaxpose.mesh import AXIS

    options = config.model_options.to_dict()
    taken = {"dtype", "bn_axis", "num_keypoints"} & set(options)
    if taken:
        raise ConfigError(
            f"config.model_options.{min(taken)} is set elsewhere: dtype by config.dtype, "
            "bn_axis by config.batch_norm, num_keypoints by the dataset"
        )
    return models.create_model(
        config.model,
        num_keypoints=get(config.task).network_keypoints(num_keypoints),
        dtype=jnp.dtype(config.dtype).type,
        bn_axis=AXIS if config.batch_norm == "global" else None,
        **options,
    )
