"""`jaxpose predict`: pictures with skeletons drawn, and predictions.json.

jaxpose predict TOPDOWN photos/ --boxes boxes.json   one person a box
jaxpose predict BOTTOMUP photos/                     everybody in every picture
jaxpose predict TOPDOWN photos/ --people BOTTOMUP    the second finds people for the first
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
from jaxpose.predict import boxes as person_boxes
from jaxpose.predict.document import coco_document
from jaxpose.predict.people import People
from jaxpose.predict.pose import Pose

SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}

# What the command does with one picture, its path and its pixels.
Predictor = Callable[[pathlib.Path, np.ndarray], People]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("checkpoint", help="run folder, or a file written by `jaxpose export`")
    parser.add_argument("input", nargs="+", help="pictures and folders of pictures")
    parser.add_argument("-o", "--output", default="predictions", help="folder for the results")
    parser.add_argument(
        "--boxes",
        metavar="JSON",
        help="top-down: person boxes; without it the whole picture is one person",
    )
    parser.add_argument(
        "--box-score", type=float, default=0.3, help="leave out detected boxes below it"
    )
    parser.add_argument(
        "--people",
        metavar="BOTTOMUP",
        help="top-down: the people that this bottom-up network finds (run folder or exported file) "
        "are the boxes",
    )
    parser.add_argument(
        "--person-score",
        type=float,
        default=draw.LEAST_PERSON_SCORE,
        help="leave out people found by a bottom-up network below it (default %(default)s)",
    )
    parser.add_argument("--threshold", type=float, default=0.2, help="draw joints from it on")
    parser.add_argument("--step", help="last (the default), best or a step of the run")
    parser.add_argument("--no-flip", action="store_true", help="no averaging with the mirror image")
    parser.add_argument("--batch", type=int, default=8, help="top-down: people in one call")
    parser.add_argument(
        "--one-size",
        action="store_true",
        help="bottom-up: fit every picture into the input size, so as to compile once",
    )


def run(args: argparse.Namespace) -> int:
    """Draws every picture, writes predictions.json; returns 1 when no picture could be read."""
    import cv2

    from jaxpose.training import runtime

    runtime.use_compilation_cache()
    pictures = list(find_pictures(args.input))
    pose, predict = _predictor(args, pictures)
    output = pathlib.Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    names = output_names(pictures)

    records: list[tuple[pathlib.Path, tuple[int, int], People]] = []
    for picture in pictures:
        try:
            # People look at a telephone's picture upright: here, unlike in datasets whose
            # annotations are in stored pixels, the EXIF orientation counts.
            image = images.decode(picture.read_bytes(), upright=True)
        except (OSError, images.ImageError) as error:
            print(f"skipped {picture}: {error}")
            continue
        people = predict(picture, image)
        canvas = image
        shown = np.where(people.found, people.scores, -np.inf)
        for keypoints, scores in zip(people.keypoints, shown, strict=True):
            canvas = draw.draw_pose(canvas, keypoints, scores, pose.skeleton, args.threshold)
        target = output / names[picture]
        if not cv2.imwrite(str(target), canvas[:, :, ::-1]):
            raise ValueError(f"{target} could not be written")
        records.append((picture, image.shape[:2], people))
        print(f"{target}: {len(people)} people")
    file = output / "predictions.json"
    write_atomic(file, json.dumps(coco_document(records, pose.skeleton)))
    skipped = len(pictures) - len(records)
    people = sum(len(people) for *_, people in records)
    print(f"{file}: {people} people" + (f", {skipped} pictures skipped" if skipped else ""))
    return 0 if records else 1


def _predictor(
    args: argparse.Namespace, pictures: Sequence[pathlib.Path]
) -> tuple[Pose, Predictor]:
    """The network whose joints are drawn, and what is done with a picture."""
    from jaxpose import runs

    if args.boxes and args.people:
        raise ValueError("--boxes and --people both say where people are: give one of them")
    options = {"flip": not args.no_flip, "sizing": "fixed" if args.one_size else None}
    step = runs.parse_step(args.step)
    pose = Pose(args.checkpoint, step=step, batch_size=args.batch, **options)
    if pose.task != "topdown":
        given = next((flag for flag in ("boxes", "people") if getattr(args, flag)), None)
        if given:
            raise ValueError(f"{args.checkpoint} is bottom-up and finds the people: no --{given}")
        finder = _Finder(pose, args)
        return pose, lambda picture, image: finder(image)
    if args.people:
        found = _Finder(Pose(args.people, **options), args)
        return pose, lambda picture, image: pose(image, person_boxes.around(found(image)))
    if not args.boxes:
        return pose, lambda picture, image: pose(image)
    boxes = person_boxes.Boxes(args.boxes, args.box_score)
    if not any(len(boxes.of(picture)) for picture in pictures):
        which = f"any of {len(pictures)} pictures" if len(pictures) > 1 else pictures[0].name
        raise ValueError(
            f"{args.boxes}: none of its boxes (of score {args.box_score:g} or more: {len(boxes)}) "
            f"is for {which}; a box is for the picture whose name is its file_name (without folder "
            "and suffix) or, where there is none, its image_id"
        )
    return pose, lambda picture, image: pose(image, boxes.of(picture))


class _Finder:
    """A bottom-up network, its good people alone; says when it meets a size of pictures first."""

    def __init__(self, pose: Pose, args: argparse.Namespace):
        if pose.task == "topdown":
            raise ValueError(f"--people {pose.source} is top-down: it needs a bottom-up network")
        self._pose, self._least = pose, args.person_score
        self._sizes: set[tuple[int, int]] = set()

    def __call__(self, image: np.ndarray) -> People:
        size = self._pose.view(image.shape[:2])[0]
        if self._pose.sizing == "short_side" and size not in self._sizes:
            self._sizes.add(size)
            print(f"... compiling for {size[0]}x{size[1]}", file=sys.stderr, flush=True)
        people = self._pose(image)
        return people.select(people.person_scores >= self._least)


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


def output_names(pictures: Sequence[pathlib.Path]) -> dict[pathlib.Path, str]:
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
