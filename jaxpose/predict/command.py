"""`jaxpose predict`: images with skeletons drawn on them, and predictions.json.

jaxpose predict TOPDOWN photos/ --boxes boxes.json   one person per box
jaxpose predict BOTTOMUP photos/                     everyone in every image
jaxpose predict TOPDOWN photos/ --people BOTTOMUP    the second network gives the boxes
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
from jaxpose.predict import boxes as person_boxes
from jaxpose.predict.document import coco_document
from jaxpose.predict.estimator import PoseEstimator
from jaxpose.tasks import whole_images

SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}

# What the command does with one image, its path and its pixels.
Predictor = Callable[[pathlib.Path, np.ndarray], Poses]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("checkpoint", help="run folder, or a file written by `jaxpose export`")
    parser.add_argument("input", nargs="+", help="images and folders of images")
    parser.add_argument("-o", "--output", default="predictions", help="folder for the results")
    parser.add_argument(
        "--boxes",
        metavar="JSON",
        help="top-down: person boxes; without them the whole image is one person",
    )
    parser.add_argument(
        "--box-score",
        type=float,
        default=0.3,
        help="lowest score of a detected box (default %(default)s)",
    )
    parser.add_argument(
        "--people",
        metavar="BOTTOMUP",
        help="top-down: take the boxes from this bottom-up network (run folder or exported file)",
    )
    parser.add_argument(
        "--person-score",
        type=float,
        default=draw.LEAST_PERSON_SCORE,
        help="lowest score of a person of a bottom-up network (default %(default)s)",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.2,
        help="lowest score of a keypoint that is drawn (default %(default)s)",
    )
    parser.add_argument("--step", help="last (the default), best or a step of the run")
    parser.add_argument(
        "--no-flip", action="store_true", help="do not average with the mirror image"
    )
    parser.add_argument(
        "--batch", type=int, default=8, help="top-down: people per call (default %(default)s)"
    )
    parser.add_argument(
        "--one-size",
        action="store_true",
        help="bottom-up: fit every image into the input size, so that one program is compiled",
    )


def run(args: argparse.Namespace) -> int:
    """Draws every image and writes predictions.json; returns 1 when no image could be read."""
    import cv2

    paths = list(find_images(args.input))
    estimator, predict = _predictor(args, paths)
    output = pathlib.Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    names = output_names(paths)

    records: list[tuple[pathlib.Path, tuple[int, int], Poses]] = []
    for path in paths:
        try:
            # Unlike a dataset, whose annotations are in stored pixels, a photograph is meant to be
            # seen upright: its EXIF orientation counts.
            image = images.decode(path.read_bytes(), upright=True)
        except (OSError, images.ImageError) as error:
            print(f"skipped {path}: {error}")
            continue
        poses = predict(path, image)
        drawing = draw.draw_poses(image, poses, estimator.skeleton, args.threshold)
        target = output / names[path]
        if not cv2.imwrite(str(target), drawing[:, :, ::-1]):
            raise ValueError(f"{target} could not be written")
        records.append((path, image.shape[:2], poses))
        print(f"{target}: {len(poses)} people")
    file = output / "predictions.json"
    write_atomic(file, json.dumps(coco_document(records, estimator.skeleton)))
    skipped = len(paths) - len(records)
    people = sum(len(poses) for *_, poses in records)
    print(f"{file}: {people} people" + (f", {skipped} images skipped" if skipped else ""))
    return 0 if records else 1


def _predictor(
    args: argparse.Namespace, paths: Sequence[pathlib.Path]
) -> tuple[PoseEstimator, Predictor]:
    """The network whose poses are drawn, and what is done with an image."""
    if args.boxes and args.people:
        raise ValueError("--boxes and --people both give the boxes: choose one of them")
    options = {"flip": not args.no_flip, "sizing": "fixed" if args.one_size else None}
    estimator = _estimator(args.checkpoint, args.step, batch_size=args.batch, **options)
    if not estimator.takes_boxes:
        given = next((flag for flag in ("boxes", "people") if getattr(args, flag)), None)
        if given:
            raise ValueError(
                f"{args.checkpoint} is a bottom-up network, which finds the people itself: omit "
                f"--{given}"
            )
        finder = _Finder(estimator, args.person_score)
        return estimator, lambda path, image: finder(image)
    if args.people:
        people = _estimator(args.people, None, **options)
        if people.takes_boxes:
            raise ValueError(f"--people {args.people} is top-down: it must be a bottom-up network")
        finder = _Finder(people, args.person_score)
        return estimator, lambda path, image: estimator(image, person_boxes.around(finder(image)))
    if not args.boxes:
        return estimator, lambda path, image: estimator(image)
    boxes = person_boxes.Boxes(args.boxes, args.box_score)
    if not any(len(boxes.of(path)) for path in paths):
        which = f"any of {len(paths)} images" if len(paths) > 1 else paths[0].name
        raise ValueError(
            f"{args.boxes}: none of its boxes (of score {args.box_score:g} or more: {len(boxes)}) "
            f"is for {which}; a box belongs to the image whose name is its file_name (without "
            "folder and suffix) or, where it has none, its image_id"
        )
    return estimator, lambda path, image: estimator(image, boxes.of(path))


def _estimator(source: str, step: str | None, **options) -> PoseEstimator:
    if pathlib.Path(source).is_dir():
        from jaxpose import runs
        from jaxpose.training import runtime

        runtime.use_compilation_cache()
        return PoseEstimator(source, step=runs.parse_step(step), **options)
    return PoseEstimator(source, step=step, **options)


class _Finder:
    """A bottom-up network; leaves out people of low score, and announces each compilation."""

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
    """Image files named by `inputs`, and those in the folders named by them, sorted.

    Raises:
      ValueError: an input that does not exist, or a folder without images.
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
    """A file name for each image; equal names from two folders are numbered, so none is lost."""
    taken: set[str] = set()
    names = {}
    for path in paths:
        name, number = f"{path.stem}.jpg", 1
        while name in taken:
            number += 1
            name = f"{path.stem}_{number}.jpg"
        taken.add(name)
        names[path] = name
    return names
