"""Predictions as JSON: a dataset in COCO keypoint format, or the frames of a video."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Container, Sequence
from typing import Any

import numpy as np

from jaxpose.annotations.detections import UPRIGHT
from jaxpose.poses import Poses
from jaxpose.skeletons import Skeleton


def coco_document(
    records: Sequence[tuple[pathlib.PurePath, tuple[int, int], Poses]],
    skeleton: Skeleton,
    upright: Container[pathlib.PurePath] = (),
) -> dict[str, Any]:
    """Converts predictions to a dataset that pycocotools and `jaxpose data` can read.

    Args:
      records: (file name, (H, W), Poses) of each image; the name may have folders. If all names
        are different numbers, as in COCO, they are the ids of the images; otherwise ids count from
        1.
      skeleton: keypoints of the poses.
      upright: names of images that were rotated by an EXIF orientation that does not change their
        size; they are marked with "exif_upright", which `jaxpose predict --boxes` reads.

    Returns:
      {"images", "categories", "annotations"}; the keypoints of an annotation are (x, y, 2), or
      zeros for a missing keypoint. `score` is the score of the person, `keypoint_scores` those of
      its keypoints.
    """
    stems = [path.stem for path, *_ in records]
    # isdecimal() also accepts the digits of other scripts, which image ids never have.
    numbers = [int(stem) if stem.isascii() and stem.isdecimal() else -1 for stem in stems]
    if -1 in numbers or len(set(numbers)) < len(numbers):
        numbers = list(range(1, len(records) + 1))
    document: dict[str, Any] = {
        "images": [],
        "categories": [_category(skeleton)],
        "annotations": [],
    }
    for number, (path, (height, width), poses) in zip(numbers, records, strict=True):
        image = {"id": number, "file_name": path.as_posix(), "height": height, "width": width}
        document["images"].append(image | ({UPRIGHT: True} if path in upright else {}))
        for person in range(len(poses)):
            record = {"id": len(document["annotations"]) + 1, "image_id": number}
            document["annotations"].append(record | _person(poses, person))
    return document


def video_document(
    name: str,
    size: tuple[int, int],
    rate: float,
    every: int,
    frames: Sequence[str],
    skeleton: Skeleton,
) -> str:
    """Puts the records of a video's frames together, as JSON.

    Args:
      name: of the video.
      size: (H, W) of its frames, pixels.
      rate: frames per second of the written video.
      every: interval between the frames with a record.
      frames: of `frame_record`.
      skeleton: keypoints of the poses.
    """
    head = {
        "video": name,
        "height": size[0],
        "width": size[1],
        "frames_per_second": rate,
        "every": every,
        "categories": [_category(skeleton)],
    }
    return f'{json.dumps(head)[:-1]}, "frames": [\n' + ",\n".join(frames) + "\n]}\n"


def frame_record(index: int, seconds: float, poses: Poses) -> str:
    """The poses in a frame as JSON: its index from 0, its time in the video, and the people.

    A person has the keys of an annotation of `coco_document`.
    """
    people = [_person(poses, person) for person in range(len(poses))]
    return json.dumps({"frame": index, "time": round(seconds, 4), "people": people})


def _category(skeleton: Skeleton) -> dict[str, Any]:
    category: dict[str, Any] = {
        "id": 1,
        "name": "person",
        "keypoints": list(skeleton.joints),
        "skeleton": [[a + 1, b + 1] for a, b in skeleton.limbs],
        "sigmas": list(skeleton.sigmas),
    }
    if skeleton.declared_pairs is not None:
        names = skeleton.joints
        category["flip_pairs"] = [[names[a], names[b]] for a, b in skeleton.declared_pairs]
    return category


def _person(poses: Poses, person: int) -> dict[str, Any]:
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
