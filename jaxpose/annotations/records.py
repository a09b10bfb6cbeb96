"""What an annotation file holds once it is read, and the rules that all formats share."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxpose import geometry, skeletons
from jaxpose.annotations.regions import Segmentation

StrPath = str | os.PathLike[str]


class AnnotationError(ValueError):
    """An annotation file that cannot be used; one line with the file, the record and the rule."""


@dataclasses.dataclass(frozen=True)
class Problem:
    """One broken rule. A fatal one stops loading; a record with another is left out of the list."""

    file: str
    record: str
    rule: str
    fatal: bool = True

    def __str__(self) -> str:
        return f"{self.file}: {self.record}: {self.rule}{'' if self.fatal else ' (skipped)'}"


@dataclasses.dataclass(frozen=True)
class ImageInfo:
    """A picture of the dataset. Sizes are those of the annotation file, None where it has none."""

    id: int
    file_name: str
    height: int | None
    width: int | None

    @property
    def size(self) -> tuple[int, int]:
        """(H, W). Raises ValueError where the annotation file has none, as MPII's."""
        if self.height is None or self.width is None:
            raise ValueError(f"{self.file_name}: the annotation file has no size of this image")
        return self.height, self.width


@dataclasses.dataclass(frozen=True)
class People:
    """N people, one row each, in the order of the file.

    Attributes:
      annotation_id: int64 [N]; for MPII the row of the file, for detections a running number.
      image_id: int64 [N].
      box: float64 [N, 4], (x, y, w, h): cut to the picture (COCO), as given (detections), or the
        square of side 200 * scale (MPII).
      keypoints: float32 [N, K, 3], (x, y, labelled 0 or 1); zeros where not labelled.
      box_score: float32 [N]; 1 for annotated boxes.
      given: float32 [N, 3] of (center x, center y, scale) where the file has them (MPII), or None.
    """

    annotation_id: np.ndarray
    image_id: np.ndarray
    box: np.ndarray
    keypoints: np.ndarray
    box_score: np.ndarray
    given: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.annotation_id)

    def select(self, rows: Any) -> People:
        """The people of these rows (indexes, a slice or a mask)."""
        values: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            values[field.name] = None if value is None else value[rows]
        return People(**values)

    def center_scale(self, input_size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Crop of each person: center [N, 2] in pixels, scale [N, 2] in units of 200 pixels."""
        if self.given is None:
            return geometry.box_to_center_scale(self.box, input_size)
        return self.given[:, :2].copy(), np.repeat(self.given[:, 2:], 2, axis=1)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """An annotation file, checked.

    Attributes:
      format: "coco", "crowdpose" or "mpii".
      path: the annotation file.
      image_dir: folder of the pictures.
      skeleton: joints, limbs and sigmas.
      category_id: the category of the people in the file (1 for MPII).
      images: image id -> picture, in the order of the file.
      people: the people that a network looks at one by one: with a labelled joint and a box.
      labelled: the people that a network looks at all at once: everybody with a labelled joint,
        also where the box is empty (then zeros) or the record is marked as a crowd.
      with_people: ids of the pictures for which the file has any record of a person, in the order
        of the file.
      regions: image id -> segmentations of crowds and of people without a labelled joint
        (`annotations.regions`); empty for CrowdPose and MPII, which have none.
      crowd_index: image id -> CrowdPose's degree of crowding, where the file has it; empty for
        other formats.
      skipped: reason -> number of records left out of `people`.
      notes: the non-fatal problems behind `skipped` (crowd regions are not problems).
    """

    format: str
    path: Path
    image_dir: Path
    skeleton: skeletons.Skeleton
    category_id: int
    images: dict[int, ImageInfo]
    people: People
    labelled: People
    with_people: tuple[int, ...]
    regions: dict[int, list[Segmentation]]
    crowd_index: dict[int, float]
    skipped: dict[str, int]
    notes: list[Problem]

    def image_path(self, image_id: int) -> Path:
        """Where the picture of this id lies."""
        return self.image_dir / self.images[int(image_id)].file_name

    @functools.cached_property
    def labelled_rows(self) -> dict[int, np.ndarray]:
        """Image id -> rows of `labelled`, in the order of the file; no key where there are none."""
        order = np.argsort(self.labelled.image_id, kind="stable")
        ids, starts = np.unique(self.labelled.image_id[order], return_index=True)
        rows = np.split(order, starts[1:]) if len(ids) else []
        return dict(zip(ids.tolist(), rows, strict=True))


def is_int(value: Any) -> bool:
    """Whether a json value is a whole number, which true and false are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether a json value is a finite number, which true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def numbers(values: Any, length: int) -> bool:
    """Whether a json value is a list of so many finite numbers."""
    return isinstance(values, list) and len(values) == length and all(map(is_number, values))


def label(kind: str, index: int, record: Any) -> str:
    """What a problem calls a record: its id or, where it has none, its place in the file."""
    identity = record.get("id") if isinstance(record, dict) else None
    return f"{kind} number {index}" if identity is None else f"{kind} {identity}"


def missing_keys(record: Any, keys: Sequence[str]) -> str | None:
    """What is wrong with a record that is no object or lacks some of the keys, or None."""
    if not isinstance(record, dict):
        return "must be an object"
    absent = [key for key in keys if key not in record]
    return f"lacks {', '.join(map(repr, absent))}" if absent else None


def as_numbers(rows: list[list[Any]], length: int) -> np.ndarray:
    """Rows of json values -> float64 [N, length]; a row with anything but numbers becomes NaN."""
    try:
        return np.array(rows, np.float64).reshape(len(rows), length)
    except (TypeError, ValueError):
        nothing = [np.nan] * length
        return np.array([row if numbers(row, length) else nothing for row in rows], np.float64)
