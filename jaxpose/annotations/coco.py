"""COCO keypoint format: official COCO, or any file with its own skeleton."""

from __future__ import annotations

import collections
import dataclasses
import math
from typing import Any

import numpy as np

from jaxpose import skeletons
from jaxpose.annotations import categories, regions
from jaxpose.annotations.completion import (
    Ids,
    box_of,
    clip_box,
    complete_keypoints,
    is_missing_box,
    is_nothing,
)
from jaxpose.annotations.records import (
    ImageInfo,
    People,
    Problem,
    is_number,
    label,
    missing_keys,
    note,
    numbers,
)
from jaxpose.annotations.sizes import ReadSizes, stated_size, unread, without_size
from jaxpose.wording import agree, quantity


def parse(
    path: str, data: Any, category: str = "", read_sizes: ReadSizes | None = None
) -> tuple[dict[str, Any] | None, list[Problem]]:
    """Parses a file in COCO keypoint format and collects every rule that it breaks.

    Args:
      path: path of the file, used only in the text of the problems.
      data: parsed JSON.
      category: name or id of the people's category; see `categories.choose`.
      read_sizes: reads the sizes of images for which the file states none; None if the images are
        not at hand. Boxes and regions are not compared with an unknown size.

    Returns:
      (fields, problems): the fields of `Dataset` except `path`, `image_dir` and `notes`, or None if
      the file as a whole has the wrong form; and the problems in the order of the checks. The
      fields are valid only if no problem is fatal.
    """
    problems: list[Problem] = []
    rule = missing_keys(data, ("images", "annotations", "categories"))
    if rule:
        return None, [Problem(path, "file", rule)]
    for key in ("images", "annotations", "categories"):
        if not isinstance(data[key], list):
            problems.append(Problem(path, key, "must be a list"))
    if problems:
        return None, problems
    try:
        chosen = categories.choose(data["categories"], category)
    except ValueError as error:
        return None, [Problem(path, "categories", str(error))]
    problems += [note(path, "categories", text) for text in chosen.notes]
    where = f"category {chosen.ids[chosen.entry['id']]}"
    try:
        skeleton, notes = skeletons.read_category(chosen.entry)
    except ValueError as error:
        return None, [*problems, Problem(path, where, str(error))]
    problems += [note(path, where, text) for text in notes]

    ids = Ids(data["images"])
    images = parse_images(path, data["images"], ids, problems, read_sizes)
    people = _parse_people(
        path, data["annotations"], chosen, skeleton.num_joints, images, ids, problems
    )
    fields = {
        "format": "coco",
        "skeleton": skeleton,
        "category": category,
        "category_id": chosen.entry["id"],
        "category_ids": chosen.ids,
        "images": images,
        "original_ids": ids.original,
        "crowd_index": {},
    }
    return fields | people, problems


def parse_images(
    path: str,
    records: list[Any],
    ids: Ids,
    problems: list[Problem],
    read_sizes: ReadSizes | None = None,
) -> dict[int, ImageInfo]:
    """Returns the images by id, and appends what is wrong with the others to `problems`."""
    images: dict[int, ImageInfo] = {}
    for index, record in enumerate(records):
        rule = missing_keys(record, ("id", "file_name"))
        if rule is None:
            identity, name = ids(record["id"]), record["file_name"]
            if identity is None:
                rule = f"'id' must be an integer or a string, not {record['id']!r}"
            elif identity in images:
                rule = f"duplicate id (already {images[identity].file_name!r})"
            elif not isinstance(name, str) or not name:
                rule = f"'file_name' must be a non-empty string, not {name!r}"
            else:
                # Files written on Windows separate folders by backslashes.
                name = name.replace("\\", "/")
                height, width = stated_size(record) or (None, None)
                images[identity] = ImageInfo(identity, name, height, width, height is not None)
        if rule:
            problems.append(Problem(path, label("image", index, record), rule))
    _complete_sizes(path, images, problems, read_sizes)
    return images


def _complete_sizes(
    path: str,
    images: dict[int, ImageInfo],
    problems: list[Problem],
    read_sizes: ReadSizes | None,
) -> None:
    """Gives images without a stated size that of their files, and notes how many there are."""
    lacking = [info for info in images.values() if not info.stated]
    if not lacking:
        return
    names = [info.file_name for info in lacking]
    problems.append(without_size(path, names))
    if read_sizes is None:
        return
    missing = []
    for info, size in zip(lacking, read_sizes(names), strict=True):
        if size is None:
            missing.append(info.file_name)
        else:
            images[info.id] = dataclasses.replace(info, height=size[0], width=size[1])
    if missing:
        problems.append(unread(path, missing))


def _parse_people(
    path: str,
    records: list[Any],
    chosen: categories.People,
    num_joints: int,
    images: dict[int, ImageInfo],
    image_ids: Ids,
    problems: list[Problem],
) -> dict[str, Any]:
    """Returns the fields of `Dataset` that come from the records of people."""
    skipped: collections.Counter[str] = collections.Counter()
    ids = Ids(records)
    known_ids: set[int] = set()
    with_people: set[int] = set()
    kept: list[dict[str, Any]] = []
    person_ids: list[int] = []
    in_image: list[int] = []
    unlabeled: list[tuple[dict[str, Any], int]] = []
    for index, record in enumerate(records):
        rule = missing_keys(record, ("id", "image_id", "category_id"))
        if rule is None and chosen.number(record["category_id"]) not in chosen.ids:
            skipped["of another category"] += 1
            continue
        identity = image_id = -1
        if rule is None:
            identity, image_id = _number(ids, record["id"]), _number(image_ids, record["image_id"])
            if ids(record["id"]) is None:
                rule = f"'id' must be an integer or a string, not {record['id']!r}"
            elif identity in known_ids:
                rule = "duplicate id"
            elif image_ids(record["image_id"]) is None or image_id not in images:
                rule = f"unknown image id {record['image_id']!r}"
        if rule is None:
            known_ids.add(identity)
            with_people.add(image_id)
            rule = _malformed(record, num_joints)
            if record.get("iscrowd"):
                skipped["crowd regions"] += 1
                unlabeled.append((record, image_id))
                if rule or not any(_flags(record)):
                    continue  # without keypoints it is only a region
        if rule:
            problems.append(Problem(path, label("annotation", index, record), rule))
        else:
            kept.append(record)
            person_ids.append(identity)
            in_image.append(image_id)

    keypoints, broken = _parse_keypoints(path, kept, num_joints, problems)
    flags = np.all(np.isin(keypoints[..., 2], (0, 1, 2)), axis=1)
    keypoints[..., 2] = np.minimum(keypoints[..., 2], 1)
    keypoints[keypoints[..., 2] <= 0] = 0
    labeled = np.any(keypoints[..., 2], axis=1)
    boxes = np.zeros((len(kept), 4))
    usable = np.zeros(len(kept), bool)
    for row, record in enumerate(kept):
        rule = reason = None
        if row in broken:
            continue  # reported already
        if not flags[row]:
            rule = "visibility flags must be 0, 1 or 2"
        elif not labeled[row] or record.get("num_keypoints") == 0:
            rule, reason = "no labeled keypoints", "without labeled keypoints"
            if labeled[row]:
                count = int(keypoints[row, :, 2].sum())
                rule = (
                    f"num_keypoints is 0, although {quantity(count, 'keypoint')} "
                    f"{agree(count, 'has', 'have')} a flag above 0"
                )
            labeled[row] = False
            unlabeled.append((record, in_image[row]))
        else:
            info = images[in_image[row]]
            box = record.get("bbox")
            derived = is_missing_box(box)
            if derived:
                box = box_of(keypoints[row])
            clipped = clip_box(box, info.size if info.has_size else (math.inf, math.inf))
            if clipped is not None:
                boxes[row] = clipped
            if record.get("iscrowd"):
                continue  # counted above
            area: Any = record.get("area")
            size = f"{info.width} x {info.height}" if info.has_size else "of unknown size"
            if clipped is None:
                rule = f"box {box} is empty or outside the image ({size})"
                if derived:
                    rule = f"no box, and its labeled keypoints span none in the image ({size})"
            elif is_number(area) and float(area) < 0:
                rule = f"area {area} is negative"
            elif derived:
                text = "no box: the extent of its labeled keypoints is used"
                problems.append(note(path, f"annotation {record['id']}", text))
            usable[row] = rule is None
            reason = None if rule is None else "with an empty box"
        if rule:
            problems.append(Problem(path, f"annotation {record['id']}", rule, fatal=reason is None))
        if reason:
            skipped[reason] += 1
    people = People(
        annotation_id=np.array(person_ids, np.int64),
        image_id=np.array(in_image, np.int64),
        box=boxes,
        keypoints=keypoints.astype(np.float32),
        box_score=np.ones(len(kept), np.float32),
    )
    return {
        "original_person_ids": ids.original,
        "people": people.select(usable),
        "labeled": people.select(labeled),
        "with_people": tuple(identity for identity in images if identity in with_people),
        "regions": _parse_regions(path, unlabeled, images, problems),
        "skipped": dict(skipped),
    }


def _parse_regions(
    path: str,
    records: list[tuple[dict[str, Any], int]],
    images: dict[int, ImageInfo],
    problems: list[Problem],
) -> dict[int, list[regions.Segmentation]]:
    """Returns image id -> segmentations; a record without a segmentation has no region."""
    result: dict[int, list[regions.Segmentation]] = {}
    for record, image_id in records:
        segmentation = record.get("segmentation")
        if not segmentation:
            continue
        info = images[image_id]
        rule = regions.malformed(segmentation, info.size if info.has_size else None)
        if rule:
            problems.append(Problem(path, f"annotation {record['id']}", rule, fatal=False))
        else:
            result.setdefault(info.id, []).append(regions.compact(segmentation))
    return result


def _number(ids: Ids, value: Any) -> int:
    """Returns the integer of an id; -1 if the id is invalid."""
    number = ids(value)
    return -1 if number is None else number


def _flags(record: dict[str, Any]) -> list[Any]:
    values = record.get("keypoints")
    flags = values[2::3] if isinstance(values, list) else []
    return [flag for flag in flags if not is_nothing(flag)]


def _parse_keypoints(
    path: str, records: list[dict[str, Any]], num_joints: int, problems: list[Problem]
) -> tuple[np.ndarray, set[int]]:
    """Returns the keypoints [N, K, 3] as in the file, with zeros for missing values.

    Also returns the rows with a fatal problem.
    """
    empty = [0.0] * (3 * num_joints)
    given = [record.get("keypoints") for record in records]
    rows = [values if isinstance(values, list) and values else empty for values in given]
    shape = (len(rows), num_joints, 3)
    try:
        # Converted at once for all people: a COCO file has 150,000.
        keypoints = np.array(rows, np.float64).reshape(shape)
        odd = np.flatnonzero(~np.isfinite(keypoints).all((1, 2))).tolist()
    except (TypeError, ValueError):
        keypoints = np.zeros(shape)
        odd = list(range(len(rows)))
    broken = set()
    for row in odd:
        where = f"annotation {records[row]['id']}"
        try:
            values, missing = complete_keypoints(rows[row])
        except ValueError as error:
            problems.append(Problem(path, where, str(error)))
            broken.add(row)
            values, missing = empty, 0
        keypoints[row] = np.reshape(values, (num_joints, 3))
        if missing:
            text = f"{quantity(missing, 'keypoint')} without coordinates read as unlabeled"
            problems.append(note(path, where, text))
    # DeepLabCut writes -1 for keypoints that were not annotated in an image.
    negative = (keypoints[..., 2] < 0).sum(1)
    for row in np.flatnonzero(negative).tolist():
        text = f"{quantity(negative[row], 'keypoint')} with a negative flag read as unlabeled"
        problems.append(note(path, f"annotation {records[row]['id']}", text))
    keypoints[keypoints[..., 2] < 0] = 0
    return keypoints, broken


def _malformed(record: dict[str, Any], num_joints: int) -> str | None:
    """Returns what is wrong with the form of keypoints, box or area, or None.

    Only the number of keypoint values is checked here; `_parse_keypoints` reads the values of all
    people at once.
    """
    keypoints, box, area = (record.get(key) for key in ("keypoints", "bbox", "area"))
    if not is_nothing(keypoints) and keypoints != []:
        if not isinstance(keypoints, list) or len(keypoints) != 3 * num_joints:
            size = len(keypoints) if isinstance(keypoints, list) else repr(keypoints)
            return (
                f"keypoints must be {3 * num_joints} numbers (x, y, flag of {num_joints} "
                f"keypoints), not {size}"
            )
    if not is_missing_box(box) and not numbers(box, 4):
        return f"bbox must be 4 finite numbers (x, y, w, h), not {box!r}"
    if not is_nothing(area) and not is_number(area):
        return f"area must be a finite number, not {area!r}"
    return None
