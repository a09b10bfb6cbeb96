"""Checks of a configuration before anything is compiled, and the model it names."""

import difflib
from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from ml_collections import ConfigDict

from jaxpose import models
from jaxpose.training.mesh import AXIS

CHOICES = {
    "dtype": ("float32", "bfloat16"),
    "ops": ("auto", "fast", "lax"),
    "batch_norm": ("device", "global"),
    "loss.name": ("heatmap_weighting", "mse"),
    "loss.fn": ("none", "x", "2x", "x2", "exp"),
    "optimizer.name": ("adam", "adamw"),
    "schedule.name": ("step", "cosine", "constant"),
    "data.format": ("coco", "mpii", "generated"),
    "data.storage": ("files", "tfds"),
    "eval.decode": ("quarter", "dark"),
    "eval.metric": ("coco", "mpii"),
}
POSITIVE = (
    "batch_size accumulate epochs sigma optimizer.learning_rate optimizer.eps keep log_every "
    "eval.batch_size data.workers data.prefetch"
).split()
NOT_NEGATIVE = (
    "seed checkpoint_every eval_every optimizer.weight_decay optimizer.clip_norm "
    "schedule.warmup_steps schedule.gamma data.limit max_bad_fraction augment.scale "
    "augment.rotation augment.shift augment.half_body_min distributed.hosts"
).split()
FRACTIONS = (
    "optimizer.b1 optimizer.b2 ema_decay schedule.warmup_factor augment.flip "
    "augment.half_body_prob augment.rotation_prob augment.shift_prob eval.oks_nms"
).split()

# Settings that a run may change when it is resumed: they move work about but not its result.
FREE = frozenset(
    "checkpoint_every keep compilation_cache max_bad_fraction init_from "
    "data.root data.storage data.tfds_dir data.workers data.prefetch data.cache "
    "eval.batch_size distributed.initialize distributed.hosts distributed.coordinator "
    "distributed.host_id distributed.timeout".split()
)


class ConfigError(ValueError):
    """A setting that cannot work; the message is one line with the nearest that can."""


def flatten(config: ConfigDict) -> dict[str, Any]:
    """{"optimizer.learning_rate": 5e-4, ...}; model_options stays one entry."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, ConfigDict) and key != "model_options":
            flat |= {f"{key}.{inner}": item for inner, item in flatten(value).items()}
        else:
            flat[key] = value.to_dict() if isinstance(value, ConfigDict) else value
    return flat


def validate(config: ConfigDict, *, devices: int, hosts: int = 1, training: bool = True) -> None:
    """Checks all settings of a run on `devices` devices of `hosts` hosts.

    Args:
        training: False leaves out the size of the training batch, for evaluation elsewhere.

    Raises:
        ConfigError: naming the first setting that cannot work.
    """
    flat = flatten(config)
    for key, allowed in CHOICES.items():
        if flat[key] not in allowed:
            raise ConfigError(f"config.{key}={flat[key]!r}: {suggest(flat[key], allowed)}")
    for key in POSITIVE:
        if not flat[key] > 0:
            raise ConfigError(f"config.{key}={flat[key]} must be greater than 0")
    for key in NOT_NEGATIVE:
        if flat[key] < 0:
            raise ConfigError(f"config.{key}={flat[key]} must not be negative")
    for key in FRACTIONS:
        if not 0 <= flat[key] <= 1:
            raise ConfigError(f"config.{key}={flat[key]} must lie between 0 and 1")
    if not flat["ema_decay"] < 1:
        raise ConfigError("config.ema_decay=1 would never move; use less, e.g. 0.999, or 0 for off")
    _check_size(config.input_size)
    if training:
        _check_batch("batch_size", config.batch_size, devices, config.accumulate)
    _check_batch("eval.batch_size", config.eval.batch_size, devices, 1)
    if devices % hosts:
        raise ConfigError(f"{devices} devices cannot be shared evenly by {hosts} hosts")
    milestones = tuple(config.schedule.milestones)
    if list(milestones) != sorted(milestones):
        raise ConfigError(f"config.schedule.milestones={milestones} must grow")
    if not config.data.root and config.data.format != "generated":
        raise ConfigError("config.data.root is empty: give the dataset, --config.data.root=FOLDER")
    if config.data.storage == "tfds" and not config.data.tfds_dir:
        raise ConfigError("config.data.storage=tfds needs config.data.tfds_dir, a folder")
    check_model(config)


def check_model(config: ConfigDict) -> models.ModelInfo:
    """Checks model, options and paradigm; returns what is known of the model."""
    info = models.info(config.model)
    if info.paradigm != "topdown":
        raise ConfigError(f"config.model={config.model!r} is bottom-up; this recipe is top-down")
    create_model(config, num_keypoints=17)
    return info


def create_model(config: ConfigDict, num_keypoints: int) -> nn.Module:
    """The model of a configuration. Raises ValueError on an unknown name or option."""
    options = config.model_options.to_dict()
    taken = {"dtype", "bn_axis", "num_keypoints"} & set(options)
    if taken:
        raise ConfigError(
            f"config.model_options.{min(taken)} is set elsewhere: dtype by config.dtype, "
            "bn_axis by config.batch_norm, num_keypoints by the dataset"
        )
    return models.create_model(
        config.model,
        num_keypoints=num_keypoints,
        dtype=jnp.dtype(config.dtype).type,
        bn_axis=AXIS if config.batch_norm == "global" else None,
        **options,
    )


def suggest(value: Any, allowed: Iterable[str]) -> str:
    """`choose from a, b` with the nearest of them first when there is one."""
    allowed = list(allowed)
    near = difflib.get_close_matches(str(value), allowed, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}choose from {', '.join(allowed)}"


def _check_size(size: Any) -> None:
    if len(size) != 2 or not all(isinstance(side, int) and side > 0 for side in size):
        raise ConfigError(f"config.input_size={tuple(size)} must be (height, width) in pixels")
    if any(side % 32 for side in size):
        nearest = tuple(max(32, 32 * round(side / 32)) for side in size)
        raise ConfigError(
            f"config.input_size={tuple(size)} must be multiples of 32; the nearest is {nearest}"
        )


def _check_batch(key: str, batch: int, devices: int, accumulate: int) -> None:
    parts = devices * accumulate
    if batch % parts:
        by = f"{devices} devices" + (f" x {accumulate} micro-batches" if accumulate > 1 else "")
        lower = batch // parts * parts
        nearest = lower if lower and batch - lower <= parts / 2 else lower + parts
        raise ConfigError(
            f"config.{key}={batch} cannot be split over {by}; the nearest is {nearest}"
        )


def differences(old: ConfigDict, new: ConfigDict) -> list[str]:
    """Settings that matter and differ between a run's configuration and the one given now."""
    before, after = flatten(old), flatten(new)
    return [
        f"{key}: {before.get(key, 'absent')} -> {after.get(key, 'absent')}"
        for key in sorted({*before, *after})
        if key not in FREE and before.get(key) != after.get(key)
    ]
