"""COCO-WholeBody files, rewritten as ordinary files in COCO keypoint format.

    python -m jaxpose.annotations.wholebody coco_wholebody_val_v1.0.json wholebody_val.json
    python -m jaxpose.annotations.wholebody coco_wholebody_val_v1.0.json hands_val.json --hands

Jin et al., Whole-Body Human Pose Estimation in the Wild, ECCV 2020. A record of these files has the
keypoints of a person in five lists, of which a reader of COCO's format sees the 17 of the body. The
first command joins them to 133 keypoints, in the order of mmpose and of the public weights. The
second makes a record of 21 keypoints of every hand that is marked as valid, with the box of the
hand. Both write the names and the sigmas of the keypoints, so that all commands can read the file.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from jaxpose import public_skeletons
from jaxpose.annotations import AnnotationError, read_json
from jaxpose.annotations.records import label, missing_keys, numbers
from jaxpose.files import check_outputs, path_argument, write_atomic
from jaxpose.skeletons import Skeleton, category_with_joints
from jaxpose.wording import quantity

# The lists of a record and their lengths, in the order in which they are joined.
PARTS = {
    "keypoints": 17,
    "foot_kpts": 6,
    "face_kpts": 68,
    "lefthand_kpts": 21,
    "righthand_kpts": 21,
}
HANDS = ("lefthand", "righthand")


def whole_bodies(data: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a COCO-WholeBody file with 133 keypoints per person.

    `num_keypoints`, the number of labeled keypoints, is counted again; box, area and segmentation
    stay those of the person.

    Args:
      data: parsed JSON of an official file.

    Raises:
      ValueError: a record lacks a part, or a part has another length.
    """
    _check(data)
    people = []
    for index, record in enumerate(data["annotations"]):
        joined: list[Any] = []
        for part in PARTS:
            joined += _part(record, index, part)
        others = {key: value for key, value in record.items() if key not in PARTS}
        people.append(others | {"keypoints": joined, "num_keypoints": _labeled(joined)})
    return _file(data, public_skeletons.BY_DATASET["coco-wholebody"], people)


def hands(data: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a COCO-WholeBody file with a record for each valid hand.

    A hand counts if its person is no crowd region, the file calls it valid, and at least one of its
    21 keypoints is labeled. Its id is that of the person with the side, such as "425226 lefthand".
    Its area is that of its box.

    Args:
      data: parsed JSON of an official file.

    Raises:
      ValueError: a record lacks a hand, or its keypoints have another number.
    """
    _check(data)
    found = []
    for index, record in enumerate(data["annotations"]):
        if record.get("iscrowd"):
            continue
        for hand in HANDS:
            keypoints = _part(record, index, f"{hand}_kpts")
            labeled = _labeled(keypoints)
            if not record.get(f"{hand}_valid") or not labeled:
                continue
            box = record.get(f"{hand}_box")
            if not numbers(box, 4):
                where = label("annotation", index, record)
                raise ValueError(f"{where}: {hand}_box must be [x, y, width, height], not {box!r}")
            found.append(
                {
                    "id": f"{record['id']} {hand}",
                    "image_id": record["image_id"],
                    "category_id": record["category_id"],
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                    "keypoints": keypoints,
                    "num_keypoints": labeled,
                }
            )
    return _file(data, public_skeletons.BY_DATASET["coco_wholebody_hand"], found)


def _check(data: Any) -> None:
    parts = ("images", "annotations", "categories")
    rule = missing_keys(data, parts)
    if rule:
        raise ValueError(rule)
    for part in parts:
        if not isinstance(data[part], list):
            raise ValueError(f"{part!r} must be a list, not {data[part]!r:.40}")
    for index, record in enumerate(data["annotations"]):
        rule = missing_keys(record, ("id", "image_id", "category_id"))
        if rule:
            raise ValueError(f"{label('annotation', index, record)}: {rule}")


def _part(record: Mapping[str, Any], index: int, part: str) -> list[Any]:
    """The list x, y, flag, x, y, flag, ... of a part of the body.

    The flags of feet, faces and hands are numbers from 0 to 2 in the official files; "v>0 means
    that the keypoint is reliable" (their data_format.md). COCO's format has 0, 1 and 2 only.
    """
    values: Any = record.get(part)
    if not numbers(values, 3 * PARTS[part]):
        found = f"a list of {len(values)}" if isinstance(values, list) else repr(values)
        if isinstance(values, list) and len(values) == 3 * PARTS[part]:
            found = "one with other values"
        raise ValueError(
            f"{label('annotation', index, record)}: {part} must be a list of {3 * PARTS[part]} "
            f"numbers, not {found}; is this a COCO-WholeBody file?"
        )
    flags = [0 if flag <= 0 else flag if flag in (1, 2) else 2 for flag in values[2::3]]
    points = zip(values[::3], values[1::3], flags, strict=True)
    return [number for point in points for number in point]


def _labeled(keypoints: Sequence[Any]) -> int:
    return sum(flag > 0 for flag in keypoints[2::3])


def _file(data: Mapping[str, Any], skeleton: Skeleton, records: list[Any]) -> dict[str, Any]:
    """`data` with other records, and with a category that describes their keypoints."""
    category = {
        "keypoints": list(skeleton.joints),
        "skeleton": [[a + 1, b + 1] for a, b in skeleton.limbs],
        "sigmas": list(skeleton.sigmas),
    }
    if skeleton.declared_pairs is not None:
        category["flip_pairs"] = [list(pair) for pair in skeleton.declared_pairs]
    people = category_with_joints(data["categories"]) or {"id": 1}
    return {
        **data,
        "categories": [{**people, "name": skeleton.name, **category}],
        "annotations": records,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m jaxpose.annotations.wholebody",
        description="rewrite a COCO-WholeBody file in COCO keypoint format",
    )
    parser.add_argument("file", type=path_argument, help="official annotation file")
    parser.add_argument("output", type=path_argument, help="file to write")
    parser.add_argument("--hands", action="store_true", help="hands instead of whole bodies")
    args = parser.parse_args(arguments)
    try:
        check_outputs([args.output], [args.file])
        data = read_json(args.file)
        try:
            rewritten = (hands if args.hands else whole_bodies)(data)
        except ValueError as error:
            raise AnnotationError(f"{args.file}: {error}") from None
        write_atomic(args.output, json.dumps(rewritten))
    except (ValueError, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    count = len(rewritten["annotations"])
    what = quantity(count, "hand") if args.hands else quantity(count, "record")
    print(f"{args.output}: {what} in {quantity(len(rewritten['images']), 'image')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
