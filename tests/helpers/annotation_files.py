"""Small annotation files, and their problems."""

import copy
import json

from jaxpose import annotations, skeletons


def problems(path, dataset=None):
    return [str(problem) for problem in annotations.check(path, dataset)]


def coco_file(**changes):
    """A valid file: two images, one person; `changes` replace top-level entries."""
    keypoints = [0.0] * 51
    keypoints[0:3] = [30, 40, 2]
    keypoints[15:18] = [20, 60, 1]
    keypoints[18:21] = [99, 99, 0]
    person = {
        "id": 7, "image_id": 1, "category_id": 1, "iscrowd": 0, "num_keypoints": 2,
        "bbox": [10, 20, 50, 60], "area": 1500.0, "keypoints": keypoints,
    }  # fmt: skip
    data = {
        "images": [
            {"id": 1, "file_name": "a.jpg", "height": 100, "width": 80},
            {"id": 2, "file_name": "b.jpg", "height": 50, "width": 60},
        ],
        "annotations": [person],
        "categories": [{"id": 1, "name": "person", "keypoints": list(skeletons.COCO.joints)}],
    }
    return data | changes


def person(**changes):
    return copy.deepcopy(coco_file()["annotations"][0]) | changes


def mpii_record(**changes):
    record = {
        "image": "x.jpg", "center": [100.0, 200.0], "scale": 2.0,
        "joints": [[10.0 + k, 20.0] for k in range(16)], "joints_vis": [1] * 15 + [0],
    }  # fmt: skip
    return record | changes


def save(folder, data, name="a.json"):
    path = folder / name
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def load(folder, data):
    return annotations.load(save(folder, data), image_dir=folder)


def without(record, key):
    return {k: v for k, v in record.items() if k != key}
