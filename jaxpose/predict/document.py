"""Predictions as a dataset in COCO keypoint format."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxpose.poses import Poses
from jaxpose.skeletons import Skeleton


def coco_document(
    records: Sequence[tuple[pathlib.Path, tuple[int, int], Poses]], skeleton: Skeleton
) -> dict[str, Any]:
    """Converts predictions to a dataset that pycocotools and `jaxpose data` can read.

    Args:
      records: (file, (H, W), Poses) of each image. If all file names are different numbers, as in
        COCO, they are the ids of the images; otherwise ids count from 1.
      skeleton: keypoints of the poses.

    Returns:
      {"images", "categories", "annotations"}; the keypoints of an annotation are (x, y, 2), or
      zeros for a missing keypoint. `score` is the score of the person, `keypoint_scores` those of
      its keypoints.
    """
    numbers = [int(path.stem) if path.stem.isdigit() else -1 for path, *_ in records]
    if -1 in numbers or len(set(numbers)) < len(numbers):
        numbers = list(range(1, len(records) + 1))
    document: dict[str, Any] = {
        "images": [],
        "categories": [
            {
                "id": 1,
                "name": "person",
                "keypoints": list(skeleton.joints),
                "skeleton": [[a + 1, b + 1] for a, b in skeleton.limbs],
                "sigmas": list(skeleton.sigmas),
            }
        ],
        "annotations": [],
    }
    for number, (path, (height, width), poses) in zip(numbers, records, strict=True):
        document["images"].append(
            {"id": number, "file_name": path.name, "height": height, "width": width}
        )
        for person in range(len(poses)):
            record = {"id": len(document["annotations"]) + 1, "image_id": number}
            document["annotations"].append(record | _annotation(poses, person))
    return document


def _annotation(poses: Poses, person: int) -> dict[str, Any]:
    present, box = poses.present[person], poses.boxes[person].astype(float)
    keypoints = np.concatenate([poses.keypoints[person], np.full((len(present), 1), 2.0)], axis=1)
    keypoints[~present] = 0
    return {
        "category_id": 1,
        "iscrowd": 0,
        "keypoints": np.round(keypoints, 3).ravel().tolist(),
        "num_keypoints": int(present.sum()),
        "keypoint_scores": np.round(poses.scores[person].astype(float), 5).tolist(),
        "score": round(float(poses.person_scores[person]), 6),
        "bbox": np.round(box, 3).tolist(),
        "area": round(float(box[2] * box[3]), 3),
    }
