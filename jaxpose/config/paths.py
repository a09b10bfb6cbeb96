"""Paths in settings."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

from ml_collections import ConfigDict

from jaxpose.config.common import COMMON
from jaxpose.config.setting import Setting
from jaxpose.files import expand


def expand_paths(config: ConfigDict, settings: Iterable[Setting] = COMMON) -> None:
    """Replaces a leading `~` by the home folder in all settings that are paths, in place.

    Args:
      config: the settings.
      settings: declarations, which mark the paths; one that `config` lacks is ignored.
    """
    for node, name, _ in _paths(config, settings):
        if node[name].startswith("~"):
            node[name] = str(expand(node[name]))


def forget_absolute_paths(config: ConfigDict, settings: Iterable[Setting]) -> None:
    """Sets all settings that hold an absolute path, or one with `~`, to their defaults, in place.

    Args:
      config: the settings.
      settings: declarations, which mark the paths; one that `config` lacks is ignored.
    """
    for node, name, setting in _paths(config, settings):
        if node[name].startswith("~") or pathlib.PurePath(node[name]).is_absolute():
            node[name] = setting.default


def _paths(config: ConfigDict, settings: Iterable[Setting]) -> Iterator[tuple[Any, str, Setting]]:
    """The group, the name in it and the declaration of each setting that holds a path."""
    for setting in settings:
        *groups, name = setting.key.split(".")
        node = config
        for group in groups:
            node = node.get(group, ConfigDict())
        if setting.path and isinstance(node.get(name), str):
            yield node, name, setting
