"""`jaxpose predict`: draws poses on images and videos, and writes them as JSON.

jaxpose predict TOPDOWN photos/ --boxes boxes.json   one person per box
jaxpose predict BOTTOMUP photos/ --recursive         everyone in every image, subfolders included
jaxpose predict TOPDOWN photos/ --people BOTTOMUP    boxes from the bottom-up network
jaxpose predict BOTTOMUP video.mp4 --every 2         a video: every second frame
jaxpose predict BOTTOMUP --camera 0                  a camera, until Ctrl-C
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxpose import draw, images
from jaxpose.files import location, path_argument, write_atomic
from jaxpose.poses import Poses
from jaxpose.predict import inputs as reading
from jaxpose.predict import video as recording
from jaxpose.predict.arguments import (
    add_people_arguments,
    check_people_arguments,
    load_estimator,
    read_boxes,
)
from jaxpose.predict.boxes import Boxes, around
from jaxpose.predict.document import coco_document
from jaxpose.predict.estimator import PoseEstimator
from jaxpose.predict.heatmaps import MOST_PEOPLE, draw_maps, shown_views
from jaxpose.tasks import whole_images
from jaxpose.wording import quantity

# (path, or None for a frame of a video; image) -> poses.
Predictor = Callable[[pathlib.Path | None, np.ndarray], Poses]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `jaxpose predict`."""
    parser.add_argument(
        "checkpoint",
        type=os.path.expanduser,
        help="run folder, or a file written by `jaxpose export`",
    )
    inputs = parser.add_argument(
        "input",
        nargs="+",
        type=path_argument,
        default=[],
        help="images, folders of images, and videos",
    )

    class Camera(argparse.Action):
        """A camera makes other inputs optional."""

        def __call__(self, parser, namespace, values, option_string=None):
            inputs.required = False
            setattr(namespace, self.dest, values)

    parser.add_argument(
        "-o",
        "--output",
        type=path_argument,
        default="predictions",
        help="folder for the results (default: %(default)s); not that of the images",
    )
    parser.add_argument(
        "--recursive", action="store_true", help="also predict the images in subfolders"
    )
    parser.add_argument(
        "--camera",
        type=int,
        metavar="N",
        action=Camera,
        help="predict the frames of this camera, until Ctrl-C",
    )
    parser.add_argument(
        "--every",
        type=int,
        default=1,
        metavar="N",
        help="videos: predict every Nth frame; the frames after it show its poses (default: 1)",
    )
    add_people_arguments(parser)
    parser.add_argument(
        "--people",
        metavar="BOTTOMUP",
        type=os.path.expanduser,
        help="top-down: get the boxes from this bottom-up network (run folder or exported file)",
    )
    parser.add_argument(
        "--heatmaps",
        action="store_true",
        help="also draw the heatmap of every keypoint of images, into OUTPUT/heatmaps",
    )
    parser.add_argument("--step", help="checkpoint of the run: last (default), best or a step")
    parser.add_argument(
        "--batch", type=int, default=8, help="top-down: most people per call (default %(default)s)"
    )
    parser.add_argument(
        "--one-size",
        action="store_true",
        help="bottom-up: fit every image into the input size, to compile only once",
    )


def run(args: argparse.Namespace) -> int:
    """Draws the poses and writes them as JSON; returns 1 if nothing could be read."""
    if args.every < 1:
        raise ValueError(f"--every {args.every} must be at least 1")
    inputs = reading.collect(args.input, output=args.output, recursive=args.recursive)
    output: pathlib.Path = args.output
    document = output / "predictions.json"
    names, drawings = reading.drawing_paths(output, inputs.images, [document])
    names_of_videos = [*reading.assign_names(inputs.videos)]
    if args.camera is not None:
        names_of_videos.append(pathlib.PurePath(f"camera{args.camera}.mp4"))
    videos = reading.output_paths(
        output, names_of_videos, recording.SUFFIXES, [document, *drawings]
    )
    written = [document, *drawings]
    maps = reading.heatmap_paths(output, drawings, [document]) if args.heatmaps else []
    written += maps
    written += [pathlib.Path(f"{path}{suffix}") for path in videos for suffix in recording.SUFFIXES]
    others = [args.boxes, args.annotations, args.checkpoint, args.people]
    reading.check_output(
        output, written, inputs, [location(path) for path in others if path is not None]
    )

    network = _predictor(args, inputs)
    output.mkdir(parents=True, exist_ok=True)
    done, words = 0, []
    if inputs.images:
        outputs = _ImageOutputs(names, drawings, maps, document)
        done, text = _predict_images(inputs.images, outputs, args.threshold, network)
        words.append(text)
    sources: list[pathlib.Path | int] = [file.path for file in inputs.videos]
    sources += [] if args.camera is None else [args.camera]
    for source, target in zip(sources, videos, strict=True):
        try:
            video = recording.Video(source)
        except recording.VideoError as error:
            if len(sources) == 1 and not inputs.images:
                raise
            print(f"skipped {error}")
            words.append(f"skipped {source}")
            continue
        done += 1
        summary = recording.predict_video(
            video,
            lambda image: network.predict(None, image),
            network.estimator.skeleton,
            target,
            every=args.every,
            threshold=args.threshold,
        )
        print("\n".join(_describe(video, target, summary)), flush=True)
        if summary.interrupted and not video.is_camera:
            raise KeyboardInterrupt
    if inputs.passed_over:
        words.append(f"ignored: {reading.describe(inputs.passed_over)}")
    if words:
        print("; ".join(words))
    return 0 if done else 1


@dataclasses.dataclass(frozen=True)
class _ImageOutputs:
    """What is written for images: one name and drawing per image, one document for all.

    Attributes:
      names: of the images in the document.
      drawings: paths.
      maps: paths of the drawn heatmaps; empty to draw none.
      document: path of the JSON file.
    """

    names: Sequence[pathlib.PurePath]
    drawings: Sequence[pathlib.Path]
    maps: Sequence[pathlib.Path]
    document: pathlib.Path


@dataclasses.dataclass(frozen=True)
class _Network:
    """The network whose poses are drawn, how it predicts an image, and the boxes given to it."""

    estimator: PoseEstimator
    predict: Predictor
    boxes: Boxes | None = None


def _predict_images(
    files: Sequence[reading.Input], outputs: _ImageOutputs, threshold: float, network: _Network
) -> tuple[int, str]:
    """Returns the number of images that could be read, and the last line."""
    document, skeleton = outputs.document, network.estimator.skeleton
    records: list[tuple[pathlib.PurePath, tuple[int, int], Poses]] = []
    of_orientation: dict[str, list[pathlib.PurePath]] = {"upright": [], "stored": []}

    def write_document() -> None:
        content = coco_document(records, skeleton, set(of_orientation["upright"]))
        write_atomic(document, json.dumps(content))

    try:
        for number, (file, name) in enumerate(zip(files, outputs.names, strict=True)):
            target = outputs.drawings[number]
            try:
                image, turned = reading.read_image(file.path, network.boxes)
            except (OSError, images.ImageError) as error:
                print(f"skipped {file.path}: {error}")
                continue
            poses = network.predict(file.path, image)
            records.append((name, image.shape[:2], poses))
            if turned:
                of_orientation[turned].append(name)
            drawing = draw.draw_poses(image, poses, skeleton, threshold)
            target.parent.mkdir(parents=True, exist_ok=True)
            images.write(target, drawing)
            if outputs.maps:
                write_heatmaps(outputs.maps[number], network.estimator, image, poses)
            print(f"{target}: {quantity(len(poses), 'person', 'people')}")
    except BaseException:  # Ctrl-C, or a drawing that cannot be written
        if records:
            with contextlib.suppress(OSError):  # the first error is raised
                write_document()
                print(f"{document}: only the first {quantity(len(records), 'image')}", flush=True)
        raise
    write_document()
    if stored := of_orientation["stored"]:
        count = f"{quantity(len(stored), 'image')} {images.TURNED}, e.g. {stored[0]}"
        print(f"{count}; boxes of upright images do not fit")
    skipped = len(files) - len(records)
    people = sum(len(poses) for *_, poses in records)
    text = f"{document}: {quantity(people, 'person', 'people')}" + (
        f", {quantity(skipped, 'image')} skipped" if skipped else ""
    )
    return len(records), text


def write_heatmaps(
    path: pathlib.Path, estimator: PoseEstimator, image: np.ndarray, poses: Poses
) -> None:
    """Draws the heatmaps of an image; of a top-down network, those of each person.

    Raises:
      OSError: the file cannot be written.
    """
    boxes = None
    if estimator.takes_boxes:
        boxes = poses.boxes[:MOST_PEOPLE]
        if not len(boxes):
            return
    maps, joints = estimator.maps(image, boxes), estimator.skeleton.joints
    shown = shown_views(maps, joints)
    if boxes is not None and shown < len(poses):
        print(f"{path}: heatmaps of the first {shown} of {len(poses)} people")
    sheet = draw_maps(maps, joints)
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write(path, sheet)


def _describe(
    video: recording.Video, target: pathlib.Path, summary: recording.Summary
) -> list[str]:
    """The lines about a video that was predicted."""
    lines = []
    if summary.announced and summary.frames < summary.announced and not summary.interrupted:
        lines.append(
            f"{video.name}: only {summary.frames} of {quantity(summary.announced, 'frame')} can "
            "be decoded"
        )
    if summary.rate_missing:
        lines.append(f"{video.name}: has no frame rate; the output has 25 frames/s")
    frames = quantity(summary.frames, "frame")
    if summary.predicted < summary.frames:
        frames += f" ({summary.predicted} predicted)"
    people = quantity(summary.people, "person", "people")
    lines.append(f"{target}.mp4: {frames}, {people}, {summary.speed:.1f} frames/s")
    return lines


def _predictor(args: argparse.Namespace, inputs: reading.Inputs) -> _Network:
    if args.boxes and args.people:
        raise ValueError("--boxes and --people cannot be combined: choose one of them")
    check_people_arguments(args)
    films = bool(inputs.videos) or args.camera is not None
    if args.heatmaps and films:
        raise ValueError("--heatmaps works only with images; omit it, or give no video or camera")
    if args.boxes and films:
        raise ValueError(
            "--boxes works only with images; for videos, use --people BOTTOMUP, which finds the "
            "boxes in each frame"
        )
    options: dict[str, Any] = {
        "flip": not args.no_flip,
        "sizing": "fixed" if args.one_size else None,
    }
    estimator = load_estimator(args.checkpoint, args.step, batch_size=args.batch, **options)
    if not estimator.takes_boxes:
        given = next((flag for flag in ("boxes", "people") if getattr(args, flag)), None)
        if given:
            raise ValueError(
                f"{args.checkpoint} is a bottom-up network, which finds the people itself: omit "
                f"--{given}"
            )
        detector = _PersonDetector(estimator, args.person_score)
        return _Network(estimator, lambda path, image: detector(image))
    if args.people:
        people = load_estimator(args.people, **options)
        if people.takes_boxes:
            raise ValueError(f"--people {args.people} is top-down: it must be a bottom-up network")
        detector = _PersonDetector(people, args.person_score)
        return _Network(estimator, lambda path, image: estimator(image, around(detector(image))))
    boxes = read_boxes(args, inputs.images)
    if boxes is None:
        return _Network(estimator, lambda path, image: estimator(image))
    boxes_of = boxes.of
    return _Network(
        estimator, lambda path, image: estimator(image, boxes_of(path or pathlib.Path())), boxes
    )


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
