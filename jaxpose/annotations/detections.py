"""Boxes of a person detector in COCO results format."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxpose.annotations.records import (
    Dataset,
    People,
    Problem,
    is_number,
    missing_keys,
    numbers,
)


def parse(path: str, data: Any, dataset: Dataset) -> tuple[People | None, list[Problem]]:
    """Returns (boxes of the dataset's category, problems); no boxes if `data` is not a list."""
    problems: list[Problem] = []
    if not isinstance(data, list):
        return None, [Problem(path, "file", "must be a list of detected boxes")]
    kept = []
    for index, record in enumerate(data):
        fatal, rule = True, missing_keys(record, ("image_id", "category_id", "bbox", "score"))
        if rule is None:
            if record["category_id"] != dataset.category_id:
                continue
            if record["image_id"] not in dataset.images:
                rule = f"unknown image id {record['image_id']!r} (not in {dataset.path.name})"
            elif not numbers(record["bbox"], 4):
                rule = f"bbox must be 4 finite numbers (x, y, w, h), not {record['bbox']!r}"
            elif not is_number(record["score"]):
                rule = f"score must be a finite number, not {record['score']!r}"
            elif max(record["bbox"][2:]) <= 0:
                fatal, rule = False, f"box {record['bbox']} is empty"
        if rule:
            problems.append(Problem(path, f"detection number {index}", rule, fatal))
        else:
            kept.append(record)
    count = len(kept)
    people = People(
        annotation_id=np.arange(count, dtype=np.int64),
        image_id=np.array([record["image_id"] for record in kept], np.int64),
        box=np.reshape(np.array([record["bbox"] for record in kept], np.float64), (-1, 4)),
        keypoints=np.zeros((count, dataset.skeleton.num_joints, 3), np.float32),
        box_score=np.array([record["score"] for record in kept], np.float32),
    )
    return people, problems
