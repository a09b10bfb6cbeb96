"""Paths in settings."""

from __future__ import annotations

from collections.abc import Iterable

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
    for setting in settings:
        *groups, name = setting.key.split(".")
        node = config
        for group in groups:
            node = node.get(group, ConfigDict())
        value = node.get(name)
        if setting.path and isinstance(value, str) and value.startswith("~"):
            node[name] = str(expand(value))
