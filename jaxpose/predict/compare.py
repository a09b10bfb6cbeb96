"""`jaxpose compare`: the poses of several networks side by side, one picture per image.

jaxpose compare runs/hwl runs/lite photos/ --boxes boxes.json     two top-down networks
jaxpose compare runs/litepose litepose.onnx photo.jpg             a network and its exported file
jaxpose compare runs/hwl/checkpoints/20000 runs/hwl photo.jpg     two steps of one run
"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Sequence

from jaxpose import draw, images, runtimes
from jaxpose.predict.boxes import Boxes
from jaxpose.predict.command import find_images, output_names
from jaxpose.predict.estimator import PoseEstimator

HEIGHT = 480  # of an image in the picture, pixels


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `jaxpose compare`."""
    parser.add_argument(
        "what",
        nargs="+",
        metavar="NETWORK|IMAGE",
        help="networks (run folders, checkpoints in them, or files written by `jaxpose export`), "
        "and images or folders of images",
    )
    parser.add_argument("-o", "--output", default="comparison", help="folder for the pictures")
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


def run(args: argparse.Namespace) -> int:
    """Draws the pictures; returns 1 if no image could be read."""
    import cv2

    sources = [name for name in args.what if is_network(name)]
    inputs = [name for name in args.what if not is_network(name)]
    if len(sources) < 2 or not inputs:
        raise ValueError(
            f"needs at least two networks and an image, got {len(sources)} networks (run folders "
            f"or exported files) and {len(inputs)} other arguments"
        )
    paths = list(find_images(inputs))
    networks = [_load(source, flip=not args.no_flip) for source in sources]
    boxes = Boxes(args.boxes, args.box_score) if args.boxes else None
    if boxes and not any(network.takes_boxes for network in networks):
        raise ValueError("all networks are bottom-up and find the people themselves: omit --boxes")
    if boxes and not any(len(boxes.of(path)) for path in paths):
        raise ValueError(
            f"{args.boxes}: none of its boxes with a score of at least {args.box_score:g} is for "
            f"any of the {len(paths)} images"
        )
    titles = short_names(sources)
    output = pathlib.Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    names = output_names(paths)
    written = 0
    for path in paths:
        try:
            image = images.decode(path.read_bytes(), upright=True)
        except (OSError, images.ImageError) as error:
            print(f"skipped {path}: {error}")
            continue
        columns, captions = [], []
        for network, title in zip(networks, titles, strict=True):
            if network.takes_boxes:
                poses = network(image, boxes.of(path) if boxes else None)
            else:
                poses = network(image)
                poses = poses.select(poses.person_scores >= args.person_score)
            columns.append(draw.draw_poses(image, poses, network.skeleton, args.threshold))
            captions.append(f"{title}: {len(poses)} people")
        height, width = image.shape[:2]
        widest = max(map(draw.caption_width, captions))
        tall = max(HEIGHT, -(-widest * height // width))  # every caption fits below its image
        sheet = draw.contact_sheet(columns, captions, columns=len(columns), height=tall)
        target = output / names[path]
        if not cv2.imwrite(str(target), sheet[:, :, ::-1]):
            raise ValueError(f"{target} could not be written")
        written += 1
        print(f"{target}: {'; '.join(captions)}")
    return 0 if written else 1


def is_network(name: str) -> bool:
    """Whether an argument names a run folder, a checkpoint in one, or an exported file."""
    path = pathlib.Path(name)
    if path.suffix in runtimes.SUFFIXES.values():
        return True
    if path.name == "checkpoints":
        path = path.parent
    elif path.parent.name == "checkpoints" and path.name.isdigit():
        path = path.parent.parent
    return (path / "config.json").is_file()


def short_names(sources: Sequence[str]) -> list[str]:
    """Returns the last parts of each path, as many as are needed to tell the paths apart.

    A checkpoint is named by its run and its step.

    >>> short_names(["runs/hwl/run", "runs/lite/run"])
    ['hwl/run', 'lite/run']
    >>> short_names(["runs/hwl", "runs/hwl/checkpoints/20000"])
    ['hwl', 'hwl/20000']
    """
    parts = []
    for source in sources:
        path = [part for part in pathlib.Path(source).parts if part != "checkpoints"]
        step = path[-1].isdigit() and len(path) > 1
        parts.append([*path[:-2], "/".join(path[-2:])] if step else path)
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-count:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return list(sources)


def _load(source: str, flip: bool) -> PoseEstimator:
    if pathlib.Path(source).is_dir():
        from jaxpose.training import runtime

        runtime.use_compilation_cache()
    return PoseEstimator(source, flip=flip)
