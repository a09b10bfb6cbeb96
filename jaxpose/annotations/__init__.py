"""Annotation files, read and checked: COCO keypoint format, CrowdPose, MPII, detected boxes.

`load_coco`, `load_crowdpose`, `load_mpii` and `load_detections` give the list of people to train or
evaluate on, as the public HRNet, HigherHRNet and mmpose 0.x code builds it, in the order of the
file. A file that breaks a rule is refused with one line naming the file, the record and the rule;
`check` lists all of them.

Points are (x, y) in pixels of the picture as stored, pixel (0, 0) the center of the top-left one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxpose.annotations import coco, crowdpose, detections, mpii, regions
from jaxpose.annotations.records import (
    AnnotationError,
    Dataset,
    ImageInfo,
    People,
    Problem,
    StrPath,
)

__all__ = [
    "AnnotationError",
    "Dataset",
    "ImageInfo",
    "People",
    "Problem",
    "check",
    "is_mpii",
    "load",
    "load_coco",
    "load_crowdpose",
    "load_detections",
    "load_mpii",
    "regions",
]


def load_coco(path: StrPath, *, image_dir: StrPath) -> Dataset:
    """People of a file in COCO keypoint format: official COCO, or any with its own skeleton.

    The category is the first of `categories` that has `keypoints`; annotations of others are left
    out. From `Dataset.people` so are crowd regions, people without a labelled joint, and boxes of
    which nothing is left in the picture (`geometry.clip_box`). Labelled-but-hidden joints (1) count
    as labelled.

    Raises:
      AnnotationError: the file or the folder is missing, or the file breaks a rule.
    """
    return _load(coco.parse, path, image_dir)


def load_crowdpose(path: StrPath, *, image_dir: StrPath) -> Dataset:
    """People of a CrowdPose file, and the `crowdIndex` of its pictures; otherwise as `load_coco`.

    Raises:
      AnnotationError: the file or the folder is missing, or the file breaks a rule, among them that
        the joints are CrowdPose's.
    """
    return _load(crowdpose.parse, path, image_dir)


def load_mpii(path: StrPath, *, image_dir: StrPath) -> Dataset:
    """People of an MPII file in the json form of the HRNet project.

    Center, scale and joints are 1-based there; with a center given (x != -1) its y moves down by
    15 * scale and the scale grows by 1.25; then 1 is taken from center and joints. No record is
    left out, so that row n of the predictions is row n of the file.

    Raises:
      AnnotationError: the file or the folder is missing, or the file breaks a rule.
    """
    return _load(mpii.parse, path, image_dir)


def load_detections(path: StrPath, dataset: Dataset) -> People:
    """Boxes of a person detector: a list of {image_id, category_id, bbox (x, y, w, h), score}.

    Boxes of the dataset's category are kept with any score and are not cut to the picture.

    Raises:
      AnnotationError: the file is missing or breaks a rule.
    """
    people, found = detections.parse(str(path), _read_json(path), dataset)
    _raise_first(found)
    assert people is not None
    return people


def check(path: StrPath, dataset: Dataset | None = None) -> list[Problem]:
    """Every problem of an annotation file (any format or, given its dataset, detections).

    Fatal ones come first; the text of each is one line.
    """
    try:
        data = _read_json(path)
    except AnnotationError as error:
        return [Problem(str(path), "file", str(error).removeprefix(f"{path}: file: "))]
    if dataset is not None:
        _, found = detections.parse(str(path), data, dataset)
    else:
        _, found = _parser(data)(str(path), data)
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
    """`load_coco`, `load_crowdpose` or `load_mpii`, told apart by the content of the file."""
    return _load(None, path, image_dir)


def _parser(data: Any) -> Any:
    if is_mpii(data):
        return mpii.parse
    return crowdpose.parse if crowdpose.is_crowdpose(data) else coco.parse


def _load(parse: Any, path: StrPath, image_dir: StrPath) -> Dataset:
    data = _read_json(path)
    fields, found = (parse or _parser(data))(str(path), data)
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
