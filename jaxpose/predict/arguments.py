"""What `jaxpose predict` and `jaxpose compare` share: arguments, boxes, and loading a network."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from jaxpose import draw, tensor_file
from jaxpose.files import location, path_argument
from jaxpose.predict.boxes import Boxes
from jaxpose.predict.estimator import PoseEstimator
from jaxpose.predict.inputs import Input


def add_people_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that say which people are predicted and drawn, and how."""
    parser.add_argument(
        "--boxes",
        metavar="JSON",
        type=path_argument,
        help="top-down: one person per box; without boxes, the whole image is one person",
    )
    parser.add_argument(
        "--annotations",
        metavar="JSON",
        type=path_argument,
        help="the dataset that says which image each image_id in --boxes is",
    )
    parser.add_argument(
        "--box-score",
        type=float,
        default=0.3,
        help="minimum score of a box in --boxes (default %(default)s)",
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
        "--no-flip",
        action="store_true",
        help="skip the flip test, the average with the mirror image",
    )


def check_people_arguments(args: argparse.Namespace) -> None:
    """Raises ValueError for --annotations without --boxes."""
    if args.annotations and not args.boxes:
        raise ValueError("--annotations explains the image ids in --boxes: give --boxes too")


def read_boxes(args: argparse.Namespace, images: Sequence[Input]) -> Boxes | None:
    """Returns the boxes of --boxes and prints what is left out; None without --boxes.

    Raises:
      ValueError: as `Boxes`.
    """
    if not args.boxes:
        return None
    files = [(file.folder, file.relative) for file in images]
    boxes = Boxes(args.boxes, files, args.box_score, args.annotations)
    for note in boxes.notes:
        print(note)
    return boxes


def load_estimator(source: str, step: str | None = None, **options: Any) -> PoseEstimator:
    """Returns the network of a run folder, whose compiled programs are kept on disk, or of a file.

    Args:
      source: run folder, checkpoint in one, or exported file.
      step: of a run folder, as `runs.parse_step` reads it.
      **options: of `PoseEstimator`.
    """
    path = location(source)
    if path.is_dir() or path.suffix == tensor_file.SUFFIX:
        from jaxpose import runs
        from jaxpose.training import runtime

        runtime.use_compilation_cache()
        return PoseEstimator(path, step=runs.parse_step(step), **options)
    return PoseEstimator(path, step=step, **options)
