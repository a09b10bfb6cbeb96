"""Where people are: boxes from a file, and boxes around people who were found."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import numpy as np

from jaxpose.predict.people import People

# On either side of the joints' extent, share of it. An annotated box of COCO is about that much
# larger: it has the hands, feet and head in it, not only their joints.
MARGIN = 0.125
FEWEST = 3  # joints that a person must have for a box: fewer do not tell a person's size


def extent(keypoints: np.ndarray, found: np.ndarray) -> np.ndarray:
    """The smallest boxes [N, 4] (x, y, w, h) with all found joints in them; zeros where none is.

    Args:
        keypoints: [N, K, 2] in pixels.
        found: bool [N, K].
    """
    low = np.where(found[..., None], keypoints, np.inf).min(axis=1)
    high = np.where(found[..., None], keypoints, -np.inf).max(axis=1)
    boxes = np.concatenate([low, high - low], axis=1)
    return np.where(found.any(axis=1)[:, None], boxes, 0).astype(np.float32)


def around(people: People) -> np.ndarray:
    """Boxes [n, 4] for a top-down network, of people that a bottom-up one found.

    The extent of each person's joints with a margin, at least one pixel wide and high. People of
    fewer than three found joints have none, so n may be less than N.
    """
    enough = people.found.sum(axis=1) >= FEWEST
    x, y, width, height = extent(people.keypoints[enough], people.found[enough]).T
    boxes = [x - MARGIN * width, y - MARGIN * height, width, height]
    boxes[2:] = [np.maximum(side * (1 + 2 * MARGIN), 1) for side in boxes[2:]]
    return np.stack(boxes, axis=1)


class Boxes:
    """Person boxes by picture, from JSON in any of COCO's forms.

    A dataset ({"images": ..., "annotations": [{"image_id", "bbox"}]}) or a list of detections
    ([{"bbox", "score", "file_name" or "image_id"}]). A record without a file name belongs to the
    picture whose name is its image_id, as in COCO: image 785 is 000000000785.jpg.

    Raises:
        ValueError: not JSON, or a record without a box of four numbers.
    """

    def __init__(self, path: str | pathlib.Path, threshold: float = 0.0):
        try:
            content = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{path}: cannot be read as JSON: {error}") from None
        names: dict[Any, str] = {}
        records = content
        if isinstance(content, dict):
            names = {image["id"]: image["file_name"] for image in content.get("images", [])}
            records = content.get("annotations", [])
        self._by_name: dict[str, list[list[float]]] = {}
        for number, record in enumerate(records):
            box = record.get("bbox", ())
            if len(box) != 4:
                raise ValueError(f"{path}: record {number} has no 'bbox' of four numbers")
            if record.get("iscrowd") or record.get("score", 1.0) < threshold:
                continue
            name = record.get("file_name") or names.get(record.get("image_id"))
            if name is None and "image_id" not in record:
                raise ValueError(f"{path}: record {number} names no picture (file_name, image_id)")
            key = pathlib.Path(name).stem if name else str(record["image_id"])
            self._by_name.setdefault(key.lstrip("0") or "0", []).append(list(map(float, box)))

    def of(self, picture: pathlib.Path) -> np.ndarray:
        """Boxes [N, 4] of a picture, N = 0 when the file has none."""
        found = self._by_name.get(picture.stem.lstrip("0") or "0", [])
        return np.asarray(found, np.float32).reshape(-1, 4)
