"""A dataset of a few small images with a colored dot at every joint, and its configuration."""

import json
import types

import cv2
import numpy as np
import pytest
from ml_collections import ConfigDict

from jaxpose import skeletons
from jaxpose.config import crops, defaults

JOINTS = ("left_shoulder", "right_shoulder", "neck", "left_hip", "right_hip")
COLORS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255))
POINTS = np.array([[70, 30], [40, 30], [55, 20], [66, 80], [45, 82]])


def draw(index, height, width):
    """An image whose five joints, moved by the image's number, are dots of five colors."""
    image = np.full((height, width, 3), 60, np.uint8)
    points = POINTS + index
    for (x, y), color in zip(points.tolist(), COLORS, strict=True):
        cv2.circle(image, (x, y), 4, color, -1)
    return image, points


def write_dataset(root, count=11, name="train"):
    """Writes `count` images (PNG, so that colors are exact) and `<name>.json`."""
    folder = root / "images"
    folder.mkdir(parents=True, exist_ok=True)
    images, people = [], []
    for index in range(count):
        height, width = 120 + index, 130 + 2 * index
        image, points = draw(index, height, width)
        file_name = f"{name}{index:02d}.png"
        cv2.imwrite(str(folder / file_name), image[..., ::-1])
        images.append(
            {"id": 10 * index + 3, "file_name": file_name, "height": height, "width": width}
        )
        keypoints = np.concatenate([points, np.full((5, 1), 2)], axis=1)
        people.append(
            {
                "id": 100 + index, "image_id": 10 * index + 3, "category_id": 1, "iscrowd": 0,
                "bbox": [30 + index, 10 + index, 51, 81], "area": 4000,
                "keypoints": keypoints.ravel().tolist(),
            }
        )  # fmt: skip
    category = {"id": 1, "name": "dots", "keypoints": list(JOINTS)}
    path = root / f"{name}.json"
    path.write_text(json.dumps({"images": images, "annotations": people, "categories": [category]}))
    return path


def make_config(root):
    return ConfigDict(
        {
            "task": "topdown",
            "codec": "gaussian",
            "seed": 0,
            "batch_size": 4,
            "input_size": (64, 48),
            "max_bad_fraction": 0.001,
            "augment": {
                "flip": 0.5, "half_body_prob": 0.3, "half_body_min": 3, "scale": 0.5,
                "rotation": 40.0, "rotation_prob": 0.6, "shift": 0.2, "shift_prob": 0.3,
                "distribution": "clipped", "pixels": defaults(crops.CROPS, "augment.pixels"),
                "last": defaults(crops.CROPS, "augment.last"),
            },
            "epochs": 3.0,
            "data": {
                "format": "coco", "root": str(root), "train_annotations": "train.json",
                "val_annotations": "train.json", "train_images": "images", "val_images": "images",
                "detections": "", "storage": "files", "tfds_dir": str(root / "tfds"),
                "workers": 2, "prefetch": 2, "limit": 0, "cache": False,
                "reduced_decode": "never", "prepared": False, "on_device": False,
                "prepared_dir": str(root / "prepared"),
                "generated": {},
            },
            "eval": {"batch_size": 4},
        }
    )  # fmt: skip


@pytest.fixture
def config(tmp_path):
    write_dataset(tmp_path)
    return make_config(tmp_path)


@pytest.fixture(scope="session")
def dots():
    """The content of the images: `draw`, `points`, `colors`, `skeleton`."""
    return types.SimpleNamespace(
        draw=draw,
        points=POINTS,
        colors=np.array(COLORS),
        skeleton=skeletons.Skeleton("dots", JOINTS, (), (0.1,) * 5),
    )


SECOND = np.array([75, 12])  # offset of the second person from the first
HOLE = (10, 20, 31, 41)  # x1, y1, x2, y2 of a person without labels
CROWD_SIZES = ((150, 200), (200, 150), (120, 220), (150, 200), (160, 160))


def crowd(index):
    """An image of two people as dots and the magenta square of a person without labels, and the
    joints [2, 5, 2]."""
    height, width = CROWD_SIZES[index % len(CROWD_SIZES)]
    image = np.full((height, width, 3), 60 + index, np.uint8)
    image[HOLE[1] : HOLE[3], HOLE[0] : HOLE[2]] = (255, 0, 255)
    points = POINTS + np.array([[[0, 0]], [SECOND]]) + (index % 3)
    for person in points.tolist():
        for (x, y), color in zip(person, COLORS, strict=True):
            cv2.circle(image, (x, y), 4, color, -1)
    return image, points


def write_crowds(root, count=7, name="train"):
    """Writes `count` images of `crowd`, one without people, and `<name>.json`."""
    folder = root / "images"
    folder.mkdir(parents=True, exist_ok=True)
    images, people = [], []

    def add(image_id, **record):
        common = {"id": len(people) + 1, "image_id": image_id, "category_id": 1, "iscrowd": 0}
        people.append(common | record)

    for index in range(count + 1):
        image, points = crowd(index)
        file_name = f"{name}{index:02d}.png"
        cv2.imwrite(str(folder / file_name), image[..., ::-1])
        height, width = image.shape[:2]
        image_id = 10 * index + 3
        images.append({"id": image_id, "file_name": file_name, "height": height, "width": width})
        if index == count:
            continue
        x1, y1, x2, y2 = HOLE
        add(image_id, bbox=[x1, y1, x2 - x1, y2 - y1], keypoints=[0] * 15, num_keypoints=0,
            segmentation=[[x1, y1, x2, y1, x2, y2, x1, y2]])  # fmt: skip
        for person in points:
            keypoints = np.concatenate([person, np.full((5, 1), 2)], axis=1)
            add(image_id, bbox=[*(person.min(0) - 9).tolist(), 60, 90], area=4000,
                keypoints=keypoints.ravel().tolist())  # fmt: skip
    category = {"id": 1, "name": "dots", "keypoints": list(JOINTS)}
    path = root / f"{name}.json"
    path.write_text(json.dumps({"images": images, "annotations": people, "categories": [category]}))
    return path


def make_crowd_config(root):
    config = make_config(root)
    config.task = "associative_embedding"
    config.input_size = (128, 192)
    config.max_people = 4
    config.augment = ConfigDict(
        {
            "scale_type": "short",
            "flip": 0.5,
            "scale_min": 0.75,
            "scale_max": 1.5,
            "rotation": 30.0,
            "translate": 40.0,
        }
    )
    config.eval.scales = (1.0,)
    config.eval.sizing = "short_side"
    return config


@pytest.fixture
def crowd_config(tmp_path):
    write_crowds(tmp_path)
    return make_crowd_config(tmp_path)


@pytest.fixture(scope="session")
def crowds():
    """The content of the images of groups: `draw`, `colors`, `skeleton`, `hole`."""
    return types.SimpleNamespace(
        draw=crowd,
        colors=np.array(COLORS),
        skeleton=skeletons.Skeleton("dots", JOINTS, (), (0.1,) * 5),
        hole=HOLE,
    )
