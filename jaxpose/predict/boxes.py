"""Person boxes from a file, or from the poses of a bottom-up network."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import numpy as np

from jaxpose.annotations.records import is_int, is_number, label, missing_keys, numbers
from jaxpose.poses import Poses, extent

# Margin on each side of the keypoints' extent, as a fraction of the extent. COCO's annotated boxes
# are about that much larger, because they contain the whole hands, feet and head.
MARGIN = 0.125
FEWEST = 3  # keypoints needed for a box; fewer do not show the size of a person


def around(poses: Poses) -> np.ndarray:
    """Returns boxes [n, 4] around the people of a bottom-up network, for a top-down network.

    A box is the extent of a person's keypoints with a margin, at least one pixel wide and high.
    People with fewer than three keypoints get no box, so n may be less than N.
    """
    enough = poses.present.sum(axis=1) >= FEWEST
    x, y, width, height = extent(poses.keypoints[enough], poses.present[enough]).T
    boxes = [x - MARGIN * width, y - MARGIN * height, width, height]
    boxes[2:] = [np.maximum(side * (1 + 2 * MARGIN), 1) for side in boxes[2:]]
    return np.stack(boxes, axis=1)


class Boxes:
    """Person boxes by image, from a JSON file in COCO's dataset or results format.

    The file is a dataset ({"images": ..., "annotations": [{"image_id", "bbox"}]}) or a list of
    detections ([{"bbox", "score", "file_name" or "image_id"}]). Without a file name, image_id is
    the number in the name of the image, as in COCO: image 785 is 000000000785.jpg.

    Args:
      path: the file.
      threshold: minimum score; boxes with a lower score or marked as a crowd are left out.

    Raises:
      ValueError: the file is not JSON or has another form, or a record names no image, has no box
        (x, y, w, h) of four numbers, or has an empty box and is not left out. The message is one
        line with the file, the record and the rule.
    """

    def __init__(self, path: str | pathlib.Path, threshold: float = 0.0):
        try:
            content = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{path}: cannot be read as JSON: {error}") from None
        kind, images, records = "detection", [], content
        if isinstance(content, dict):
            kind, images = "annotation", content.get("images", [])
            records = content.get("annotations")
        if not isinstance(images, list) or not isinstance(records, list):
            raise ValueError(
                f"{path}: file: must be a list of boxes, or an object with the lists 'images' and "
                "'annotations'"
            )
        names: dict[int | str, str] = {}
        for index, image in enumerate(images):
            rule = _malformed_image(image)
            if rule:
                raise ValueError(f"{path}: {label('image', index, image)}: {rule}")
            names[image["id"]] = image["file_name"]
        self._by_name: dict[str, list[list[float]]] = {}
        for index, record in enumerate(records):
            rule = _malformed_box(record)
            if rule is None:
                if record.get("iscrowd") or record.get("score", 1.0) < threshold:
                    continue
                if min(record["bbox"][2:]) <= 0:
                    rule = f"box {record['bbox']} is empty: width and height must be positive"
            if rule:
                raise ValueError(f"{path}: {label(kind, index, record)}: {rule}")
            name = record.get("file_name") or names.get(record["image_id"])
            key = pathlib.Path(name).stem if name else str(record["image_id"])
            box = list(map(float, record["bbox"]))
            self._by_name.setdefault(key.lstrip("0") or "0", []).append(box)

    def __len__(self) -> int:
        """Number of boxes of all images."""
        return sum(map(len, self._by_name.values()))

    def of(self, image: pathlib.Path) -> np.ndarray:
        """Returns the boxes [N, 4] of an image file; N = 0 if it has none."""
        boxes = self._by_name.get(image.stem.lstrip("0") or "0", [])
        return np.asarray(boxes, np.float32).reshape(-1, 4)


def _malformed_image(image: Any) -> str | None:
    """Returns what is wrong with the form of an image's record, or None."""
    rule = missing_keys(image, ("id", "file_name"))
    if rule:
        return rule
    if not _is_identity(image["id"]):
        return f"id must be an integer or a string, not {image['id']!r}"
    if not isinstance(image["file_name"], str) or not image["file_name"]:
        return f"file_name must be a non-empty string, not {image['file_name']!r}"
    return None


def _malformed_box(record: Any) -> str | None:
    """Returns what is wrong with the form of a box's record, or None; a box may be empty."""
    rule = missing_keys(record, ("bbox",))
    if rule:
        return rule
    if not numbers(record["bbox"], 4):
        return f"bbox must be 4 finite numbers (x, y, w, h), not {record['bbox']!r}"
    if not is_number(record.get("score", 1.0)):
        return f"score must be a finite number, not {record['score']!r}"
    name, identity = record.get("file_name"), record.get("image_id")
    if name:
        return None if isinstance(name, str) else f"file_name must be a string, not {name!r}"
    if identity is None:
        return "names no image: it needs file_name or image_id"
    if not _is_identity(identity):
        return f"image_id must be an integer or a string, not {identity!r}"
    return None


def _is_identity(value: Any) -> bool:
    return is_int(value) or isinstance(value, str)
