"""The content of a parsed annotation file, and the checks that all formats share."""

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
    """An annotation file cannot be used; the message names the file, the record and the rule."""


@dataclasses.dataclass(frozen=True)
class Problem:
    """One broken rule. A fatal problem stops loading; otherwise the record is left out."""

    file: str
    record: str
    rule: str
    fatal: bool = True

    def __str__(self) -> str:
        return f"{self.file}: {self.record}: {self.rule}{'' if self.fatal else ' (skipped)'}"


@dataclasses.dataclass(frozen=True)
class ImageInfo:
    """An image of the dataset, with the size that the annotation file states, if any."""

    id: int
    file_name: str
    height: int | None
    width: int | None

    @property
    def size(self) -> tuple[int, int]:
        """(H, W). Raises ValueError where the annotation file has none, as MPII's."""
        if self.height is None or self.width is None:
            raise ValueError(f"{self.file_name}: the annotation file gives no size for this image")
        return self.height, self.width


@dataclasses.dataclass(frozen=True)
class People:
    """N people, one per row, in the order of the file.

    Attributes:
      annotation_id: int64 [N]; the record's index in the file for MPII, a running number for
        detections.
      image_id: int64 [N].
      box: float64 [N, 4], (x, y, w, h) in pixels: clipped to the image (COCO), as in the file
        (detections), or the square of side 200 * scale (MPII).
      keypoints: float32 [N, K, 3], (x, y, labeled 0 or 1); zeros where not labeled.
      box_score: float32 [N]; 1 for annotated boxes.
      given: float32 [N, 3], (center x, center y, scale) if the file has them (MPII), else None.
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
        """Returns the people of these rows (indexes, a slice or a mask)."""
        values: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            values[field.name] = None if value is None else value[rows]
        return People(**values)

    def center_scale(self, input_size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Returns each person's crop: center [N, 2] in pixels, scale [N, 2] in units of 200."""
        if self.given is None:
            return geometry.box_to_center_scale(self.box, input_size)
        return self.given[:, :2].copy(), np.repeat(self.given[:, 2:], 2, axis=1)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A checked annotation file.

    Attributes:
      format: "coco", "crowdpose", "mpii", or "image_info" (images without annotations).
      path: the annotation file.
      image_dir: folder of the images.
      skeleton: keypoints, limbs and sigmas.
      category_id: category of the people in the file (1 for MPII).
      images: image id -> image, in the order of the file.
      people: the people of top-down examples: each has a labeled keypoint and a box.
      labeled: the people of bottom-up examples: everyone with a labeled keypoint, including people
        with an empty box (all zeros) and records marked as a crowd.
      with_people: ids of the images with at least one record of a person, in the order of the file.
      regions: image id -> segmentations of crowds and of people without a labeled keypoint
        (`annotations.regions`); empty for CrowdPose and MPII.
      crowd_index: image id -> CrowdPose's `crowdIndex`, where the file has one; empty for other
        formats.
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
    labeled: People
    with_people: tuple[int, ...]
    regions: dict[int, list[Segmentation]]
    crowd_index: dict[int, float]
    skipped: dict[str, int]
    notes: list[Problem]

    def image_path(self, image_id: int) -> Path:
        """Returns the path of an image."""
        return self.image_dir / self.images[int(image_id)].file_name

    @functools.cached_property
    def labeled_rows(self) -> dict[int, np.ndarray]:
        """Image id -> rows of `labeled` in the order of the file; no key for images without any."""
        order = np.argsort(self.labeled.image_id, kind="stable")
        ids, starts = np.unique(self.labeled.image_id[order], return_index=True)
        rows = np.split(order, starts[1:]) if len(ids) else []
        return dict(zip(ids.tolist(), rows, strict=True))


def is_int(value: Any) -> bool:
    """Whether a JSON value is an integer; true and false are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether a JSON value is a finite number; true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def numbers(values: Any, length: int) -> bool:
    """Whether a JSON value is a list of `length` finite numbers."""
    return isinstance(values, list) and len(values) == length and all(map(is_number, values))


def label(kind: str, index: int, record: Any) -> str:
    """Names a record in a problem: by its id or, without one, by its index in the file."""
    identity = record.get("id") if isinstance(record, dict) else None
    return f"{kind} number {index}" if identity is None else f"{kind} {identity}"


def missing_keys(record: Any, keys: Sequence[str]) -> str | None:
    """Returns what is wrong with a record that is no object or lacks some of the keys, or None."""
    if not isinstance(record, dict):
        return "must be an object"
    missing = [key for key in keys if key not in record]
    return f"lacks {', '.join(map(repr, missing))}" if missing else None


def as_numbers(rows: list[list[Any]], length: int) -> np.ndarray:
    """Converts rows of JSON values to float64 [N, length]; a row with a non-number becomes NaN."""
    try:
        return np.array(rows, np.float64).reshape(len(rows), length)
    except (TypeError, ValueError):
        nan = [np.nan] * length
        return np.array([row if numbers(row, length) else nan for row in rows], np.float64)
