"""Codecs: from joint coordinates to the maps that a network learns, and back."""

from types import ModuleType
from typing import Any

from jaxpose.codecs import associative_embedding, part_affinity, topdown

__all__ = ["PEOPLE", "associative_embedding", "of_grouping", "part_affinity", "topdown"]

# By paradigm, what finds all people of a picture: `Grouping`, the options; `find`, the part on the
# device; `group`, the part on the host.
PEOPLE = {"bottomup": associative_embedding, "part_affinity": part_affinity}


def of_grouping(options: Any) -> ModuleType:
    """The codec of `PEOPLE` to which these options belong."""
    return next(codec for codec in PEOPLE.values() if isinstance(options, codec.Grouping))
