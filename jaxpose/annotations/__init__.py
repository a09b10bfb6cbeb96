"""Reads and checks annotation files: COCO keypoint format, CrowdPose, MPII, detected boxes.

`load_coco`, `load_crowdpose`, `load_mpii` and `load_detections` return the people to train or
evaluate on, in the order of the file. They select the same people as the public HRNet, HigherHRNet
and mmpose 0.x code. A file that breaks a rule raises a one-line error that names the file, the
record and the rule; `check` lists all problems.

Points are (x, y) in pixels of the stored image; (0, 0) is the center of the top-left pixel.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxpose import skeletons
from jaxpose.annotations import coco, crowdpose, detections, image_info, mpii, regions
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
    "load_image_info",
    "load_mpii",
    "regions",
]


def load_coco(path: StrPath, *, image_dir: StrPath) -> Dataset:
    """Loads a file in COCO keypoint format: official COCO, or any file with its own skeleton.

    The category is the first of `categories` that has `keypoints`; annotations of other categories
    are left out. `Dataset.people` also leaves out crowd regions, people without a labeled keypoint,
    and boxes that lie outside the image or are empty (`geometry.clip_box`). Keypoints that are
    labeled but hidden (flag 1) count as labeled.

    Args:
      path: the annotation file.
      image_dir: folder of the images.

    Raises:
      AnnotationError: the file or the folder is missing, or the file breaks a rule.
    """
    return _load(coco.parse, path, image_dir)


def load_crowdpose(path: StrPath, *, image_dir: StrPath) -> Dataset:
    """Loads a CrowdPose file, with the `crowdIndex` of its images; otherwise like `load_coco`.

    Raises:
      AnnotationError: the file or the folder is missing, its keypoints are not those of CrowdPose,
        or it breaks another rule.
    """
    return _load(crowdpose.parse, path, image_dir)


def load_mpii(path: StrPath, *, image_dir: StrPath) -> Dataset:
    """Loads an MPII file in the JSON form of the HRNet project.

    Center and joints are 1-based in the file. Where a center is given (x != -1), its y increases by
    15 * scale, and the scale is multiplied by 1.25. Then 1 is subtracted from center and joints. No
    record is left out, so row n of the predictions is row n of the file.

    Raises:
      AnnotationError: the file or the folder is missing, or the file breaks a rule.
    """
    return _load(mpii.parse, path, image_dir)


def load_image_info(
    path: StrPath, *, image_dir: StrPath, skeleton: skeletons.Skeleton
) -> Dataset | None:
    """Loads a file that lists images without annotations, to predict the people in them.

    Args:
      path: a file in COCO's form, such as image_info_test-dev2017.json.
      image_dir: folder of the images.
      skeleton: of the results, if the file has no keypoint names.

    Returns:
      The dataset, without people; None if the file has annotations or another form.

    Raises:
      AnnotationError: the file or the folder is missing, or the file breaks a rule.
    """
    data = _read_json(path)
    if not image_info.is_image_info(data):
        return None
    fields, problems = image_info.parse(str(path), data, skeleton)
    _raise_first(problems)
    assert fields is not None
    _check_folder(path, image_dir)
    return Dataset(path=Path(path), image_dir=Path(image_dir), notes=problems, **fields)


def load_detections(path: StrPath, dataset: Dataset) -> People:
    """Loads boxes of a person detector: a list of {image_id, category_id, bbox, score}.

    `bbox` is (x, y, w, h). Boxes of the dataset's category are kept whatever their score and are
    not clipped to the image.

    Raises:
      AnnotationError: the file is missing or breaks a rule.
    """
    people, problems = detections.parse(str(path), _read_json(path), dataset)
    _raise_first(problems)
    assert people is not None
    return people


def check(path: StrPath, dataset: Dataset | None = None) -> list[Problem]:
    """Lists every problem of an annotation file of any format, fatal problems first.

    Args:
      path: the annotation file, or a file of detected boxes.
      dataset: the dataset that detected boxes belong to; None for an annotation file.
    """
    try:
        data = _read_json(path)
    except AnnotationError as error:
        return [Problem(str(path), "file", str(error).removeprefix(f"{path}: file: "))]
    if dataset is not None:
        _, problems = detections.parse(str(path), data, dataset)
    else:
        _, problems = _parser(data)(str(path), data)
    return sorted(problems, key=lambda problem: not problem.fatal)


def is_mpii(data: Any) -> bool:
    """Whether parsed JSON has the form of an MPII file: a list of records with joints."""
    return (
        isinstance(data, list)
        and bool(data)
        and isinstance(data[0], dict)
        and ("joints" in data[0] or "joints_vis" in data[0])
    )


def load(path: StrPath, *, image_dir: StrPath) -> Dataset:
    """Calls `load_coco`, `load_crowdpose` or `load_mpii`, whichever fits the file's content."""
    return _load(None, path, image_dir)


def _parser(data: Any) -> Any:
    if is_mpii(data):
        return mpii.parse
    return crowdpose.parse if crowdpose.is_crowdpose(data) else coco.parse


def _load(parse: Any, path: StrPath, image_dir: StrPath) -> Dataset:
    data = _read_json(path)
    fields, problems = (parse or _parser(data))(str(path), data)
    _raise_first(problems)
    _check_folder(path, image_dir)
    if not len(fields["people"]):
        counts = ", ".join(f"{count} {reason}" for reason, count in fields["skipped"].items())
        raise AnnotationError(f"{path}: annotations: no usable person ({counts or 'empty list'})")
    return Dataset(path=Path(path), image_dir=Path(image_dir), notes=problems, **fields)


def _check_folder(path: StrPath, image_dir: StrPath) -> None:
    if not Path(image_dir).is_dir():
        raise AnnotationError(f"{path}: images: no such folder {image_dir}")


def _raise_first(problems: Sequence[Problem]) -> None:
    fatal = [problem for problem in problems if problem.fatal]
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
