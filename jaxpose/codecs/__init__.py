"""Codecs: from keypoint coordinates to the maps that a network learns, and back.

Decoding needs numpy alone and runs on jax arrays as well (`jaxpose.codecs.arrays`). Training
targets are made with jax, which is imported by the functions that use it: importing this package
does not import jax.
"""

import dataclasses
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from jaxpose.codecs import associative_embedding, part_affinity, topdown
from jaxpose.codecs.arrays import image_of

__all__ = [
    "PEOPLE",
    "associative_embedding",
    "grouping_from",
    "image_of",
    "of_grouping",
    "part_affinity",
    "topdown",
]

# By task, the codec that finds all people of an image. Each has `Grouping`, the options; `find`,
# from outputs to what `group` needs, for a batch; `group`, from there to people, for one image.
PEOPLE = {"associative_embedding": associative_embedding, "part_affinity": part_affinity}


def grouping_from(task: str, settings: Mapping[str, Any]) -> Any:
    """The `Grouping` of a task's codec: its options under their names in `settings`.

    The settings may hold others, too.

    Raises:
      KeyError: a task that is not in `PEOPLE`, or an option missing from the settings.
    """
    kind = PEOPLE[task].Grouping
    return kind(**{field.name: settings[field.name] for field in dataclasses.fields(kind)})


def of_grouping(options: Any) -> ModuleType:
    """The codec of `PEOPLE` to which these options belong."""
    return next(codec for codec in PEOPLE.values() if isinstance(options, codec.Grouping))
