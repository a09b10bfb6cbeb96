"""Validation of settings: their constraints, and the rules between settings of all tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict

from jaxpose.config.patterns import factors_of, patterns_of
from jaxpose.config.setting import ConfigError, Setting
from jaxpose.config.steps import profiled_steps
from jaxpose.config.tree import flatten
from jaxpose.geometry import nearest_multiple, nearest_size
from jaxpose.wording import quantity


def check_config(
    config: ConfigDict,
    settings: Sequence[Setting],
    *,
    input_step: int,
    recipe: str,
    devices: int,
    hosts: int = 1,
    training: bool = True,
) -> None:
    """Checks all settings of a run, except the rules of its task and the options of its model.

    Args:
      config: all settings.
      settings: the declarations of its task.
      input_step: the sides of the network's input are multiples of this, in pixels.
      recipe: a recipe of this task, for error messages.
      devices: number of devices on all hosts.
      hosts: number of hosts.
      training: whether to check the training batch and how training data is read; False for
        evaluation, perhaps on another machine.

    Raises:
      ConfigError: the first setting that is not valid, by name.
    """
    flat = flatten(config)
    for setting in settings:
        if setting.key not in flat:
            raise ConfigError(
                f"config.task={config.task} needs config.{setting.key}, which the recipe lacks: "
                f"start from {recipe}"
            )
    _check_decays(flat)
    for setting in settings:
        setting.check(flat[setting.key])
    _check_size(tuple(config.input_size), input_step)
    if training:
        _check_batch("batch_size", config.batch_size, devices, config.accumulate)
    _check_batch("eval.batch_size", config.eval.batch_size, devices, 1)
    if devices % hosts:
        raise ConfigError(
            f"{quantity(devices, 'device')} cannot be divided evenly over {quantity(hosts, 'host')}"
        )
    milestones = tuple(config.schedule.milestones)
    if list(milestones) != sorted(milestones):
        raise ConfigError(f"config.schedule.milestones={milestones} must be in increasing order")
    patterns_of("freeze", config.freeze)
    patterns_of("optimizer.decay_also", config.optimizer.decay_also)
    factors_of("optimizer.rate_scale", config.optimizer.rate_scale)
    profiled_steps(config.profile)
    _check_data(config.data, training)


def _check_decays(flat: dict[str, Any]) -> None:
    for key, hint in (
        ("ema_decay", ", or 0 to turn it off"),
        ("optimizer.b1", ""),
        ("optimizer.b2", ""),
    ):
        if flat[key] == 1:
            raise ConfigError(f"config.{key}=1 must be less than 1, e.g. 0.999{hint}")


def _check_size(size: tuple, step: int) -> None:
    if len(size) != 2 or not all(isinstance(side, int) and side > 0 for side in size):
        raise ConfigError(f"config.input_size={size} must be (height, width) in pixels")
    if any(side % step for side in size):
        raise ConfigError(
            f"config.input_size={size} must be multiples of {step}; the nearest is "
            f"{nearest_size(size, step)}"
        )


def _check_batch(key: str, batch: int, devices: int, accumulate: int) -> None:
    """Checks that a batch can be divided over the devices and their micro-batches."""
    parts = devices * accumulate
    if batch % parts:
        by = quantity(devices, "device") + (
            f" x {accumulate} micro-batches" if accumulate > 1 else ""
        )
        raise ConfigError(
            f"config.{key}={batch} cannot be split over {by}; the nearest is "
            f"{nearest_multiple(batch, parts)}"
        )


def _check_data(data: ConfigDict, training: bool) -> None:
    if not data.root and data.format != "generated":
        raise ConfigError("config.data.root is empty: give a folder, --config.data.root=FOLDER")
    if data.storage == "tfds" and not data.tfds_dir:
        raise ConfigError("config.data.storage=tfds needs a folder: --config.data.tfds_dir=FOLDER")
    reduced = data.reduced_decode == "always" or (data.reduced_decode == "train" and training)
    if data.cache and reduced:
        raise ConfigError(
            f"config.data.reduced_decode={data.reduced_decode} has no effect with "
            "config.data.cache=True, which keeps whole images: --config.data.cache=False"
        )
    if data.prepared and training and data.reduced_decode == "train":
        raise ConfigError(
            "config.data.reduced_decode=train has no effect with config.data.prepared=True: "
            "--config.data.reduced_decode=never"
        )
    if training:
        check_on_device(data)


def check_on_device(data: ConfigDict) -> None:
    """Checks that what shall live on the devices is prepared.

    Raises:
      ConfigError: it is not.
    """
    if data.on_device and not data.prepared:
        raise ConfigError(
            "config.data.on_device=True keeps prepared crops on the devices: "
            "--config.data.prepared=True"
        )
