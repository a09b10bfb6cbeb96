"""Poses of the people in pictures: four lines of Python, or `jaxpose predict`.

from jaxpose.predict import Pose
pose = Pose("runs/demo")                  # a run folder, a .onnx or a .pt2 file
people = pose(image, boxes)               # uint8 RGB [H, W, 3]; boxes (x, y, w, h)
people.keypoints, people.scores           # [N, K, 2] in pixels, [N, K]
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from jaxpose import draw, evaluation, geometry, images
from jaxpose.skeletons import Skeleton
from jaxpose.training.files import write_atomic

SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
EXPORTED = {".onnx", ".pt2"}


@dataclasses.dataclass(frozen=True)
class People:
    """Poses in one picture: keypoints [N, K, 2] in pixels, scores [N, K], boxes [N, 4] (xywh)."""

    keypoints: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray

    def __len__(self) -> int:
        return len(self.boxes)


class Pose:
    """A trained network ready to be called on pictures.

    Args:
        source: a run folder (or checkpoint in one), or a file written by `jaxpose export`.
        step: which checkpoint of a run folder: a number, "best", or None for the newest.
        flip: average with the mirrored picture, as the papers' test scores do; twice the time.
        batch_size: people in one call of the network; the last call is filled up, so that the
            network is compiled once.

    Raises:
        ValueError: `source` is neither, or cannot be read.
    """

    skeleton: Skeleton
    input_size: tuple[int, int]

    def __init__(
        self,
        source: str | pathlib.Path,
        *,
        step: int | str | None = None,
        flip: bool = True,
        batch_size: int = 8,
    ):
        self.batch_size = batch_size
        path = pathlib.Path(source)
        if path.suffix in EXPORTED:
            self.skeleton, self.input_size, self._predict = _from_file(path, flip)
        else:
            self.skeleton, self.input_size, self._predict = _from_run(path, step, flip)

    def __call__(self, image: np.ndarray, boxes: np.ndarray | None = None) -> People:
        """Poses of the people in a picture.

        Args:
            image: uint8 [H, W, 3], RGB.
            boxes: [N, 4] (x, y, w, h) in pixels, one a person; None takes the whole picture as
                one person.

        Returns:
            People, in the order of the boxes.
        """
        if image.ndim != 3 or image.shape[-1] != 3 or image.dtype != np.uint8:
            raise ValueError(f"image must be uint8 [H, W, 3], got {image.dtype} {image.shape}")
        height, width = image.shape[:2]
        if boxes is None:
            boxes = [[0, 0, width, height]]
        boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
        if not np.isfinite(boxes).all() or (boxes[:, 2:] <= 0).any():
            raise ValueError("boxes must be (x, y, w, h) with positive width and height")
        center, scale = geometry.box_to_center_scale(boxes, self.input_size)
        found = [
            self._batch(image, center[i : i + self.batch_size], scale[i : i + self.batch_size])
            for i in range(0, len(boxes), self.batch_size)
        ]
        joints = self.skeleton.num_joints
        empty = [(np.zeros((0, joints, 2), np.float32), np.zeros((0, joints), np.float32))]
        keypoints, scores = (np.concatenate(parts) for parts in zip(*(found or empty), strict=True))
        return People(keypoints, scores, boxes)

    def _batch(
        self, image: np.ndarray, center: np.ndarray, scale: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        count, size = len(center), self.batch_size
        crops = np.zeros((size, *self.input_size, 3), np.uint8)
        for i in range(count):
            matrix = geometry.affine(center[i], scale[i], 0, self.input_size)
            crops[i] = geometry.crop(image, matrix, self.input_size)
        rest = ((0, size - count), (0, 0))
        batch = {
            "image": crops,
            "center": np.pad(center, rest),
            "scale": np.pad(scale, rest, constant_values=1),
        }
        keypoints, scores = self._predict(batch)
        return np.asarray(keypoints)[:count], np.asarray(scores)[:count]


def _from_run(path: pathlib.Path, step: int | str | None, flip: bool):
    import jax

    from jaxpose.training import checkpoint, mesh

    config, model, variables, skeleton = checkpoint.load_run(path, step=step)
    grid = mesh.make_mesh(jax.local_devices()[:1])
    predict = evaluation.make_predict(model, skeleton, grid, flip=flip, decode=config.eval.decode)
    return skeleton, tuple(config.input_size), functools.partial(predict, variables)


def _from_file(path: pathlib.Path, flip: bool):
    from jaxpose import export

    facts = export.read_metadata(path)
    skeleton = Skeleton.from_dict(facts["skeleton"])
    predict = evaluation.make_predict_from_heatmaps(
        export.run_file(path), skeleton, flip=flip, decode=facts["codec"]["decode"]
    )
    return skeleton, tuple(facts["input_size"]), predict


# --- boxes from a file ---------------------------------------------------------------------------


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


# --- the command ---------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", help="run folder, or a file written by `jaxpose export`")
    parser.add_argument("input", nargs="+", help="pictures and folders of pictures")
    parser.add_argument("-o", "--output", default="predictions", help="folder for the results")
    parser.add_argument(
        "--boxes", help="JSON of person boxes; without it the whole picture is one person"
    )
    parser.add_argument(
        "--box-score", type=float, default=0.3, help="leave out detected boxes below it"
    )
    parser.add_argument("--threshold", type=float, default=0.2, help="draw joints from it on")
    parser.add_argument("--step", help="checkpoint: a step or 'best' (default: the newest)")
    parser.add_argument("--no-flip", action="store_true", help="no averaging with the mirror image")
    parser.add_argument("--batch", type=int, default=8, help="people in one call of the network")


def run(args: argparse.Namespace) -> int:
    """Draws every picture, writes predictions.json; returns 1 when no picture could be read."""
    import cv2

    from jaxpose.training import runtime

    runtime.use_compilation_cache()
    pictures = list(find_pictures(args.input))
    boxes = Boxes(args.boxes, args.box_score) if args.boxes else None
    step = int(args.step) if args.step and args.step.isdigit() else args.step
    pose = Pose(args.checkpoint, step=step, flip=not args.no_flip, batch_size=args.batch)
    output = pathlib.Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    names = _output_names(pictures)

    records: list[tuple[pathlib.Path, tuple[int, int], People]] = []
    for picture in pictures:
        try:
            # People look at a telephone's picture upright: here, unlike in datasets whose
            # annotations are in stored pixels, the EXIF orientation counts.
            image = images.decode(picture.read_bytes(), upright=True)
        except images.ImageError as error:
            print(f"skipped {picture}: {error}")
            continue
        people = pose(image, None if boxes is None else boxes.of(picture))
        canvas = image
        for keypoints, scores in zip(people.keypoints, people.scores, strict=True):
            canvas = draw.draw_pose(canvas, keypoints, scores, pose.skeleton, args.threshold)
        target = output / names[picture]
        if not cv2.imwrite(str(target), canvas[:, :, ::-1]):
            raise ValueError(f"{target} could not be written")
        records.append((picture, image.shape[:2], people))
        print(f"{target}: {len(people)} people")
    file = output / "predictions.json"
    write_atomic(file, json.dumps(coco_document(records, pose.skeleton)))
    print(f"{file}: {sum(len(people) for *_, people in records)} people")
    return 0 if records else 1


def find_pictures(inputs: Sequence[str]) -> Iterator[pathlib.Path]:
    """Picture files named by `inputs`, and those in the folders named by them, sorted.

    Raises:
        ValueError: an input that does not exist, or a folder without pictures.
    """
    for name in inputs:
        path = pathlib.Path(name)
        if path.is_dir():
            found = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
            if not found:
                raise ValueError(f"{path}: no pictures in this folder")
            yield from found
        elif path.is_file():
            yield path
        else:
            raise ValueError(f"{path}: no such file or folder")


def _output_names(pictures: Sequence[pathlib.Path]) -> dict[pathlib.Path, str]:
    """A file name each; pictures of one name from two folders are numbered, none is lost."""
    taken: set[str] = set()
    names = {}
    for picture in pictures:
        name, number = f"{picture.stem}.jpg", 1
        while name in taken:
            number += 1
            name = f"{picture.stem}_{number}.jpg"
        taken.add(name)
        names[picture] = name
    return names


def coco_document(
    records: Sequence[tuple[pathlib.Path, tuple[int, int], People]], skeleton: Skeleton
) -> dict[str, Any]:
    """Predictions as a dataset in COCO keypoint format, which pycocotools and `jaxpose data` read.

    Args:
        records: (file, (H, W), People) a picture. An image's id is the number in its file's name
            where every name is one (as in COCO), else it counts from 1.

    Returns:
        {"images", "categories", "annotations"}; an annotation's keypoints are (x, y, 2), its
        `score` the mean of its joints' scores, which stand in `keypoint_scores`.
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
    for number, (path, (height, width), people) in zip(numbers, records, strict=True):
        document["images"].append(
            {"id": number, "file_name": path.name, "height": height, "width": width}
        )
        for keypoints, scores, box in zip(
            people.keypoints, people.scores, people.boxes, strict=True
        ):
            labelled = np.concatenate([keypoints, np.full((len(keypoints), 1), 2.0)], axis=1)
            document["annotations"].append(
                {
                    "id": len(document["annotations"]) + 1,
                    "image_id": number,
                    "category_id": 1,
                    "iscrowd": 0,
                    "keypoints": np.round(labelled, 3).ravel().tolist(),
                    "num_keypoints": len(keypoints),
                    "keypoint_scores": np.round(scores.astype(float), 5).tolist(),
                    "score": round(float(scores.mean()), 6),
                    "bbox": np.round(box.astype(float), 3).tolist(),
                    "area": round(float(box[2] * box[3]), 3),
                }
            )
    return document
