"""The content of a parsed annotation file, and the checks that all formats share."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxpose import geometry, skeletons
from jaxpose.annotations.completion import id_key
from jaxpose.annotations.regions import Segmentation
from jaxpose.wording import quantity

StrPath = str | os.PathLike[str]


class AnnotationError(ValueError):
    """An annotation file cannot be used; the message names the file, the record and the rule."""


@dataclasses.dataclass(frozen=True)
class Problem:
    """One broken rule or, if it is neither fatal nor skipped, a note on how a record is read.

    Attributes:
      file: path of the annotation file.
      record: what breaks the rule.
      rule: in words.
      fatal: whether loading stops.
      skipped: whether the record is left out, if the problem is not fatal.
    """

    file: str
    record: str
    rule: str
    fatal: bool = True
    skipped: bool = True

    def __str__(self) -> str:
        left_out = self.skipped and not self.fatal
        return f"{self.file}: {self.record}: {self.rule}{' (skipped)' if left_out else ''}"


def note(file: str, record: str, rule: str) -> Problem:
    """Returns a note on a record that is used."""
    return Problem(file, record, rule, fatal=False, skipped=False)


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Returns fatal problems first and notes last."""
    return sorted(problems, key=lambda problem: (not problem.fatal, not problem.skipped))


@dataclasses.dataclass(frozen=True)
class ImageInfo:
    """An image of the dataset.

    Attributes:
      id: in the dataset.
      file_name: path relative to the folder of the images.
      height, width: in the annotation file or, where `stated` is False, of the image file; None if
        neither has a size, and for MPII.
      stated: whether the annotation file states the size, so that the image must have it.
    """

    id: int
    file_name: str
    height: int | None
    width: int | None
    stated: bool = True

    @property
    def has_size(self) -> bool:
        return self.height is not None and self.width is not None

    @property
    def size(self) -> tuple[int, int]:
        """(H, W). Raises ValueError where it is unknown, as for MPII."""
        if self.height is None or self.width is None:
            raise ValueError(f"{self.file_name}: the size of this image is not known")
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

    def padded_size(self) -> np.ndarray:
        """Returns (w, h) of each padded box before it gets the aspect ratio of the input, pixels.

        [N, 2]. The scales of MPII's file are read with the padding in them.
        """
        return self.box[:, 2:] * (geometry.BOX_PADDING if self.given is None else 1)

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
      category_id: category of the people (1 for MPII): the first, if several are read as one.
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
      notes: the non-fatal problems behind `skipped` (crowd regions are not problems), and notes on
        records that are read in an unusual way.
      category: name or id of the chosen category; "": the file's first.
      category_ids: category id -> id in the file, of all categories that are read as people.
      original_ids: image id -> id in the file, where they differ: ids that are texts are replaced
        by numbers.
      original_person_ids: the same for the ids of annotations.
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
    category: str = ""
    category_ids: dict[int, Any] = dataclasses.field(default_factory=dict)
    original_ids: dict[int, Any] = dataclasses.field(default_factory=dict)
    original_person_ids: dict[int, Any] = dataclasses.field(default_factory=dict)

    @property
    def summary(self) -> str:
        """Counts in one line, with everything that is left out."""
        skipped = ", ".join(f"{count} {reason}" for reason, count in self.skipped.items())
        images = quantity(len(self.images), "image")
        people = quantity(len(self.people), "usable person", "usable people")
        return f"{self.format} format: {images}, {people}; left out: {skipped or 'none'}"

    def image_id_in_file(self, image_id: int) -> Any:
        """Returns the id that the annotation file has for an image."""
        return self.original_ids.get(image_id, image_id)

    def person_id_in_file(self, annotation_id: int) -> Any:
        """Returns the id that the annotation file has for a person's annotation."""
        return self.original_person_ids.get(annotation_id, annotation_id)

    def with_original_ids(self, results: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Returns COCO results with the ids of the annotation file."""
        return [
            {
                **result,
                "image_id": self.image_id_in_file(result["image_id"]),
                "category_id": self.category_ids.get(result["category_id"], result["category_id"]),
            }
            for result in results
        ]

    @functools.cached_property
    def image_numbers(self) -> dict[int | str, int]:
        """Image id of the file, as `completion.id_key` reads it -> image id."""
        ids = ((id_key(self.image_id_in_file(number)), number) for number in self.images)
        return {key: number for key, number in ids if key is not None}

    @functools.cached_property
    def person_categories(self) -> frozenset[int | str]:
        """Category ids of the people in the file, as `completion.id_key` reads them."""
        keys = map(id_key, self.category_ids.values())
        return frozenset(key for key in keys if key is not None)

    def image_path(self, image_id: int) -> Path:
        """Returns the path of an image."""
        return self.image_dir / self.images[int(image_id)].file_name

    def annotated_size(self, image_id: int) -> tuple[int, int] | None:
        """Returns the (H, W) of an image in the annotation file, None without one."""
        info = self.images[int(image_id)]
        return info.size if info.stated and info.has_size else None

    @functools.cached_property
    def unsized(self) -> frozenset[int]:
        """Ids of the images whose size is needed but not known, so that they are not usable."""
        if self.format == "mpii":  # its crops do not depend on the size
            return frozenset()
        return frozenset(number for number, info in self.images.items() if not info.has_size)

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


def problem_lines(
    problems: Iterable[Problem], shown: int | None, more: str = "... and {} more like these"
) -> list[str]:
    """Returns problems as text by kind, with the name of the file without its folder.

    Args:
      problems: any.
      shown: problems of each kind to list; None for all.
      more: text for the number of others.
    """
    kinds: dict[tuple[bool, str], list[str]] = {}
    for problem in problems:
        # The kind is the start of the rule, without its numbers.
        kind = "".join("#" if letter.isdigit() else letter for letter in problem.rule[:24])
        short = dataclasses.replace(problem, file=Path(problem.file).name)
        kinds.setdefault((problem.fatal, kind), []).append(str(short))
    lines = []
    for texts in kinds.values():
        lines += texts[:shown]
        if shown is not None and len(texts) > shown:
            lines.append(more.format(len(texts) - shown))
    return lines


def left_out_lines(*datasets: Dataset | None, shown: int = 3) -> list[str]:
    """Returns lines on records that are left out or unusual, as `jaxpose data` prints them.

    Args:
      *datasets: a file that several of them share is described once; None is skipped.
      shown: problems of each kind to list.
    """
    lines = []
    for path, dataset in {data.path: data for data in datasets if data is not None}.items():
        lines.append(f"{path}: {dataset.summary}")
        lines += problem_lines(dataset.notes, shown, "... and {} more like these (`jaxpose data`)")
    return lines


def no_people(path: StrPath, skipped: dict[str, int]) -> AnnotationError:
    """The error for a file without usable people."""
    counts = ", ".join(f"{count} {reason}" for reason, count in skipped.items())
    return AnnotationError(f"{path}: annotations: no usable person ({counts or 'empty list'})")


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
