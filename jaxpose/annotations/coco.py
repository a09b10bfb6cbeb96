"""COCO keypoint format: official COCO, or any file with its own skeleton."""

from __future__ import annotations

import collections
from typing import Any

import numpy as np

from jaxpose import geometry, skeletons
from jaxpose.annotations import regions
from jaxpose.annotations.records import (
    ImageInfo,
    People,
    Problem,
    as_numbers,
    is_int,
    is_number,
    label,
    missing_keys,
    numbers,
)


def parse(path: str, data: Any) -> tuple[dict[str, Any] | None, list[Problem]]:
    """Parses a file in COCO keypoint format and collects every rule that it breaks.

    Args:
      path: path of the file, used only in the text of the problems.
      data: parsed JSON.

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
    category = skeletons.category_with_joints(data["categories"])
    if category is None:
        return None, [Problem(path, "categories", "none has keypoint names under 'keypoints'")]
    if not is_int(category.get("id")):
        return None, [Problem(path, "categories", "the person category lacks an integer 'id'")]
    try:
        skeleton = skeletons.from_coco_category(category)
    except ValueError as error:
        return None, [Problem(path, f"category {category['id']}", str(error))]

    images = parse_images(path, data["images"], problems)
    people = _parse_people(
        path, data["annotations"], category["id"], skeleton.num_joints, images, problems
    )
    fields = {
        "format": "coco",
        "skeleton": skeleton,
        "category_id": category["id"],
        "images": images,
        "crowd_index": {},
    }
    return fields | people, problems


def parse_images(path: str, records: list[Any], problems: list[Problem]) -> dict[int, ImageInfo]:
    """Returns the images by id, and appends what is wrong with the others to `problems`."""
    images: dict[int, ImageInfo] = {}
    for index, record in enumerate(records):
        rule = missing_keys(record, ("id", "file_name", "height", "width"))
        if rule is None:
            identity, name = record["id"], record["file_name"]
            size = record["height"], record["width"]
            if not is_int(identity):
                rule = f"'id' must be an integer, not {identity!r}"
            elif identity in images:
                rule = f"duplicate id (already {images[identity].file_name!r})"
            elif not isinstance(name, str) or not name:
                rule = f"'file_name' must be a non-empty string, not {name!r}"
            elif not all(is_number(side) and side >= 1 for side in size):
                rule = f"height and width must be positive numbers, not {size[0]!r} and {size[1]!r}"
            else:
                images[identity] = ImageInfo(identity, name, int(size[0]), int(size[1]))
        if rule:
            problems.append(Problem(path, label("image", index, record), rule))
    return images


def _parse_people(
    path: str,
    records: list[Any],
    category_id: int,
    num_joints: int,
    images: dict[int, ImageInfo],
    problems: list[Problem],
) -> dict[str, Any]:
    """Returns the fields of `Dataset` that come from the records of people."""
    skipped: collections.Counter[str] = collections.Counter()
    known_ids: set[int] = set()
    with_people: set[int] = set()
    kept: list[dict[str, Any]] = []
    unlabeled: list[dict[str, Any]] = []
    for index, record in enumerate(records):
        rule = missing_keys(record, ("id", "image_id", "category_id"))
        if rule is None and record["category_id"] != category_id:
            skipped["of another category"] += 1
            continue
        if rule is None:
            if not is_int(record["id"]):
                rule = f"'id' must be an integer, not {record['id']!r}"
            elif record["id"] in known_ids:
                rule = "duplicate id"
            elif not is_int(record["image_id"]) or record["image_id"] not in images:
                rule = f"unknown image id {record['image_id']!r}"
            else:
                known_ids.add(record["id"])
                with_people.add(record["image_id"])
        if rule is None:
            rule = missing_keys(record, ("keypoints", "bbox")) or _malformed(record, num_joints)
            if record.get("iscrowd"):
                skipped["crowd regions"] += 1
                unlabeled.append(record)
                if rule or not any(record["keypoints"][2::3]):
                    continue  # without keypoints it is only a region
        if rule:
            problems.append(Problem(path, label("annotation", index, record), rule))
        else:
            kept.append(record)

    # Converted at once for all people: a COCO file has 150,000.
    keypoints = as_numbers([record["keypoints"] for record in kept], 3 * num_joints)
    keypoints = keypoints.reshape(len(kept), num_joints, 3)
    finite = np.all(np.isfinite(keypoints), axis=(1, 2))
    flags = np.all(np.isin(keypoints[..., 2], (0, 1, 2)), axis=1)
    keypoints[..., 2] = np.minimum(keypoints[..., 2], 1)
    keypoints[keypoints[..., 2] <= 0] = 0
    labeled = np.any(keypoints[..., 2], axis=1)
    boxes = np.zeros((len(kept), 4))
    usable = np.zeros(len(kept), bool)
    for row, record in enumerate(kept):
        rule = reason = None
        if not finite[row]:
            rule = "keypoints must be finite numbers"
        elif not flags[row]:
            rule = "visibility flags must be 0, 1 or 2"
        elif not labeled[row] or record.get("num_keypoints") == 0:
            labeled[row] = False
            unlabeled.append(record)
            rule, reason = "no labeled keypoints", "without labeled keypoints"
        else:
            info = images[record["image_id"]]
            box = geometry.clip_box(record["bbox"], info.size)
            if box is not None:
                boxes[row] = box
            if record.get("iscrowd"):
                continue  # counted above
            if box is None or not record.get("area", 1) > 0:
                size = f"{info.width} x {info.height}"
                rule = f"box {record['bbox']} is empty or outside the image ({size})"
                reason = "with an empty box"
            else:
                usable[row] = True
        if rule:
            problems.append(Problem(path, f"annotation {record['id']}", rule, fatal=reason is None))
        if reason:
            skipped[reason] += 1
    people = People(
        annotation_id=np.array([record["id"] for record in kept], np.int64),
        image_id=np.array([record["image_id"] for record in kept], np.int64),
        box=boxes,
        keypoints=keypoints.astype(np.float32),
        box_score=np.ones(len(kept), np.float32),
    )
    return {
        "people": people.select(usable),
        "labeled": people.select(labeled),
        "with_people": tuple(identity for identity in images if identity in with_people),
        "regions": _parse_regions(path, unlabeled, images, problems),
        "skipped": dict(skipped),
    }


def _parse_regions(
    path: str, records: list[dict[str, Any]], images: dict[int, ImageInfo], problems: list[Problem]
) -> dict[int, list[regions.Segmentation]]:
    """Returns image id -> segmentations; a record without a segmentation has no region."""
    result: dict[int, list[regions.Segmentation]] = {}
    for record in records:
        segmentation = record.get("segmentation")
        if not segmentation:
            continue
        info = images[record["image_id"]]
        rule = regions.malformed(segmentation, info.size)
        if rule:
            problems.append(Problem(path, f"annotation {record['id']}", rule, fatal=False))
        else:
            result.setdefault(info.id, []).append(regions.compact(segmentation))
    return result


def _malformed(record: dict[str, Any], num_joints: int) -> str | None:
    """Returns what is wrong with the form of keypoints, box or area, or None.

    Only the number of keypoint values is checked here; `_parse_people` checks the values of all
    people at once.
    """
    keypoints = record["keypoints"]
    if not isinstance(keypoints, list) or len(keypoints) != 3 * num_joints:
        size = len(keypoints) if isinstance(keypoints, list) else repr(keypoints)
        return (
            f"keypoints must be {3 * num_joints} numbers (x, y, flag of {num_joints} keypoints), "
            f"not {size}"
        )
    if not numbers(record["bbox"], 4):
        return f"bbox must be 4 finite numbers (x, y, w, h), not {record['bbox']!r}"
    if not is_number(record.get("area", 1)):
        return f"area must be a finite number, not {record['area']!r}"
    return None
