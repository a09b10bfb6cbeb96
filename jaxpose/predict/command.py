"""`jaxpose predict`: draws poses on images and writes predictions.json.

jaxpose predict TOPDOWN photos/ --boxes boxes.json   one person per box
jaxpose predict BOTTOMUP photos/                     everyone in every image
jaxpose predict TOPDOWN photos/ --people BOTTOMUP    boxes from the bottom-up network
"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from jaxpose import draw, images
from jaxpose.files import write_atomic
from jaxpose.poses import Poses
from jaxpose.predict.boxes import Boxes, around
from jaxpose.predict.document import coco_document
from jaxpose.predict.estimator import PoseEstimator
from jaxpose.predict.heatmaps import MOST_PEOPLE, draw_maps
from jaxpose.tasks import whole_images

SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}

# (path, image) -> poses.
Predictor = Callable[[pathlib.Path, np.ndarray], Poses]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `jaxpose predict`."""
    parser.add_argument("checkpoint", help="run folder, or a file written by `jaxpose export`")
    parser.add_argument("input", nargs="+", help="images and folders of images")
    parser.add_argument("-o", "--output", default="predictions", help="folder for the results")
    parser.add_argument(
        "--boxes",
        metavar="JSON",
        help="top-down: one person per box; without boxes, the whole image is one person",
    )
    parser.add_argument(
        "--box-score",
        type=float,
        default=0.3,
        help="minimum score of a box in --boxes (default %(default)s)",
    )
    parser.add_argument(
        "--people",
        metavar="BOTTOMUP",
        help="top-down: get the boxes from this bottom-up network (run folder or exported file)",
    )
    parser.add_argument(
        "--person-score",
        type=float,
        default=draw.LEAST_PERSON_SCORE,
        help="bottom-up: minimum score of a person (default %(default)s)",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.2,
        help="minimum score of a keypoint to be drawn (default %(default)s)",
    )
    parser.add_argument(
        "--heatmaps",
        action="store_true",
        help="also draw the heatmap of every keypoint, into the folder heatmaps of the results",
    )
    parser.add_argument("--step", help="checkpoint of the run: last (default), best or a step")
    parser.add_argument(
        "--no-flip",
        action="store_true",
        help="skip the flip test, the average with the mirror image",
    )
    parser.add_argument(
        "--batch", type=int, default=8, help="top-down: people per call (default %(default)s)"
    )
    parser.add_argument(
        "--one-size",
        action="store_true",
        help="bottom-up: fit every image into the input size, to compile only once",
    )


def run(args: argparse.Namespace) -> int:
    """Draws the poses and writes predictions.json; returns 1 if no image could be read."""
    import cv2

    paths = list(find_images(args.input))
    estimator, predict = _predictor(args, paths)
    output = pathlib.Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    names = output_names(paths)

    records: list[tuple[pathlib.Path, tuple[int, int], Poses]] = []
    for path in paths:
        try:
            # A photograph is shown upright, by its EXIF orientation. (Annotations of datasets are
            # in stored pixels.)
            image = images.decode(path.read_bytes(), upright=True)
        except (OSError, images.ImageError) as error:
            print(f"skipped {path}: {error}")
            continue
        poses = predict(path, image)
        drawing = draw.draw_poses(image, poses, estimator.skeleton, args.threshold)
        target = output / names[path]
        if not cv2.imwrite(str(target), drawing[:, :, ::-1]):
            raise ValueError(f"{target} could not be written")
        if args.heatmaps:
            write_heatmaps(output / "heatmaps" / names[path], estimator, image, poses)
        records.append((path, image.shape[:2], poses))
        print(f"{target}: {len(poses)} people")
    file = output / "predictions.json"
    write_atomic(file, json.dumps(coco_document(records, estimator.skeleton)))
    skipped = len(paths) - len(records)
    people = sum(len(poses) for *_, poses in records)
    print(f"{file}: {people} people" + (f", {skipped} images skipped" if skipped else ""))
    return 0 if records else 1


def write_heatmaps(
    path: pathlib.Path, estimator: PoseEstimator, image: np.ndarray, poses: Poses
) -> None:
    """Draws the heatmaps of an image; of a top-down network, those of each person.

    Raises:
      ValueError: the file cannot be written.
    """
    import cv2

    boxes = None
    if estimator.takes_boxes:
        boxes = poses.boxes[:MOST_PEOPLE]
        if not len(boxes):
            return
        if len(boxes) < len(poses):
            print(f"{path}: heatmaps of the first {len(boxes)} of {len(poses)} people")
    sheet = draw_maps(estimator.maps(image, boxes), estimator.skeleton.joints)
    path.parent.mkdir(exist_ok=True)
    if not cv2.imwrite(str(path), sheet[:, :, ::-1]):
        raise ValueError(f"{path} could not be written")


def _predictor(
    args: argparse.Namespace, paths: Sequence[pathlib.Path]
) -> tuple[PoseEstimator, Predictor]:
    """Returns the network whose poses are drawn, and the function that predicts an image."""
    if args.boxes and args.people:
        raise ValueError("--boxes and --people cannot be combined: choose one of them")
    options = {"flip": not args.no_flip, "sizing": "fixed" if args.one_size else None}
    estimator = _estimator(args.checkpoint, args.step, batch_size=args.batch, **options)
    if not estimator.takes_boxes:
        given = next((flag for flag in ("boxes", "people") if getattr(args, flag)), None)
        if given:
            raise ValueError(
                f"{args.checkpoint} is a bottom-up network, which finds the people itself: omit "
                f"--{given}"
            )
        detector = _PersonDetector(estimator, args.person_score)
        return estimator, lambda path, image: detector(image)
    if args.people:
        people = _estimator(args.people, None, **options)
        if people.takes_boxes:
            raise ValueError(f"--people {args.people} is top-down: it must be a bottom-up network")
        detector = _PersonDetector(people, args.person_score)
        return estimator, lambda path, image: estimator(image, around(detector(image)))
    if not args.boxes:
        return estimator, lambda path, image: estimator(image)
    boxes = Boxes(args.boxes, args.box_score)
    if not any(len(boxes.of(path)) for path in paths):
        images_text = f"any of {len(paths)} images" if len(paths) > 1 else paths[0].name
        raise ValueError(
            f"{args.boxes}: none of its {len(boxes)} boxes with a score of at least "
            f"{args.box_score:g} is for {images_text}; file_name (without folder and suffix) or, "
            "if there is none, image_id must be the name of the image"
        )
    return estimator, lambda path, image: estimator(image, boxes.of(path))


def _estimator(source: str, step: str | None, **options) -> PoseEstimator:
    if pathlib.Path(source).is_dir():
        from jaxpose import runs
        from jaxpose.training import runtime

        runtime.use_compilation_cache()
        return PoseEstimator(source, step=runs.parse_step(step), **options)
    return PoseEstimator(source, step=step, **options)


class _PersonDetector:
    """A bottom-up network that drops people with a low score and reports each compilation."""

    def __init__(self, estimator: PoseEstimator, lowest_score: float):
        self._estimator, self._lowest_score = estimator, lowest_score
        self._sizes: set[tuple[int, int]] = set()

    def __call__(self, image: np.ndarray) -> Poses:
        estimator = self._estimator
        size, *_ = whole_images.sized_view(image.shape[:2], estimator.input_size, estimator.sizing)
        if estimator.sizing == "short_side" and size not in self._sizes:
            self._sizes.add(size)
            print(f"... compiling for {size[0]}x{size[1]}", file=sys.stderr, flush=True)
        poses = estimator(image)
        return poses.select(poses.person_scores >= self._lowest_score)


def find_images(inputs: Sequence[str]) -> Iterator[pathlib.Path]:
    """Yields the image files in `inputs`, and the sorted image files of the folders in `inputs`.

    Raises:
      ValueError: an input does not exist, or a folder has no images.
    """
    for name in inputs:
        path = pathlib.Path(name)
        if path.is_dir():
            files = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
            if not files:
                raise ValueError(f"{path}: no images in this folder")
            yield from files
        elif path.is_file():
            yield path
        else:
            raise ValueError(f"{path}: no such file or folder")


def output_names(paths: Sequence[pathlib.Path]) -> dict[pathlib.Path, str]:
    """Returns the name of the output file per image; equal names are numbered, so none is lost."""
    used: set[str] = set()
    names = {}
    for path in paths:
        name, number = f"{path.stem}.jpg", 1
        while name in used:
            number += 1
            name = f"{path.stem}_{number}.jpg"
        used.add(name)
        names[path] = name
    return names
