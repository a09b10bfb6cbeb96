"""`jaxpose data DIR`: describes a dataset, lists all problems, and draws a sheet of samples.

The dataset is not changed. The exit status is 1 if training on it would stop.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from jaxpose.annotations import AnnotationError, Dataset, check, load, need_sides
from jaxpose.annotations.records import Problem, in_order, problem_lines
from jaxpose.datacheck.description import describe
from jaxpose.datacheck.files import find_annotations, find_images
from jaxpose.datacheck.images import check_images
from jaxpose.datacheck.sheet import people_sheet, whole_sheet, write_sheet
from jaxpose.files import check_outputs, path_argument

SAMPLED = 200  # images decoded without --all
SHOWN = 10  # problems of each kind printed without --all
MORE = "... and {} more like these (print them with --all)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `jaxpose data`."""
    parser.add_argument("folder", metavar="DIR", type=path_argument, help="dataset folder")
    parser.add_argument(
        "--annotations", metavar="FILE", type=path_argument, help="check only this annotation file"
    )
    parser.add_argument(
        "--images",
        metavar="DIR",
        type=path_argument,
        help="its image folder (default: located by the file names)",
    )
    parser.add_argument(
        "--detections", metavar="FILE", type=path_argument, help="also check these detected boxes"
    )
    parser.add_argument(
        "--category", default="", metavar="NAME",
        help="category to read, as in config.data.category (default: the first with keypoints)",
    )  # fmt: skip
    parser.add_argument(
        "--flip-pairs", nargs="+", default=(), metavar="LEFT/RIGHT",
        help="left-right pairs, or 'none' if there are none, as in config.data.flip_pairs "
        "(default: those of the file)",
    )  # fmt: skip
    parser.add_argument(
        "--all", action="store_true", help="decode all images and print all problems"
    )
    parser.add_argument(
        "-o",
        "--output",
        default="data_sheet.png",
        metavar="PNG",
        type=os.path.expanduser,  # '' stays empty
        help="sample sheet; '' for none (default: data_sheet.png)",
    )
    parser.add_argument(
        "--people",
        type=int,
        default=20,
        help="people or, with --whole, images on the sheet (default: 20)",
    )
    parser.add_argument(
        "--whole", action="store_true",
        help="draw whole images on the sheet, with all people and, in red, ignored regions",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Checks and describes the dataset; returns 1 if a problem would stop training.

    Raises:
      ValueError: no annotation file or image folder is found.
    """
    paths = [args.annotations] if args.annotations else find_annotations(args.folder)
    bad = False
    for path in paths:
        output = Path(args.output) if args.output else None
        if output and len(paths) > 1:
            output = output.with_stem(f"{output.stem}_{path.stem}")
        bad |= _check_file(path, output, args)
    print("problems that would stop training" if bad else "no problem that would stop training")
    return int(bad)


def _check_file(path: Path, output: Path | None, args: argparse.Namespace) -> bool:
    """Checks and describes one annotation file; True if a problem would stop training.

    Args:
      path: the annotation file.
      output: the sample sheet; None for none.
      args: of the command.
    """
    print(f"{path}")
    problems = check(path, category=args.category)
    try:
        try:
            if any(problem.fatal for problem in problems):
                return True
            options = {"category": args.category, "flip_pairs": args.flip_pairs}
            folder = Path(args.images) if args.images else find_images(args.folder, path, **options)
            dataset = load(path, image_dir=folder, **options)
            problems = in_order(dataset.notes)  # with the sizes of the images
        finally:
            _print_problems(problems, args.all)
    except AnnotationError as error:
        # An error of the file as a whole, e.g. that it has no usable person.
        _print_error(error, path)
        return True
    if output:  # before the images are decoded, which takes long
        check_outputs([output], [path, *_read_files(dataset, args.detections)])
    print(describe(dataset))
    bad = False
    try:
        need_sides(dataset)
    except AnnotationError as error:
        _print_error(error, path)
        bad = True
    if args.detections:
        problems = check(args.detections, dataset)
        _print_problems(problems, args.all)
        bad |= any(problem.fatal for problem in problems)
    bad |= _report_images(dataset, folder, args.all)
    if output:
        image = (whole_sheet if args.whole else people_sheet)(dataset, args.people)
        if image is not None:
            write_sheet(image, output)
    print()
    return bad


def _report_images(dataset: Dataset, folder: Path, every: bool) -> bool:
    """Decodes and reports the images; True if one of them is not used."""
    seen = check_images(dataset, None if every else SAMPLED)
    print(
        f"  images in {folder}: {seen.checked} of {len(dataset.images)} decoded, "
        f"{len(seen.damaged)} unusable, {len(seen.mismatched)} whose size differs "
        "from the annotation"
    )
    if seen.mismatched:
        print("  images whose size differs from the annotation are not used")
    _print_lines(seen.damaged + seen.mismatched, every)
    for note in seen.notes:
        print(f"  note: {note}")
    return bool(seen.damaged or seen.mismatched)


def _read_files(dataset: Dataset, detections: Path | None) -> Iterator[Path]:
    """The files of a dataset, which the sheet must not overwrite."""
    if detections:
        yield detections
    yield from map(dataset.image_path, dataset.images)


def _print_problems(problems: Sequence[Problem], print_all: bool) -> None:
    _print_indented(problem_lines(problems, None if print_all else SHOWN, MORE))


def _print_error(error: AnnotationError, path: Path) -> None:
    _print_indented([f"{path.name}{str(error).removeprefix(str(path))}"])


def _print_lines(lines: list[str], print_all: bool) -> None:
    shown = lines if print_all else lines[:SHOWN]
    _print_indented(shown)
    if len(shown) < len(lines):
        _print_indented([MORE.format(len(lines) - len(shown))])


def _print_indented(lines: Iterable[str]) -> None:
    for line in lines:
        print(f"    {line}")
