"""Rules for missing and unusual values in the records of an annotation file.

The reader of annotation files and the metrics share these rules, so both see the same people:

* Ids: 1.0 and "1" are read as the integer 1. Other strings are numbered.
* A keypoint without coordinates (null, NaN, infinite) is unlabeled.
* A missing box (also null or all zeros) is the extent of the labeled keypoints.
* A missing area (also null or 0) is `BOX_AREA` of the box, as in CrowdPose.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

# Area of a person relative to the box if a file has no area (CrowdPose's definition).
BOX_AREA = 0.53


class Ids:
    """Integer ids for the ids of a list of records.

    Attributes:
      original: integer -> id in the file, where they differ.
    """

    def __init__(self, records: Iterable[Any]) -> None:
        given = [r["id"] for r in records if isinstance(r, dict) and r.get("id") is not None]
        keys = {key: value for value in given if (key := id_key(value)) is not None}
        used = {key for key in keys if isinstance(key, int)}
        free = (number for number in itertools.count() if number not in used)
        self._numbers = {key: next(free) for key in keys if isinstance(key, str)}
        self.original: dict[int, Any] = {}
        for key, value in keys.items():
            number = key if isinstance(key, int) else self._numbers[key]
            if isinstance(value, str) or value != number:
                self.original[number] = value

    def __call__(self, value: Any) -> int | None:
        """Returns the integer of an id; None for a text that no record has, or another type."""
        key = id_key(value)
        return self._numbers.get(key) if isinstance(key, str) else key


def id_key(value: Any) -> int | str | None:
    """The same key for 12, 12.0 and "12"; None if a JSON value is no integer and no text."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and str(int(value)) == value:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        return None
    # Arrays of ids are int64; longer numbers, e.g. hashes, are read as strings.
    return value if isinstance(value, str) or -(2**63) <= value < 2**63 else str(value)


def is_nothing(value: Any) -> bool:
    """Whether a JSON value is missing: null, NaN or infinite."""
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def complete_keypoints(values: list[Any]) -> tuple[list[float], int]:
    """Reads the keypoints of one person, with zeros for unlabeled keypoints.

    Args:
      values: x, y, flag of each keypoint.

    Returns:
      The numbers, and how many keypoints lack coordinates or a flag.

    Raises:
      ValueError: a value of a labeled keypoint is not a number.
    """
    complete: list[float] = []
    missing = 0
    for x, y, flag in zip(values[0::3], values[1::3], values[2::3], strict=True):
        absent = any(map(is_nothing, (x, y, flag)))
        missing += absent
        if absent or flag == 0:
            complete += [0.0, 0.0, 0.0]
            continue
        for value in (x, y, flag):
            if not isinstance(value, int | float):
                raise ValueError(f"keypoints must be numbers, not {value!r}")
            complete.append(float(value))
    return complete, missing


def is_missing_box(box: Any) -> bool:
    """Whether a box is missing: null, [], a null or NaN in it, or zero width and height."""
    if is_nothing(box):
        return True
    if not isinstance(box, list) or len(box) not in (0, 4):
        return False
    return not box or any(map(is_nothing, box)) or (box[2] == 0 and box[3] == 0)


def box_of(keypoints: np.ndarray) -> list[float]:
    """Returns the extent (x, y, w, h) of labeled keypoints [K, 3]; zeros if there are none.

    The crop is 1.25 times as large.
    """
    points = np.asarray(keypoints, np.float64).reshape(-1, 3)
    points = points[points[:, 2] > 0, :2]
    if not len(points):
        return [0.0] * 4
    low, high = points.min(0), points.max(0)
    return [*low.tolist(), *(high - low).tolist()]


def area_of(box: Any) -> Any:
    """Returns the area to use if none is given: `BOX_AREA` of boxes [..., 4] (x, y, w, h).

    For a box with zero width or height, the other side is used for both.
    """
    width, height = np.moveaxis(np.asarray(box, np.float64)[..., 2:], -1, 0)
    width, height = np.where(width > 0, width, height), np.where(height > 0, height, width)
    return BOX_AREA * width * height


def clip_box(box: Any, image_size: tuple[float, float]) -> tuple[float, float, float, float] | None:
    """Like `geometry.clip_box`, but keeps thin boxes, where one side is at most one pixel.

    Two keypoints at the same height have such a box. The other side gives the size of its crop.

    Args:
      box: (x, y, w, h) in pixels.
      image_size: (H, W) of the image; infinite if it is not known.
    """
    x, y, width, height = (float(value) for value in box)
    left, top = max(0.0, x), max(0.0, y)
    right = min(image_size[1] - 1.0, left + max(0.0, width - 1))
    bottom = min(image_size[0] - 1.0, top + max(0.0, height - 1))
    wide = right > left or (right == left and 0 <= width <= 1)
    high = bottom > top or (bottom == top and 0 <= height <= 1)
    if not (wide and high) or (right == left and bottom == top):
        return None
    return left, top, right - left, bottom - top
