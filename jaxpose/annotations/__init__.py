"""Reads and checks annotation files: COCO keypoint format, CrowdPose, MPII, detected boxes.

`load_coco`, `load_crowdpose`, `load_mpii` and `load_detections` return the people to train or
evaluate on, in the order of the file. They select the same people as the public HRNet, HigherHRNet
and mmpose 0.x code. `annotations.completion` has the rules for missing and unusual values.
A file that breaks a rule in a way that would change what is learned raises a one-line error that
names the file, the record and the rule; `check` lists all problems and notes.

Points are (x, y) in pixels of the stored image; (0, 0) is the center of the top-left pixel.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxpose import sides, skeletons
from jaxpose.annotations import coco, crowdpose, detections, image_info, mpii, regions, sizes
from jaxpose.annotations.records import (
    AnnotationError,
    Dataset,
    ImageInfo,
    People,
    Problem,
    StrPath,
    in_order,
    left_out_lines,
    no_people,
)
from jaxpose.wording import quantity

__all__ = [
    "AnnotationError",
    "Dataset",
    "ImageInfo",
    "People",
    "Problem",
    "check",
    "is_mpii",
    "left_out_lines",
    "load",
    "load_boxes",
    "load_coco",
    "load_crowdpose",
    "load_detections",
    "load_image_info",
    "load_mpii",
    "need_people",
    "need_sides",
    "read_detections",
    "read_json",
    "regions",
]


def load_coco(
    path: StrPath, *, image_dir: StrPath, category: str = "", flip_pairs: Sequence[str] = ()
) -> Dataset:
    """Loads a file in COCO keypoint format: official COCO, or any file with its own skeleton.

    Categories with the same keypoints as the first that has any are read as one; annotations of
    other categories are left out. `Dataset.people` also leaves out crowd regions, people without a
    labeled keypoint, and boxes that lie outside the image or are empty (`completion.clip_box`).
    Keypoints that are labeled but hidden (flag 1) count as labeled. An image whose size is not in
    the file is decoded for it.

    Args:
      path: the annotation file.
      image_dir: folder of the images.
      category: name or id of the category to read instead of the first.
      flip_pairs: left-right pairs, "left name/right name" each; ("none",) if there are none. By
        default, those that the category declares or, without a declaration, those in the names.

    Raises:
      AnnotationError: the file or the folder is missing, or the file breaks a rule.
    """
    return _load(coco.parse, path, image_dir, category, flip_pairs)


def load_crowdpose(
    path: StrPath, *, image_dir: StrPath, category: str = "", flip_pairs: Sequence[str] = ()
) -> Dataset:
    """Loads a CrowdPose file, with the `crowdIndex` of its images; otherwise like `load_coco`.

    Raises:
      AnnotationError: the file or the folder is missing, its keypoints are not those of CrowdPose,
        or it breaks another rule.
    """
    return _load(crowdpose.parse, path, image_dir, category, flip_pairs)


def load_mpii(
    path: StrPath, *, image_dir: StrPath, category: str = "", flip_pairs: Sequence[str] = ()
) -> Dataset:
    """Loads an MPII file in the JSON form of the HRNet project.

    Center and joints are 1-based in the file. Where a center is given (x != -1), its y increases by
    15 * scale, and the scale is multiplied by 1.25. Then 1 is subtracted from center and joints. No
    record is left out, so row n of the predictions is row n of the file. MPII has no categories.

    Raises:
      AnnotationError: the file or the folder is missing, or the file breaks a rule.
    """
    return _load(mpii.parse, path, image_dir, category, flip_pairs)


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
    data = read_json(path)
    if not image_info.is_image_info(data):
        return None
    fields, problems = image_info.parse(
        str(path), data, skeleton, functools.partial(sizes.read_sizes, image_dir)
    )
    _raise_first(problems)
    assert fields is not None
    _check_folder(path, image_dir)
    return Dataset(path=Path(path), image_dir=Path(image_dir), notes=problems, **fields)


def load_detections(path: StrPath, dataset: Dataset) -> People:
    """The people of `read_detections`."""
    return read_detections(path, dataset)[0]


def read_detections(path: StrPath, dataset: Dataset) -> tuple[People, list[Problem]]:
    """Loads boxes of a person detector: a list of {image_id, category_id, bbox, score}.

    `bbox` is (x, y, w, h). Boxes of the dataset's category are kept whatever their score and are
    not clipped to the image. `image_id` is an id of the dataset, or a file name.

    Returns:
      The people, and the problems that are not fatal: empty boxes, and boxes of other images.

    Raises:
      AnnotationError: the file is missing or breaks a rule, or no box is left.
    """
    people, problems = detections.of_dataset(str(path), read_json(path), dataset)
    _raise_first(problems)
    assert people is not None
    return people, problems


def load_boxes(
    path: StrPath, *, annotations: StrPath | None = None, lowest_score: float
) -> tuple[detections.Detections, list[Problem]]:
    """Loads boxes for images that belong to no dataset, as for `jaxpose predict`.

    Args:
      path: a list of detections, or a dataset with boxes.
      annotations: the dataset that explains the ids of a list: its `images` and `categories`.
      lowest_score: boxes with a lower score are left out.

    Returns:
      The boxes, and the problems that are not fatal: empty boxes, and images without a size.

    Raises:
      AnnotationError: a file is missing or breaks a rule, or a dataset is given twice.
    """
    data, images, people = read_json(path), None, detections.PERSON
    notes: list[Problem] = []
    if annotations is not None:
        if isinstance(data, dict):
            raise AnnotationError(
                f"{path}: file: has its own list of images, so {annotations} would not be used: "
                "give only one of them"
            )
        content = read_json(annotations)
        if not isinstance(content, dict) or not isinstance(content.get("images"), list):
            raise AnnotationError(f"{annotations}: file: must be an object with the list 'images'")
        people = detections.person_categories(content.get("categories"))
        images, notes = detections.read_images(str(annotations), content["images"])
        _raise_first(notes)
    boxes, problems = detections.parse(
        str(path), data, people=people, images=images, lowest_score=lowest_score
    )
    _raise_first(problems)
    assert boxes is not None
    return boxes, [*notes, *problems]


def check(path: StrPath, dataset: Dataset | None = None, *, category: str = "") -> list[Problem]:
    """Lists every problem of an annotation file of any format, fatal problems first, notes last.

    Args:
      path: the annotation file, or a file of detected boxes.
      dataset: the dataset that detected boxes belong to; None for an annotation file.
      category: as for `load_coco`.
    """
    try:
        data = read_json(path)
    except AnnotationError as error:
        return [Problem(str(path), "file", str(error).removeprefix(f"{path}: file: "))]
    if dataset is not None:
        _, problems = detections.of_dataset(str(path), data, dataset)
    else:
        _, problems = _parser(data)(str(path), data, category)
    return in_order(problems)


def is_mpii(data: Any) -> bool:
    """Whether parsed JSON has the form of an MPII file: a list of records with joints."""
    return (
        isinstance(data, list)
        and bool(data)
        and isinstance(data[0], dict)
        and ("joints" in data[0] or "joints_vis" in data[0])
    )


def load(
    path: StrPath, *, image_dir: StrPath, category: str = "", flip_pairs: Sequence[str] = ()
) -> Dataset:
    """Calls `load_coco`, `load_crowdpose` or `load_mpii`, whichever fits the file's content."""
    return _load(None, path, image_dir, category, flip_pairs)


def need_people(dataset: Dataset) -> None:
    """Raises AnnotationError if no person has a box; top-down networks need one."""
    if not len(dataset.people):
        raise no_people(dataset.path, dataset.skipped)


def need_sides(dataset: Dataset) -> None:
    """Raises AnnotationError if left and right are unknown; mirrored images need them."""
    skeleton = dataset.skeleton
    if not skeleton.knows_sides:
        names = ", ".join(skeleton.joints[:5]) + (", ..." if skeleton.num_joints > 5 else "")
        raise AnnotationError(
            f"{dataset.path}: category {skeleton.name!r}: mirrored images need the left-right "
            f"pairs, but the names of the keypoints ({names}) contain none: declare them in the "
            'category, "flip_pairs": [["LEFT", "RIGHT"], ...] ([] for none), or with '
            "--config.data.flip_pairs=\"('LEFT/RIGHT', ...)\" (=none for none), or turn mirroring "
            "off with --config.augment.flip=0 --config.eval.flip=False"
        )


def _parser(data: Any) -> Any:
    if is_mpii(data):
        return mpii.parse
    return crowdpose.parse if crowdpose.is_crowdpose(data) else coco.parse


def _load(
    parse: Any, path: StrPath, image_dir: StrPath, category: str, flip_pairs: Sequence[str]
) -> Dataset:
    data = read_json(path)
    read_sizes = functools.partial(sizes.read_sizes, image_dir)
    fields, problems = (parse or _parser(data))(str(path), data, category, read_sizes)
    _raise_first(problems)
    _check_folder(path, image_dir)
    if not len(fields["people"]) and not len(fields["labeled"]):
        raise no_people(path, fields["skipped"])
    dataset = Dataset(path=Path(path), image_dir=Path(image_dir), notes=problems, **fields)
    return _with_pairs(dataset, flip_pairs) if flip_pairs else dataset


def _with_pairs(dataset: Dataset, flip_pairs: Sequence[str]) -> Dataset:
    """Returns the dataset with these left-right pairs instead of its own."""
    try:
        pairs = sides.declared(list(flip_pairs), dataset.skeleton.joints)
    except ValueError as error:
        text = f"config.data.flip_pairs={tuple(flip_pairs)!r} {error}"
        raise AnnotationError(f"{dataset.path}: {text}") from None
    skeleton = dataclasses.replace(dataset.skeleton, declared_pairs=pairs)
    return dataclasses.replace(dataset, skeleton=skeleton)


def _check_folder(path: StrPath, image_dir: StrPath) -> None:
    if not Path(image_dir).is_dir():
        raise AnnotationError(f"{path}: images: no such folder {image_dir}")


def _raise_first(problems: Sequence[Problem]) -> None:
    fatal = [problem for problem in problems if problem.fatal]
    if fatal:
        more = f" (and {quantity(len(fatal) - 1, 'more problem')})" if len(fatal) > 1 else ""
        raise AnnotationError(f"{fatal[0]}{more}")


def read_json(path: StrPath) -> Any:
    """The content of a JSON file in UTF-8 or UTF-16, with or without a byte-order mark.

    Raises:
      AnnotationError: the file cannot be read, or is not JSON.
    """
    try:
        with open(path, "rb") as file:
            return json.loads(file.read())
    except OSError as error:
        raise AnnotationError(f"{path}: file: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"{path}: file: not JSON ({error})") from None
