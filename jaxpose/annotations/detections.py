"""Reads boxes of people from a file, for `predict --boxes` and config.data.detections.

A file is a list of detections (COCO's results format), or a dataset with `images` and
`annotations`. A box belongs to the image with its file name. If the box has an image id that is a
number, the file name comes from a dataset: the file itself, or the dataset given with a list.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxpose import skeletons
from jaxpose.annotations.records import (
    Dataset,
    People,
    Problem,
    is_int,
    is_number,
    label,
    missing_keys,
    numbers,
)

PERSON = 1  # category of people in COCO
_FORM = "must be a list of boxes, or an object with the lists 'images' and 'annotations'"

# Reasons for leaving out a box, as in the counts.
CATEGORY = "of another category"
CROWD = "marked as a crowd"
SCORE = "with a low score"
EMPTY = "empty"
FOREIGN = "of other images"


@dataclasses.dataclass(frozen=True)
class Detections:
    """N boxes of people, in the order of the file.

    Attributes:
      image_id: the id that the dataset gives the image of each box; None if it only has a name.
      name: file name of the image of each box, as the file or its dataset has it; None if unknown.
      box: float64 [N, 4], (x, y, w, h) in pixels.
      score: float32 [N]; 1 where the file has none.
      names: file names of all images that the file or its dataset knows, also without boxes.
      left_out: reason -> number of boxes.
    """

    image_id: list[int | None]
    name: list[str | None]
    box: np.ndarray
    score: np.ndarray
    names: list[str]
    left_out: collections.Counter[str]

    def __len__(self) -> int:
        return len(self.name)


def parse(
    path: str,
    data: Any,
    *,
    category_id: int = PERSON,
    file_names: Mapping[Any, str] | None = None,
    lowest_score: float = -np.inf,
    needs_score: bool = False,
) -> tuple[Detections | None, list[Problem]]:
    """Reads and checks boxes.

    Args:
      path: path of the file, used only in the text of the problems.
      data: parsed JSON.
      category_id: category of people in a list of detections; a record without category is a
        person. A dataset says itself which of its categories are people.
      file_names: image id -> file name, from the dataset given with a list.
      lowest_score: boxes with a lower score are left out.
      needs_score: whether a box without a score is a problem.

    Returns:
      (boxes, problems); None if the file as a whole has the wrong form. The boxes are valid only
      if no problem is fatal.
    """
    kind, records = "detection", data
    problems: list[Problem] = []
    if isinstance(data, dict):
        kind, records = "annotation", data.get("annotations")
        if not isinstance(data.get("images", []), list) or not isinstance(records, list):
            return None, [Problem(path, "file", _FORM)]
        file_names, problems = image_names(path, data.get("images", []))
        category_id = _person_category(data.get("categories"), category_id)
    elif not isinstance(data, list):
        return None, [Problem(path, "file", _FORM)]

    kept, left_out = [], collections.Counter[str]()
    for index, record in enumerate(records):
        fatal, reason, rule = True, None, _malformed(record, needs_score)
        if rule is None:
            reason = _reason(record, category_id, lowest_score)
            if reason == EMPTY:
                fatal, rule = False, f"box {record['bbox']} is empty"
        if rule:
            problems.append(Problem(path, label(kind, index, record), rule, fatal))
        if reason:
            left_out[reason] += 1
        elif rule is None:
            kept.append(record)
    images = [_image(record, file_names or {}) for record in kept]
    detections = Detections(
        image_id=[identity for identity, _ in images],
        name=[name for _, name in images],
        box=np.reshape(np.array([record["bbox"] for record in kept], np.float64), (-1, 4)),
        score=np.array([record.get("score", 1.0) for record in kept], np.float32),
        names=list((file_names or {}).values()),
        left_out=left_out,
    )
    return detections, problems


def of_dataset(path: str, data: Any, dataset: Dataset) -> tuple[People | None, list[Problem]]:
    """The boxes of a dataset's images, for evaluation.

    Args:
      path: path of the file, used only in the text of the problems.
      data: parsed JSON.
      dataset: gives the file names of the ids, and the category of the people.

    Returns:
      (people, problems). Boxes of other images are a problem that is not fatal, unless no box is
      left.
    """
    names = {identity: info.file_name for identity, info in dataset.images.items()}
    detections, problems = parse(
        path, data, category_id=dataset.category_id, file_names=names, needs_score=True
    )
    if detections is None:
        return None, problems
    by_name = _unique({name: identity for identity, name in names.items()})
    own_file = isinstance(data, dict)  # a dataset has its own ids: images are matched by file name
    rows, ids, foreign = [], [], []
    for row, (identity, name) in enumerate(zip(detections.image_id, detections.name, strict=True)):
        if identity not in names or own_file:
            identity = by_name.get(name or "", by_name.get((name or "").rpartition("/")[2]))
        if identity is None:
            foreign.append(name if name is not None else detections.image_id[row])
        else:
            rows.append(row)
            ids.append(identity)
    example = f", e.g. {foreign[0]!r}" if foreign else ""
    fatal = any(problem.fatal for problem in problems)
    if not rows and not fatal:
        detections.left_out[FOREIGN] += len(foreign)
        counts = counted(+detections.left_out) or "the list is empty"
        rule = f"no box belongs to a person in the images of {dataset.path.name}: {counts}{example}"
        problems.append(Problem(path, "file", rule))
    elif foreign:
        rule = f"{len(foreign)} boxes belong to images not in {dataset.path.name}{example}"
        problems.append(Problem(path, "file", rule, fatal=False))
    people = People(
        annotation_id=np.arange(len(rows), dtype=np.int64),
        image_id=np.array(ids, np.int64),
        box=detections.box[rows],
        keypoints=np.zeros((len(rows), dataset.skeleton.num_joints, 3), np.float32),
        box_score=detections.score[rows],
    )
    return people, problems


def counted(left_out: Mapping[str, int]) -> str:
    """The boxes left out in words: "3 of another category, 1 empty"."""
    return ", ".join(f"{count} {reason}" for reason, count in left_out.items())


def image_names(path: str, images: list[Any]) -> tuple[dict[Any, str], list[Problem]]:
    """Image id -> file name of the `images` of a dataset, and the problems."""
    names, problems = {}, []
    for index, image in enumerate(images):
        rule = missing_keys(image, ("id", "file_name"))
        if rule is None and not _is_identity(image["id"]):
            rule = f"id must be an integer or a string, not {image['id']!r}"
        elif rule is None and not (isinstance(image["file_name"], str) and image["file_name"]):
            rule = f"file_name must be a non-empty string, not {image['file_name']!r}"
        if rule:
            problems.append(Problem(path, label("image", index, image), rule))
        else:
            names[_identity(image["id"])] = image["file_name"].replace("\\", "/")
    return names, problems


def _image(record: dict[str, Any], names: Mapping[Any, str]) -> tuple[int | None, str | None]:
    """(id, file name) of a box's image; a string id that is in no dataset is the file name."""
    identity, name = _identity(record.get("image_id")), record.get("file_name")
    if not name:
        name = names.get(identity, identity if isinstance(identity, str) else None)
    return (
        identity if isinstance(identity, int) else None,
        name.replace("\\", "/") if name else None,
    )


def _malformed(record: Any, needs_score: bool) -> str | None:
    """What is wrong with the form of a box's record, or None; a box may be empty."""
    rule = missing_keys(record, ("bbox", "score") if needs_score else ("bbox",))
    if rule:
        return rule
    if not numbers(record["bbox"], 4):
        return f"bbox must be 4 finite numbers (x, y, w, h), not {record['bbox']!r}"
    if not is_number(record.get("score", 1.0)):
        return f"score must be a finite number, not {record['score']!r}"
    name, identity = record.get("file_name"), record.get("image_id")
    if name:
        return None if isinstance(name, str) else f"file_name must be a string, not {name!r}"
    if identity is None or identity == "":
        return "needs file_name or image_id"
    if not _is_identity(identity):
        return f"image_id must be an integer or a string, not {identity!r}"
    return None


def _reason(record: dict[str, Any], category_id: int, lowest_score: float) -> str | None:
    """The reason for leaving out a box, or None."""
    if record.get("category_id", category_id) != category_id:
        return CATEGORY
    if record.get("iscrowd"):
        return CROWD
    if record.get("score", 1.0) < lowest_score:
        return SCORE
    return EMPTY if min(record["bbox"][2:]) <= 0 else None


def _person_category(categories: Any, default: int) -> int:
    """The category of the people of a dataset: with keypoints, or named person, or the default."""
    category = skeletons.category_with_joints(categories)
    if category is None and isinstance(categories, list):
        named = (c for c in categories if isinstance(c, dict) and c.get("name") == "person")
        category = next(named, None)
    identity = category.get("id") if category else None
    return identity if isinstance(identity, int) and is_int(identity) else default


def _unique(by_name: Mapping[str, int]) -> dict[str, int]:
    """`by_name`, and names without their folder where only one image has it."""
    count = collections.Counter(name.rpartition("/")[2] for name in by_name)
    bare = {name.rpartition("/")[2]: identity for name, identity in by_name.items()}
    return {name: i for name, i in bare.items() if count[name] == 1} | dict(by_name)


def _is_identity(value: Any) -> bool:
    return is_int(_identity(value)) or isinstance(value, str)


def _identity(value: Any) -> Any:
    """An image id; 1.0 is the integer 1."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
