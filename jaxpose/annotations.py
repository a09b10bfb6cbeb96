"""Annotation files, read and checked: COCO keypoint format, MPII, and files of detected boxes.

`load_coco`, `load_mpii` and `load_detections` give the list of people to train or evaluate on, as
the public HRNet and mmpose 0.x code builds it, in the order of the file. A file that breaks a rule
is refused with one line naming the file, the record and the rule; `problems` lists all of them.

Points are (x, y) in pixels of the picture as stored, pixel (0, 0) the center of the top-left one.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxpose import geometry, skeletons

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
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return People(**{k: None if v is None else v[rows] for k, v in values.items()})

    def center_scale(self, input_size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Crop of each person: center [N, 2] in pixels, scale [N, 2] in units of 200 pixels."""
        if self.given is None:
            return geometry.box_to_center_scale(self.box, input_size)
        return self.given[:, :2].copy(), np.repeat(self.given[:, 2:], 2, axis=1)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """An annotation file, checked.

    Attributes:
      format: "coco" or "mpii".
      path: the annotation file.
      image_dir: folder of the pictures.
      skeleton: joints, limbs and sigmas.
      category_id: the category of the people in the file (1 for MPII).
      images: image id -> picture, in the order of the file.
      people: the usable people.
      skipped: reason -> number of records left out.
      notes: the non-fatal problems behind `skipped` (crowd regions are not problems).
    """

    format: str
    path: Path
    image_dir: Path
    skeleton: skeletons.Skeleton
    category_id: int
    images: dict[int, ImageInfo]
    people: People
    skipped: dict[str, int]
    notes: list[Problem]

    def image_path(self, image_id: int) -> Path:
        return self.image_dir / self.images[int(image_id)].file_name


def load_coco(path: StrPath, *, image_dir: StrPath) -> Dataset:
    """People of a file in COCO keypoint format: official COCO, or any with its own skeleton.

    The category is the first of `categories` that has `keypoints`; annotations of others are left
    out. So are crowd regions, people without a labelled joint, and boxes of which nothing is left
    in the picture (`geometry.clip_box`). Labelled-but-hidden joints (1) count as labelled.

    Raises:
      AnnotationError: the file or the folder is missing, or the file breaks a rule.
    """
    return _load(_parse_coco, path, image_dir)


def load_mpii(path: StrPath, *, image_dir: StrPath) -> Dataset:
    """People of an MPII file in the json form of the HRNet project.

    Center, scale and joints are 1-based there; with a center given (x != -1) its y moves down by
    15 * scale and the scale grows by 1.25; then 1 is taken from center and joints. No record is
    left out, so that row n of the predictions is row n of the file.

    Raises:
      AnnotationError: the file or the folder is missing, or the file breaks a rule.
    """
    return _load(_parse_mpii, path, image_dir)


def load_detections(path: StrPath, dataset: Dataset) -> People:
    """Boxes of a person detector: a list of {image_id, category_id, bbox (x, y, w, h), score}.

    Boxes of the dataset's category are kept with any score and are not cut to the picture.

    Raises:
      AnnotationError: the file is missing or breaks a rule.
    """
    people, found = _parse_detections(str(path), _read_json(path), dataset)
    _raise_first(found)
    assert people is not None
    return people


def problems(path: StrPath, dataset: Dataset | None = None) -> list[str]:
    """Every problem of an annotation file, fatal ones first, one line each; see `check`."""
    return [str(problem) for problem in check(path, dataset)]


def check(path: StrPath, dataset: Dataset | None = None) -> list[Problem]:
    """Every problem of an annotation file (COCO, MPII or, given its dataset, detections)."""
    try:
        data = _read_json(path)
    except AnnotationError as error:
        return [Problem(str(path), "file", str(error).removeprefix(f"{path}: file: "))]
    if dataset is not None:
        _, found = _parse_detections(str(path), data, dataset)
    else:
        _, found = (_parse_mpii if is_mpii(data) else _parse_coco)(str(path), data)
    return sorted(found, key=lambda problem: not problem.fatal)


def is_mpii(data: Any) -> bool:
    """Whether parsed json has the form of an MPII file: a list of records with joints."""
    return (
        isinstance(data, list)
        and bool(data)
        and isinstance(data[0], dict)
        and ("joints" in data[0] or "joints_vis" in data[0])
    )


def load(path: StrPath, *, image_dir: StrPath) -> Dataset:
    """`load_coco` or `load_mpii`, told apart by the content of the file."""
    return _load(None, path, image_dir)


def _load(parse: Any, path: StrPath, image_dir: StrPath) -> Dataset:
    data = _read_json(path)
    parse = parse or (_parse_mpii if is_mpii(data) else _parse_coco)
    fields, found = parse(str(path), data)
    _raise_first(found)
    if not Path(image_dir).is_dir():
        raise AnnotationError(f"{path}: pictures: no such folder {image_dir}")
    if not len(fields["people"]):
        counts = ", ".join(f"{count} {reason}" for reason, count in fields["skipped"].items())
        raise AnnotationError(f"{path}: annotations: no usable person ({counts or 'empty list'})")
    return Dataset(path=Path(path), image_dir=Path(image_dir), notes=found, **fields)


def _raise_first(found: Sequence[Problem]) -> None:
    fatal = [problem for problem in found if problem.fatal]
    if fatal:
        more = f" (and {len(fatal) - 1} more problems)" if len(fatal) > 1 else ""
        raise AnnotationError(f"{fatal[0]}{more}")


def _read_json(path: StrPath) -> Any:
    try:
        with open(path, "rb") as file:
            return json.loads(file.read())
    except OSError as error:
        raise AnnotationError(f"{path}: file: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"{path}: file: not JSON ({error})") from None


# ---- rules shared by the formats ----


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _numbers(values: Any, length: int) -> bool:
    return isinstance(values, list) and len(values) == length and all(map(_is_number, values))


def _label(kind: str, index: int, record: Any) -> str:
    identity = record.get("id") if isinstance(record, dict) else None
    return f"{kind} number {index}" if identity is None else f"{kind} {identity}"


def _missing(record: Any, keys: Sequence[str]) -> str | None:
    if not isinstance(record, dict):
        return "must be an object"
    absent = [key for key in keys if key not in record]
    return f"lacks {', '.join(map(repr, absent))}" if absent else None


# ---- COCO ----


def _parse_coco(path: str, data: Any) -> tuple[dict[str, Any] | None, list[Problem]]:
    found: list[Problem] = []
    rule = _missing(data, ("images", "annotations", "categories"))
    if rule:
        return None, [Problem(path, "file", rule)]
    for key in ("images", "annotations", "categories"):
        if not isinstance(data[key], list):
            found.append(Problem(path, key, "must be a list"))
    if found:
        return None, found
    category = next(
        (c for c in data["categories"] if isinstance(c, dict) and c.get("keypoints")), None
    )
    if category is None:
        return None, [Problem(path, "categories", "none has joint names under 'keypoints'")]
    if not _is_int(category.get("id")):
        return None, [Problem(path, "categories", "the person category lacks an integer 'id'")]
    try:
        skeleton = skeletons.from_coco_category(category)
    except ValueError as error:
        return None, [Problem(path, f"category {category['id']}", str(error))]

    images = _parse_images(path, data["images"], found)
    people, skipped = _parse_people(
        path, data["annotations"], category["id"], skeleton.num_joints, images, found
    )
    fields = {
        "format": "coco",
        "skeleton": skeleton,
        "category_id": category["id"],
        "images": images,
        "people": people,
        "skipped": skipped,
    }
    return fields, found


def _parse_images(path: str, records: list[Any], found: list[Problem]) -> dict[int, ImageInfo]:
    images: dict[int, ImageInfo] = {}
    for index, record in enumerate(records):
        rule = _missing(record, ("id", "file_name", "height", "width"))
        if rule is None:
            identity, name = record["id"], record["file_name"]
            size = record["height"], record["width"]
            if not _is_int(identity):
                rule = f"'id' must be an integer, not {identity!r}"
            elif identity in images:
                rule = f"duplicate id (already {images[identity].file_name!r})"
            elif not isinstance(name, str) or not name:
                rule = "'file_name' must be a name"
            elif not all(_is_number(side) and side >= 1 for side in size):
                rule = f"height and width must be positive numbers, not {size[0]!r} and {size[1]!r}"
            else:
                images[identity] = ImageInfo(identity, name, int(size[0]), int(size[1]))
        if rule:
            found.append(Problem(path, _label("image", index, record), rule))
    return images


def _parse_people(
    path: str,
    records: list[Any],
    category_id: int,
    num_joints: int,
    images: dict[int, ImageInfo],
    found: list[Problem],
) -> tuple[People, dict[str, int]]:
    skipped: collections.Counter[str] = collections.Counter()
    seen: set[int] = set()
    kept: list[dict[str, Any]] = []
    for index, record in enumerate(records):
        rule = _missing(record, ("id", "image_id", "category_id"))
        if rule is None and record["category_id"] != category_id:
            skipped["of another category"] += 1
            continue
        if rule is None:
            if not _is_int(record["id"]):
                rule = f"'id' must be an integer, not {record['id']!r}"
            elif record["id"] in seen:
                rule = "duplicate id"
            elif not _is_int(record["image_id"]) or record["image_id"] not in images:
                rule = f"unknown image id {record['image_id']!r}"
            else:
                seen.add(record["id"])
        if rule is None:
            if record.get("iscrowd"):
                skipped["crowd regions"] += 1
                continue
            rule = _missing(record, ("keypoints", "bbox")) or _malformed(record, num_joints)
        if rule:
            found.append(Problem(path, _label("annotation", index, record), rule))
        else:
            kept.append(record)

    # One conversion for all people: a COCO file has 150 thousand of them.
    keypoints = _as_numbers([record["keypoints"] for record in kept], 3 * num_joints)
    keypoints = keypoints.reshape(len(kept), num_joints, 3)
    finite = np.isfinite(keypoints).all(axis=(1, 2))
    flags = np.isin(keypoints[..., 2], (0, 1, 2)).all(axis=1)
    keypoints[..., 2] = np.minimum(keypoints[..., 2], 1)
    keypoints[keypoints[..., 2] <= 0] = 0
    labelled = keypoints[..., 2].any(axis=1)
    boxes = np.zeros((len(kept), 4))
    usable = np.zeros(len(kept), bool)
    for row, record in enumerate(kept):
        rule = reason = None
        if not finite[row]:
            rule = "keypoints must be finite numbers"
        elif not flags[row]:
            rule = "visibility flags must be 0, 1 or 2"
        elif not labelled[row] or record.get("num_keypoints") == 0:
            rule, reason = "no visible joints", "without visible joints"
        else:
            info = images[record["image_id"]]
            box = geometry.clip_box(record["bbox"], (info.height, info.width))
            if box is None or not record.get("area", 1) > 0:
                size = f"{info.width} x {info.height}"
                rule = f"box {record['bbox']} is empty or outside the picture ({size})"
                reason = "with an empty box"
            else:
                boxes[row], usable[row] = box, True
        if rule:
            found.append(Problem(path, f"annotation {record['id']}", rule, fatal=reason is None))
        if reason:
            skipped[reason] += 1
    people = People(
        annotation_id=np.array([record["id"] for record in kept], np.int64),
        image_id=np.array([record["image_id"] for record in kept], np.int64),
        box=boxes,
        keypoints=keypoints.astype(np.float32),
        box_score=np.ones(len(kept), np.float32),
    )
    return people.select(usable), dict(skipped)


def _malformed(record: dict[str, Any], num_joints: int) -> str | None:
    """What is wrong with the form of box, area and keypoints; numbers inside keypoints are only
    counted here (their values are checked for all people at once)."""
    keypoints = record["keypoints"]
    if not isinstance(keypoints, list) or len(keypoints) != 3 * num_joints:
        size = len(keypoints) if isinstance(keypoints, list) else repr(keypoints)
        return (
            f"keypoints must be {3 * num_joints} numbers (x, y, flag of {num_joints} joints), "
            f"not {size}"
        )
    if not _numbers(record["bbox"], 4):
        return f"bbox must be 4 finite numbers (x, y, w, h), not {record['bbox']!r}"
    if not _is_number(record.get("area", 1)):
        return f"area must be a finite number, not {record['area']!r}"
    return None


def _as_numbers(rows: list[list[Any]], length: int) -> np.ndarray:
    """Rows of json values -> float64 [N, length]; a row with anything but numbers becomes NaN."""
    try:
        return np.array(rows, np.float64).reshape(len(rows), length)
    except (TypeError, ValueError):
        nothing = [np.nan] * length
        return np.array([row if _numbers(row, length) else nothing for row in rows], np.float64)


# ---- MPII ----


def _parse_mpii(path: str, data: Any) -> tuple[dict[str, Any] | None, list[Problem]]:
    found: list[Problem] = []
    skeleton = skeletons.MPII
    if not isinstance(data, list):
        return None, [Problem(path, "file", "must be a list of MPII records")]
    images: dict[str, ImageInfo] = {}
    rows: list[tuple[Any, ...]] = []
    for index, record in enumerate(data):
        rule = _missing(record, ("image", "center", "scale", "joints", "joints_vis"))
        if rule is None:
            rule = _malformed_mpii(record, skeleton.num_joints)
        if rule:
            found.append(Problem(path, f"record {index}", rule))
            continue
        info = images.setdefault(
            record["image"], ImageInfo(len(images), record["image"], None, None)
        )
        rows.append(
            (index, info.id, record["center"], record["scale"], record["joints"],
             record["joints_vis"])
        )  # fmt: skip
    index, image_id, center, scale, joints, labelled = (
        zip(*rows, strict=True) if rows else ((),) * 6
    )
    given = np.concatenate(
        [np.reshape(np.array(center, np.float64), (-1, 2)), np.reshape(scale, (-1, 1))], axis=1
    )
    located = given[:, 0] != -1
    given[located, 1] += 15 * given[located, 2]
    given[located, 2] *= 1.25
    given[:, :2] -= 1  # the file counts pixels from 1
    keypoints = np.zeros((len(rows), skeleton.num_joints, 3))
    keypoints[..., :2] = np.reshape(np.array(joints, np.float64), (-1, skeleton.num_joints, 2)) - 1
    keypoints[..., 2] = np.reshape(np.array(labelled, np.float64), (-1, skeleton.num_joints))
    keypoints[keypoints[..., 2] <= 0] = 0
    side = geometry.PIXEL_STD * given[:, 2:]
    people = People(
        annotation_id=np.array(index, np.int64),
        image_id=np.array(image_id, np.int64),
        box=np.concatenate([given[:, :2] - side / 2, side, side], axis=1),
        keypoints=keypoints.astype(np.float32),
        box_score=np.ones(len(rows), np.float32),
        given=given.astype(np.float32),
    )
    fields = {
        "format": "mpii",
        "skeleton": skeleton,
        "category_id": 1,
        "images": {info.id: info for info in images.values()},
        "people": people,
        "skipped": {},
    }
    return fields, found


def _malformed_mpii(record: dict[str, Any], num_joints: int) -> str | None:
    joints, flags = record["joints"], record["joints_vis"]
    if not isinstance(record["image"], str) or not record["image"]:
        return "'image' must be a file name"
    if not _numbers(record["center"], 2):
        return f"center must be 2 finite numbers, not {record['center']!r}"
    if not _is_number(record["scale"]) or record["scale"] <= 0:
        return f"scale must be a positive number, not {record['scale']!r}"
    if not isinstance(joints, list) or len(joints) != num_joints:
        size = len(joints) if isinstance(joints, list) else repr(joints)
        return f"joints must be {num_joints} points, not {size}"
    if not all(_numbers(point, 2) for point in joints):
        return "joints must be pairs of finite numbers"
    if not isinstance(flags, list) or len(flags) != num_joints:
        size = len(flags) if isinstance(flags, list) else repr(flags)
        return f"joints_vis must be {num_joints} flags, not {size}"
    if not all(flag in (0, 1) for flag in flags):
        return "joints_vis must be 0 or 1"
    return None


# ---- detections ----


def _parse_detections(
    path: str, data: Any, dataset: Dataset
) -> tuple[People | None, list[Problem]]:
    found: list[Problem] = []
    if not isinstance(data, list):
        return None, [Problem(path, "file", "must be a list of detected boxes")]
    kept = []
    for index, record in enumerate(data):
        fatal, rule = True, _missing(record, ("image_id", "category_id", "bbox", "score"))
        if rule is None:
            if record["category_id"] != dataset.category_id:
                continue
            if record["image_id"] not in dataset.images:
                rule = f"unknown image id {record['image_id']!r} (not in {dataset.path.name})"
            elif not _numbers(record["bbox"], 4):
                rule = f"bbox must be 4 finite numbers (x, y, w, h), not {record['bbox']!r}"
            elif not _is_number(record["score"]):
                rule = f"score must be a finite number, not {record['score']!r}"
            elif max(record["bbox"][2:]) <= 0:
                fatal, rule = False, f"box {record['bbox']} is empty"
        if rule:
            found.append(Problem(path, f"detection number {index}", rule, fatal))
        else:
            kept.append(record)
    count = len(kept)
    people = People(
        annotation_id=np.arange(count, dtype=np.int64),
        image_id=np.array([record["image_id"] for record in kept], np.int64),
        box=np.reshape(np.array([record["bbox"] for record in kept], np.float64), (-1, 4)),
        keypoints=np.zeros((count, dataset.skeleton.num_joints, 3), np.float32),
        box_score=np.array([record["score"] for record in kept], np.float32),
    )
    return people, found
