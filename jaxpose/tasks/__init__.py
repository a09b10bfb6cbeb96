"""Tasks: everything that other modules must know about a method of pose estimation.

A task is a module that satisfies the protocol `Task`: `topdown` or `simcc` (one person per crop),
`associative_embedding` or `part_affinity` (all people of an image). Other modules look it up by the
name that the settings, a model or an exported file carry, and call its functions:

    task = tasks.get(config.task)
    objective = task.make_objective(model, config)

A new task is one module here and one line in `TASKS`. Tasks share functions in `crops` (one person
per crop) and `whole_images`. JAX is imported only where it is needed: exported files run without
it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jaxpose.choices import choose_from
from jaxpose.config import ConfigError, check_config, expand_paths
from jaxpose.tasks import associative_embedding, part_affinity, simcc, topdown
from jaxpose.tasks.protocol import Agreement, Batch, Decoder, FileDecoding, Objective, Task

if TYPE_CHECKING:
    from flax import linen as nn
    from ml_collections import ConfigDict

__all__ = [
    "TASKS",
    "Agreement",
    "Batch",
    "Decoder",
    "FileDecoding",
    "Objective",
    "Task",
    "create_model",
    "get",
    "validate",
]

# Written out, so that the type checker compares each module with the protocol.
TASKS: dict[str, Task] = {
    topdown.NAME: topdown,
    simcc.NAME: simcc,
    associative_embedding.NAME: associative_embedding,
    part_affinity.NAME: part_affinity,
}


def get(name: str, where: str = "config.task") -> Task:
    """The task of that name.

    Args:
      name: of the task.
      where: the setting or file that holds the name, for the error message.

    Raises:
      ValueError: unknown name; the message has the nearest one.
    """
    if name not in TASKS:
        raise ValueError(f"{where}={name!r}: {choose_from(name, TASKS)}")
    return TASKS[name]


def validate(config: ConfigDict, *, devices: int, hosts: int = 1, training: bool = True) -> None:
    """Checks all settings of a run on `devices` devices of `hosts` hosts; expands `~` in paths.

    Args:
      config: all settings.
      devices: number of devices on all hosts.
      hosts: number of hosts.
      training: whether to check the training batch; False for evaluation on another machine.

    Raises:
      ValueError: the first setting that is not valid, by name.
    """
    from jaxpose import models

    task = get(config.task)
    expand_paths(config, task.SETTINGS)
    if not config.model:
        raise ConfigError(
            "config.model is empty: give a name from `jaxpose models`, --config.model=NAME"
        )
    # A user's network may declare no task; it then has that of the recipe.
    stated = get(models.info(config.model).task or config.task, f"{config.model}: task")
    if stated.NAME != config.task:
        raise ConfigError(
            f"config.model={config.model!r} has the task {stated.NAME}, but the recipe is for "
            f"{config.task}: start from {stated.RECIPE} or another {stated.NAME} recipe"
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
    """The model of a configuration.

    Args:
      config: all settings; `task`, `model`, `model_options`, `dtype` and `batch_norm` are used.
      num_keypoints: number of keypoints in the dataset.

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
            f"config.model_options.{min(taken)} cannot be set: config.dtype sets dtype, "
            "config.batch_norm sets bn_axis, and the dataset num_keypoints"
        )
    return models.create_model(
        config.model,
        num_keypoints=get(config.task).network_keypoints(num_keypoints),
        dtype=jnp.dtype(config.dtype).type,
        bn_axis=AXIS if config.batch_norm == "global" else None,
        **options,
    )
