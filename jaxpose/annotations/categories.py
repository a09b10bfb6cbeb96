"""Chooses the categories of a COCO-format file that are read as people."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from jaxpose.annotations.completion import Ids
from jaxpose.choices import choose_from

SETTING = "--config.data.category"  # of train.py and eval.py; `jaxpose data` has --category


@dataclasses.dataclass(frozen=True)
class People:
    """The categories of the people.

    Attributes:
      entry: the first of them, with its id as an integer; keypoints and limbs are its own.
      ids: integer -> id in the file, of all of them.
      number: from a category's id in the file to the integer.
      notes: on categories that are merged or left out.
    """

    entry: Mapping[str, Any]
    ids: dict[int, Any]
    number: Ids
    notes: list[str]


def choose(categories: list[Any], choice: str = "") -> People:
    """Chooses the categories of the people.

    Args:
      categories: of the file.
      choice: name or id of a category; "": the first with keypoints, and all that have the same
        keypoints as this one.

    Raises:
      ValueError: no category has keypoint names or an id, or none is the chosen one.
    """
    entries = [entry for entry in categories if isinstance(entry, dict)]
    people = [entry for entry in entries if entry.get("keypoints")]
    if not people:
        raise ValueError("none has keypoint names under 'keypoints'")
    number = Ids(entries)
    if choice:
        chosen = [e for e in people if choice in (str(e.get("name")), str(e.get("id")))]
        if not chosen:
            names = [str(entry.get("name", entry.get("id"))) for entry in people]
            raise ValueError(f"no category {choice!r} with keypoints; {choose_from(choice, names)}")
    else:
        chosen = [e for e in people if _joints(e) == _joints(people[0])]
    first = chosen[0]
    if number(first.get("id")) is None:
        raise ValueError("the person category lacks an 'id'")
    notes = []
    if len(chosen) > 1:
        merged = ", ".join(map(_name, chosen))
        notes.append(f"{len(chosen)} categories with the same keypoints are read as one: {merged}")
    others = [entry for entry in people if not any(entry is kept for kept in chosen)]
    if others:
        left = ", ".join(map(_name, others))
        kind = "" if choice else " with other keypoints"
        notes.append(
            f"categories{kind} are left out: {left} (kept: {_name(first)}; choose with "
            f"{SETTING}={_plain_name(others[0])})"
        )
    ids: dict[int, Any] = {}
    for entry in chosen:
        identity = number(entry.get("id"))
        if identity is not None:
            ids.setdefault(identity, entry["id"])
    return People({**first, "id": number(first["id"])}, ids, number, notes)


def _joints(entry: Mapping[str, Any]) -> tuple[str, ...]:
    joints = entry["keypoints"]
    return tuple(map(str, joints)) if isinstance(joints, list) else (str(joints),)


def _plain_name(entry: Mapping[str, Any]) -> str:
    return str(entry.get("name") or entry.get("id"))


def _name(entry: Mapping[str, Any]) -> str:
    return f"{_plain_name(entry)!r}"
