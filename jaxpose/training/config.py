"""Checks of a configuration before anything is compiled, and the model it names."""

import jax.numpy as jnp
from flax import linen as nn
from ml_collections import ConfigDict

from jaxpose import geometry, models
from jaxpose.mesh import AXIS
from jaxpose.settings import flatten
from jaxpose.training import rules
from jaxpose.training.rules import ConfigError

__all__ = ["FREE", "ConfigError", "create_model", "differences", "validate"]

# Settings that a run may change when it is resumed: they move work about but not its result.
FREE = frozenset(
    "checkpoint_every keep compilation_cache max_bad_fraction init_from "
    "data.root data.storage data.tfds_dir data.workers data.prefetch data.cache "
    "eval.batch_size distributed.initialize distributed.hosts distributed.coordinator "
    "distributed.host_id distributed.timeout".split()
)


def validate(config: ConfigDict, *, devices: int, hosts: int = 1, training: bool = True) -> None:
    """Checks all settings of a run on `devices` devices of `hosts` hosts.

    Args:
        training: False leaves out the size of the training batch, for evaluation elsewhere.

    Raises:
        ConfigError: naming the first setting that cannot work.
    """
    rules.check_task(config)
    flat = flatten(config)
    for table in (rules.COMMON, rules.TASKS[config.task]):
        rules.check_rules(flat, table)
    for key, hint in (("ema_decay", ", or 0 for off"), ("optimizer.b1", ""), ("optimizer.b2", "")):
        if not flat[key] < 1:
            raise ConfigError(f"config.{key}=1 would never move; use less, e.g. 0.999{hint}")
    rules.check_size(config.input_size, geometry.INPUT_STEPS[config.task])
    if training:
        rules.check_batch("batch_size", config.batch_size, devices, config.accumulate)
    rules.check_batch("eval.batch_size", config.eval.batch_size, devices, 1)
    if devices % hosts:
        raise ConfigError(f"{devices} devices cannot be shared evenly by {hosts} hosts")
    milestones = tuple(config.schedule.milestones)
    if list(milestones) != sorted(milestones):
        raise ConfigError(f"config.schedule.milestones={milestones} must grow")
    if config.task == "topdown":
        rules.check_crops(config)
    else:
        rules.check_people(config)
    if not config.data.root and config.data.format != "generated":
        raise ConfigError("config.data.root is empty: give the dataset, --config.data.root=FOLDER")
    if config.data.storage == "tfds" and not config.data.tfds_dir:
        raise ConfigError("config.data.storage=tfds needs config.data.tfds_dir, a folder")
    create_model(config, num_keypoints=17)


def create_model(config: ConfigDict, num_keypoints: int) -> nn.Module:
    """The model of a configuration, for data of so many joints.

    Raises ValueError on an unknown name or option.
    """
    options = config.model_options.to_dict()
    taken = {"dtype", "bn_axis", "num_keypoints"} & set(options)
    if taken:
        raise ConfigError(
            f"config.model_options.{min(taken)} is set elsewhere: dtype by config.dtype, "
            "bn_axis by config.batch_norm, num_keypoints by the dataset"
        )
    return models.create_model(
        config.model,
        num_keypoints=models.network_joints(config.model, num_keypoints),
        dtype=jnp.dtype(config.dtype).type,
        bn_axis=AXIS if config.batch_norm == "global" else None,
        **options,
    )


def differences(old: ConfigDict, new: ConfigDict) -> list[str]:
    """Settings that matter and differ between a run's configuration and the one given now."""
    before, after = flatten(old), flatten(new)
    return [
        f"{key}: {before.get(key, 'absent')} -> {after.get(key, 'absent')}"
        for key in sorted({*before, *after})
        if key not in FREE and before.get(key) != after.get(key)
    ]
