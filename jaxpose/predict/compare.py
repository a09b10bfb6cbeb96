"""`jaxpose compare`: the poses of several networks side by side, one drawing per image.

jaxpose compare runs/hwl runs/lite photos/ --boxes boxes.json     two top-down networks
jaxpose compare runs/litepose litepose.onnx photo.jpg             a network and its exported file
jaxpose compare runs/hwl/checkpoints/20000 runs/hwl photo.jpg     two steps of one run
"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Sequence

from jaxpose import draw, images, runtimes, tensor_file
from jaxpose.files import expand, location, path_argument
from jaxpose.predict import inputs as reading
from jaxpose.predict.arguments import (
    add_people_arguments,
    check_people_arguments,
    load_estimator,
    read_boxes,
)
from jaxpose.wording import quantity

HEIGHT = 480  # of an image in the drawing, pixels


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `jaxpose compare`."""
    parser.add_argument(
        "what",
        nargs="+",
        metavar="NETWORK|IMAGE",
        help="networks (run folders, checkpoints in them, or files written by `jaxpose export`), "
        "and images or folders of images",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=path_argument,
        default="comparison",
        help="folder for the drawings (default: %(default)s); not that of the images",
    )
    add_people_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Draws the images; returns 1 if none could be read."""
    sources = [name for name in args.what if is_network(name)]
    others = [expand(name) for name in args.what if not is_network(name)]
    if len(sources) < 2 or not others:
        raise ValueError(
            f"give at least two networks and an image, not {quantity(len(sources), 'network')} "
            f"(run folders or exported files) and {quantity(len(others), 'other argument')}"
        )
    inputs = reading.collect(others, output=args.output, recursive=False)
    if inputs.videos:
        raise ValueError(f"{inputs.videos[0].path} is not an image")
    _, targets = reading.drawing_paths(args.output, inputs.images)
    read = [location(source) for source in sources]
    read += [path for path in (args.boxes, args.annotations) if path]
    reading.check_output(args.output, targets, inputs, read)
    check_people_arguments(args)
    networks = [load_estimator(source, flip=not args.no_flip) for source in sources]
    if args.boxes and not any(network.takes_boxes for network in networks):
        raise ValueError("all networks are bottom-up and find the people themselves: omit --boxes")
    boxes = read_boxes(args, inputs.images)
    titles = short_names(sources)
    written = 0
    for file, target in zip(inputs.images, targets, strict=True):
        try:
            image = reading.read_image(file.path, boxes).pixels
        except (OSError, images.ImageError) as error:
            print(f"skipped {file.path}: {error}")
            continue
        columns, captions = [], []
        for network, title in zip(networks, titles, strict=True):
            if network.takes_boxes:
                poses = network(image, boxes.of(file.path) if boxes else None)
            else:
                poses = network(image)
                poses = poses.select(poses.person_scores >= args.person_score)
            columns.append(draw.draw_poses(image, poses, network.skeleton, args.threshold))
            captions.append(f"{title}: {quantity(len(poses), 'person', 'people')}")
        height, width = image.shape[:2]
        widest = max(map(draw.caption_width, captions))
        tall = max(HEIGHT, -(-widest * height // width))  # every caption fits below its image
        sheet = draw.contact_sheet(columns, captions, columns=len(columns), height=tall)
        target.parent.mkdir(parents=True, exist_ok=True)
        images.write(target, sheet)
        written += 1
        print(f"{target}: {'; '.join(captions)}")
    if inputs.passed_over:
        print(f"ignored: {reading.describe(inputs.passed_over)}")
    return 0 if written else 1


def is_network(name: str) -> bool:
    """Whether an argument names a run folder, a checkpoint in one, or an exported file."""
    path = location(name)
    if path.suffix in (*runtimes.SUFFIXES.values(), tensor_file.SUFFIX):
        return True
    if path.name == "checkpoints":
        path = path.parent
    elif path.parent.name == "checkpoints" and path.name.isdigit():
        path = path.parent.parent
    return (path / "config.json").is_file()


def short_names(sources: Sequence[str]) -> list[str]:
    """Returns the last parts of each path, as many as are needed to distinguish the paths.

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
