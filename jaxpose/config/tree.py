"""Settings as a tree (the ConfigDict of a recipe) and flat by dotted key."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from ml_collections import ConfigDict

from jaxpose.config.common import COMMON
from jaxpose.config.setting import Setting, defaults


def default_config(settings: Iterable[Setting], *, task: str) -> ConfigDict:
    """All settings of a task with their defaults.

    Args:
      settings: of the task, e.g. `jaxpose.config.topdown.SETTINGS`.
      task: name of the task.

    Returns:
      A ConfigDict that is locked, so that unknown keys are refused. Only `model_options` takes new
      keys, because each model has its own options.
    """
    config = ConfigDict()
    for key, value in {**defaults(settings), "task": task}.items():
        *groups, name = key.split(".")
        node = config
        for group in groups:
            if group not in node:
                node[group] = ConfigDict()
            node = node[group]
        node[name] = ConfigDict(value) if isinstance(value, dict) else value
    config.lock()
    config.model_options.unlock()
    return config


def flatten(config: ConfigDict) -> dict[str, Any]:
    """{"optimizer.learning_rate": 5e-4, ...}; model_options stays one entry."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, ConfigDict) and key != "model_options":
            flat |= {f"{key}.{inner}": item for inner, item in flatten(value).items()}
        else:
            flat[key] = value.to_dict() if isinstance(value, ConfigDict) else value
    return flat


def reset(config: ConfigDict, group: str, settings: Iterable[Setting] = COMMON) -> None:
    """Sets all settings of a group, e.g. "distributed", to their defaults."""
    config.update_from_flattened_dict(
        {setting.key: setting.default for setting in settings if setting.group == group}
    )


def differences(
    old: ConfigDict, new: ConfigDict, settings: Iterable[Setting] = COMMON
) -> list[str]:
    """Differences in settings that a resumed run must keep, one line each: "seed: 0 -> 3".

    Args:
      old: settings that the run was started with.
      new: settings for the resumed run.
      settings: declarations; settings that are not `fixed` may differ.
    """
    free = {setting.key for setting in settings if not setting.fixed}
    before, after = flatten(old), flatten(new)
    return [
        f"{key}: {before.get(key, 'absent')} -> {after.get(key, 'absent')}"
        for key in sorted({*before, *after})
        if key not in free and before.get(key) != after.get(key)
    ]


def with_missing_settings(record: Mapping[str, Any], settings: Iterable[Setting]) -> dict[str, Any]:
    """The settings of a run, with the default of each setting that did not exist when it started.

    So the default of a new setting must be what the library did before.

    Args:
      record: nested settings as in config.json.
      settings: of the task.
    """
    complete = copy.deepcopy(dict(record))
    for key, default in copy.deepcopy(defaults(settings)).items():
        *groups, name = key.split(".")
        node = complete
        for group in groups:
            node = node.setdefault(group, {})
        node.setdefault(name, default)
    return complete


def with_task(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record with the key "task"; version 0.1 wrote a "paradigm" instead.

    Args:
      record: the settings of a run, or the metadata of an exported file.
    """
    current = dict(record)
    if "task" not in current:
        former = current.pop("paradigm")
        current["task"] = "associative_embedding" if former == "bottomup" else former
    return current
