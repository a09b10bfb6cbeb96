"""Codecs: from joint coordinates to the maps that a network learns, and back."""

import dataclasses
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from jaxpose.codecs import associative_embedding, part_affinity, topdown

__all__ = [
    "PEOPLE",
    "associative_embedding",
    "grouping_from",
    "of_grouping",
    "part_affinity",
    "topdown",
]

# By task, what finds all people of a picture: `Grouping`, the options; `find`, the part on the
# device; `group`, the part on the host.
PEOPLE = {"associative_embedding": associative_embedding, "part_affinity": part_affinity}


def grouping_from(task: str, settings: Mapping[str, Any]) -> Any:
    """The `Grouping` of a task's codec: its options under their names in `settings`.

    The settings may hold others, too.

    Raises:
      KeyError: a task that is not in `PEOPLE`, or an option that the settings lack.
    """
    kind = PEOPLE[task].Grouping
    return kind(**{field.name: settings[field.name] for field in dataclasses.fields(kind)})


def of_grouping(options: Any) -> ModuleType:
    """The codec of `PEOPLE` to which these options belong."""
    return next(codec for codec in PEOPLE.values() if isinstance(options, codec.Grouping))
