"""MPII in the JSON form of the HRNet project."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxpose import geometry, skeletons
from jaxpose.annotations.completion import is_nothing
from jaxpose.annotations.records import (
    ImageInfo,
    People,
    Problem,
    is_number,
    missing_keys,
    note,
    numbers,
)
from jaxpose.annotations.sizes import ReadSizes
from jaxpose.wording import quantity


def parse(
    path: str, data: Any, category: str = "", read_sizes: ReadSizes | None = None
) -> tuple[dict[str, Any] | None, list[Problem]]:
    """Like `coco.parse`, for a list of MPII records, which have no category and need no sizes."""
    del category, read_sizes
    problems: list[Problem] = []
    skeleton = skeletons.MPII
    if not isinstance(data, list):
        return None, [Problem(path, "file", "must be a list of MPII records")]
    images: dict[str, ImageInfo] = {}
    rows: list[tuple[Any, ...]] = []
    for index, record in enumerate(data):
        rule = missing_keys(record, ("image", "center", "scale", "joints", "joints_vis"))
        if rule is None:
            rule = _malformed_mpii(record, skeleton.num_joints)
        if rule:
            problems.append(Problem(path, f"record {index}", rule))
            continue
        name = record["image"].replace("\\", "/")  # as Windows separates folders
        info = images.setdefault(name, ImageInfo(len(images), name, None, None, False))
        points, flags, missing = _complete(record)
        rows.append((index, info.id, record["center"], record["scale"], points, flags))
        if missing:
            text = f"{quantity(missing, 'joint')} without coordinates read as unlabeled"
            problems.append(note(path, f"record {index}", text))
    row_number, image_id, center, scale, joints, labeled = (
        zip(*rows, strict=True) if rows else ((),) * 6
    )
    given = np.concatenate(
        [np.reshape(np.array(center, np.float64), (-1, 2)), np.reshape(scale, (-1, 1))], axis=1
    )
    located = given[:, 0] != -1
    given[located, 1] += 15 * given[located, 2]
    given[located, 2] *= 1.25
    given[:, :2] -= 1  # the file is 1-based
    keypoints = np.zeros((len(rows), skeleton.num_joints, 3))
    keypoints[..., :2] = np.reshape(np.array(joints, np.float64), (-1, skeleton.num_joints, 2)) - 1
    keypoints[..., 2] = np.reshape(np.array(labeled, np.float64), (-1, skeleton.num_joints))
    keypoints[keypoints[..., 2] <= 0] = 0
    side = geometry.PIXEL_STD * given[:, 2:]
    people = People(
        annotation_id=np.array(row_number, np.int64),
        image_id=np.array(image_id, np.int64),
        box=np.concatenate([given[:, :2] - side / 2, side, side], axis=1),
        keypoints=keypoints.astype(np.float32),
        box_score=np.ones(len(rows), np.float32),
        given=given.astype(np.float32),
    )
    fields = {
        "format": "mpii",
        "skeleton": skeleton,
        "category_id": 1,
        "category_ids": {1: 1},
        "images": {info.id: info for info in images.values()},
        "people": people,
        "labeled": people.select(keypoints[..., 2].any(axis=1)),
        "with_people": tuple(info.id for info in images.values()),
        "regions": {},
        "crowd_index": {},
        "skipped": {},
    }
    return fields, problems


def _complete(record: dict[str, Any]) -> tuple[list[list[float]], list[int], int]:
    """Returns joints, flags, and the number of joints without coordinates, whose flag becomes 0."""
    joints, flags, missing = [], [], 0
    for point, flag in zip(record["joints"], record["joints_vis"], strict=True):
        absent = any(map(is_nothing, point))
        joints.append([0.0, 0.0] if absent else point)
        flags.append(0 if absent else flag)
        missing += absent
    return joints, flags, missing


def _malformed_mpii(record: dict[str, Any], num_joints: int) -> str | None:
    joints, flags = record["joints"], record["joints_vis"]
    if not isinstance(record["image"], str) or not record["image"]:
        return f"'image' must be a file name, not {record['image']!r}"
    if not numbers(record["center"], 2):
        return f"center must be 2 finite numbers, not {record['center']!r}"
    if not is_number(record["scale"]) or record["scale"] <= 0:
        return f"scale must be a positive number, not {record['scale']!r}"
    if not isinstance(joints, list) or len(joints) != num_joints:
        size = len(joints) if isinstance(joints, list) else repr(joints)
        return f"joints must be {num_joints} points (x, y), not {size}"
    if not all(isinstance(point, list) and len(point) == 2 for point in joints) or not all(
        is_nothing(value) or is_number(value) for point in joints for value in point
    ):
        return "joints must be pairs of finite numbers"
    if not isinstance(flags, list) or len(flags) != num_joints:
        size = len(flags) if isinstance(flags, list) else repr(flags)
        return f"joints_vis must be {num_joints} flags, not {size}"
    if not all(flag in (0, 1) for flag in flags):
        return "joints_vis must be 0 or 1"
    return None
