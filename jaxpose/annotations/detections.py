"""Reads boxes of people from a file, for `predict --boxes` and config.data.detections.

A file is a list of detections (COCO's results format), or a dataset with `images` and
`annotations`. A box belongs to the image with its file name. If the box has an image id that is a
number, the file name comes from a dataset: the file itself, or the dataset given with a list.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxpose.annotations import categories, file_names
from jaxpose.annotations.completion import id_key
from jaxpose.annotations.records import (
    Dataset,
    People,
    Problem,
    is_number,
    label,
    missing_keys,
    note,
    numbers,
)
from jaxpose.annotations.sizes import stated_size, without_size
from jaxpose.wording import agree, quantity

PERSON: frozenset[int | str] = frozenset({1})  # category of people in COCO
_FORM = "must be a list of boxes, or an object with the lists 'images' and 'annotations'"

# Key of an image in a dataset: see `Image.upright`.
UPRIGHT = "exif_upright"

# Reasons for leaving out a box, as in the counts.
CATEGORY = "of another category"
CROWD = "marked as a crowd"
SCORE = "with a low score"
EMPTY = "empty"
FOREIGN = "of other images"


class Image(NamedTuple):
    """An image of a dataset: its file name, and its (H, W) where the dataset states it.

    `upright`: whether the dataset says that the image was rotated by an EXIF orientation that does
    not change its size, as `jaxpose predict` writes it.
    """

    name: str
    size: tuple[int, int] | None
    upright: bool = False


@dataclasses.dataclass(frozen=True)
class Detections:
    """N boxes of people, in the order of the file.

    Attributes:
      image_id: key of the image id of each box (`completion.id_key`); None if it only has a name.
      name: file name of the image of each box, as the file or its dataset has it; None if no
        dataset explains the id.
      box: float64 [N, 4], (x, y, w, h) in pixels.
      score: float32 [N]; 1 where the file has none.
      names: file names of all images that the file or its dataset knows, also without boxes.
      sizes: file name -> (H, W) that the file or its dataset states, of the images that have one.
      left_out: reason -> number of boxes.
      upright: file names of the images for which `Image.upright`.
    """

    image_id: list[int | str | None]
    name: list[str | None]
    box: np.ndarray
    score: np.ndarray
    names: list[str]
    sizes: dict[str, tuple[int, int]]
    left_out: collections.Counter[str]
    upright: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.name)


def parse(
    path: str,
    data: Any,
    *,
    people: frozenset[int | str] = PERSON,
    category: str = "",
    images: Mapping[int | str, Image] | None = None,
    lowest_score: float = -np.inf,
    needs_score: bool = False,
) -> tuple[Detections | None, list[Problem]]:
    """Reads and checks boxes.

    Args:
      path: path of the file, used only in the text of the problems.
      data: parsed JSON.
      people: keys of the categories of people in a list of detections; a record without category
        is a person. A dataset says itself which of its categories are people.
      category: name or id of the category to read of a dataset, if it has it.
      images: key of an image id -> image, of the dataset that explains the ids of a list.
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
        images, problems = read_images(path, data.get("images", []))
        people = person_categories(data.get("categories"), category, people)
    elif not isinstance(data, list):
        return None, [Problem(path, "file", _FORM)]

    kept, left_out = [], collections.Counter[str]()
    for index, record in enumerate(records):
        fatal, reason, rule = True, None, _malformed(record, needs_score)
        if rule is None:
            reason = _reason(record, people, lowest_score)
            if reason == EMPTY:
                fatal, rule = False, f"box {record['bbox']} is empty"
        if rule:
            problems.append(Problem(path, label(kind, index, record), rule, fatal))
        if reason:
            left_out[reason] += 1
        elif rule is None:
            kept.append(record)
    known = images or {}
    image_of = [_image(record, known) for record in kept]
    detections = Detections(
        image_id=[identity for identity, _ in image_of],
        name=[name for _, name in image_of],
        box=np.reshape(np.array([record["bbox"] for record in kept], np.float64), (-1, 4)),
        score=np.array([record.get("score", 1.0) for record in kept], np.float32),
        names=[image.name for image in known.values()],
        sizes={image.name: image.size for image in known.values() if image.size},
        left_out=left_out,
        upright=frozenset(image.name for image in known.values() if image.upright),
    )
    return detections, problems


def of_dataset(path: str, data: Any, dataset: Dataset) -> tuple[People | None, list[Problem]]:
    """The boxes of a dataset's images, for evaluation.

    Args:
      path: path of the file, used only in the text of the problems.
      data: parsed JSON.
      dataset: explains the ids of images and categories.

    Returns:
      (people, problems). Boxes of other images are a problem that is not fatal, unless no box is
      left. A file name decides, where a record has both a name and an id.
    """
    numbers_of = dataset.image_numbers
    detections, problems = parse(
        path,
        data,
        people=dataset.person_categories,
        category=dataset.category,
        images={
            key: Image(dataset.images[number].file_name, dataset.annotated_size(number))
            for key, number in numbers_of.items()
        },
        needs_score=not isinstance(data, dict),
    )
    if detections is None:
        return None, problems
    own_file = isinstance(data, dict)  # a dataset has its own ids: images are matched by file name
    by_name, notes = match_names(
        path, dataset, [*detections.name, *(detections.names if own_file else ())]
    )
    rows, ids, foreign = [], [], []
    for row, (key, name) in enumerate(zip(detections.image_id, detections.name, strict=True)):
        number = None if own_file or key is None else numbers_of.get(key)
        if name is not None and (number is None or dataset.images[number].file_name != name):
            number = by_name.get(name)
        if number is None:
            foreign.append(name if name is not None else key)
        else:
            rows.append(row)
            ids.append(number)
    example = f", e.g. {foreign[0]!r}" if foreign else ""
    fatal = any(problem.fatal for problem in problems)
    if not rows and not fatal:
        detections.left_out[FOREIGN] += len(foreign)
        counts = counted(+detections.left_out) or "the list is empty"
        rule = f"no box belongs to a person in the images of {dataset.path.name}: {counts}{example}"
        problems.append(Problem(path, "file", rule))
    elif foreign:
        boxes = (
            f"{quantity(len(foreign), 'box', 'boxes')} {agree(len(foreign), 'belongs', 'belong')}"
        )
        rule = f"{boxes} to images not in {dataset.path.name}{example}"
        problems.append(Problem(path, "file", rule, fatal=False))
    if rows:
        if words := counted(+detections.left_out):
            notes.append(note(path, "file", f"boxes left out: {words}"))
        problems += notes
    people = People(
        annotation_id=np.arange(len(rows), dtype=np.int64),
        image_id=np.array(ids, np.int64),
        box=detections.box[rows],
        keypoints=np.zeros((len(rows), dataset.skeleton.num_joints, 3), np.float32),
        box_score=detections.score[rows],
    )
    return people, problems


def match_names(
    path: str, dataset: Dataset, names: Sequence[str | None]
) -> tuple[dict[str, int], list[Problem]]:
    """Matches the file names in another file with the images of a dataset (`file_names.match`).

    Args:
      path: the file with the names, used only in the text of the notes.
      dataset: the annotations.
      names: all file names that the file knows; None is skipped.

    Returns:
      (file name -> image id, notes).
    """
    ids = list(dataset.images)
    own = [dataset.images[number].file_name for number in ids]
    folder = dataset.image_dir.absolute().as_posix()
    matches = file_names.match(names, [(f"{folder}/{name}", name) for name in own])
    notes = []
    if matches.by_name_alone:
        name, image = matches.by_name_alone[0]
        text = (
            f"{file_names.describe_by_name_alone(len(matches.by_name_alone))}, e.g. {name} and "
            f"{own[image]}"
        )
        notes.append(note(path, "file", text))
    if matches.ambiguous:
        name, candidates = next(iter(matches.ambiguous.items()))
        text = (
            f"{quantity(len(matches.ambiguous), 'file name')} "
            f"{agree(len(matches.ambiguous), 'fits', 'fit')} several images, e.g. {name} "
            f"({', '.join(own[image] for image in candidates[:3])}): add the folders to the names"
        )
        notes.append(note(path, "file", text))
    return {name: ids[image] for name, image in matches.image_of.items()}, notes


def counted(left_out: Mapping[str, int]) -> str:
    """The boxes left out in words: "3 of another category, 1 empty"."""
    return ", ".join(f"{count} {reason}" for reason, count in left_out.items())


def read_images(path: str, records: list[Any]) -> tuple[dict[int | str, Image], list[Problem]]:
    """Key of an image id -> image, of the `images` of a dataset, and the problems."""
    images: dict[int | str, Image] = {}
    problems = []
    for index, image in enumerate(records):
        rule = missing_keys(image, ("id", "file_name"))
        key = id_key(image["id"]) if rule is None else None
        if rule is None and key is None:
            rule = f"id must be an integer or a string, not {image['id']!r}"
        elif rule is None and not (isinstance(image["file_name"], str) and image["file_name"]):
            rule = f"file_name must be a non-empty string, not {image['file_name']!r}"
        if rule or key is None:
            problems.append(Problem(path, label("image", index, image), str(rule)))
        else:
            upright = image.get(UPRIGHT) is True
            name = image["file_name"].replace("\\", "/")
            images[key] = Image(name, stated_size(image), upright)
    if lacking := [image.name for image in images.values() if image.size is None]:
        problems.append(without_size(path, lacking))
    return images, problems


def _image(
    record: dict[str, Any], images: Mapping[int | str, Image]
) -> tuple[int | str | None, str | None]:
    """(key, file name) of a box's image; a text id that no dataset explains is a file name."""
    given, name = record.get("image_id"), record.get("file_name")
    key = id_key(given)
    if not name and key is not None:
        name = images[key].name if key in images else given if isinstance(given, str) else None
    return key, name.replace("\\", "/") if name else None


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
    if id_key(identity) is None:
        return f"image_id must be an integer or a string, not {identity!r}"
    return None


def _reason(
    record: dict[str, Any], people: frozenset[int | str], lowest_score: float
) -> str | None:
    """The reason for leaving out a box, or None."""
    if "category_id" in record and id_key(record["category_id"]) not in people:
        return CATEGORY
    if record.get("iscrowd"):
        return CROWD
    if record.get("score", 1.0) < lowest_score:
        return SCORE
    return EMPTY if min(record["bbox"][2:]) <= 0 else None


def person_categories(
    entries: Any, choice: str = "", default: frozenset[int | str] = PERSON
) -> frozenset[int | str]:
    """The categories of the people of a dataset: with keypoints, or named person, or the default.

    Args:
      entries: the categories of the dataset.
      choice: name or id of one of them; it counts only if the dataset has it.
      default: keys, if no category is of people.

    Returns:
      Keys of the ids (`completion.id_key`).
    """
    entries = entries if isinstance(entries, list) else []
    for chosen in dict.fromkeys((choice, "")):
        with contextlib.suppress(ValueError):  # none with keypoints, or not the chosen one
            ids = categories.choose(entries, chosen).ids.values()
            return frozenset(key for key in map(id_key, ids) if key is not None)
    people = (e for e in entries if isinstance(e, dict) and e.get("name") == "person")
    named = (id_key(entry.get("id")) for entry in people)
    return frozenset(key for key in named if key is not None) or default
