"""`jaxpose data DIR`: describes a dataset, lists all problems, and draws a sheet of samples.

The dataset is not changed. The exit status is 1 if training on it would stop.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jaxpose import draw, geometry, images, skeletons
from jaxpose.annotations import AnnotationError, Dataset, check, load, need_sides
from jaxpose.annotations.records import in_order, problem_lines
from jaxpose.annotations.regions import mask
from jaxpose.files import check_outputs, path_argument

SAMPLED = 200  # images decoded without --all
SHOWN = 10  # problems of each kind printed without --all
MORE = "... and {} more like these (print them with --all)"
TILE = (256, 192)  # (H, W) of a person on the sheet, cropped as for training
WHOLE = 320  # height of a whole image on the sheet


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
    folder = args.folder
    paths = [args.annotations] if args.annotations else find_annotations(folder)
    bad = False
    for path in paths:
        print(f"{path}")
        problems = check(path, category=args.category)
        try:
            try:
                if any(problem.fatal for problem in problems):
                    bad = True
                    continue
                options = {"category": args.category, "flip_pairs": args.flip_pairs}
                image_folder = (
                    Path(args.images) if args.images else find_images(folder, path, **options)
                )
                dataset = load(path, image_dir=image_folder, **options)
                problems = in_order(dataset.notes)  # with the sizes of the images
            finally:
                _print_indented(problem_lines(problems, None if args.all else SHOWN, MORE))
        except AnnotationError as error:
            # An error of the file as a whole, e.g. that it has no usable person.
            _print_lines([f"{path.name}{str(error).removeprefix(str(path))}"], args.all)
            bad = True
            continue
        output = Path(args.output) if args.output else None
        if output and len(paths) > 1:
            output = output.with_stem(f"{output.stem}_{path.stem}")
        if output:  # before the images are decoded, which takes long
            check_outputs([output], [path, *_read_files(dataset, args.detections)])
        print(describe(dataset))
        try:
            need_sides(dataset)
        except AnnotationError as error:
            _print_lines([f"{path.name}{str(error).removeprefix(str(path))}"], args.all)
            bad = True
        if args.detections:
            problems = check(args.detections, dataset)
            _print_indented(problem_lines(problems, None if args.all else SHOWN, MORE))
            bad |= any(problem.fatal for problem in problems)
        seen = check_images(dataset, None if args.all else SAMPLED)
        print(
            f"  images in {image_folder}: {seen.checked} of {len(dataset.images)} decoded, "
            f"{len(seen.damaged)} unusable, {len(seen.mismatched)} whose size differs "
            "from the annotation"
        )
        if seen.mismatched:
            print("  images whose size differs from the annotation are not used")
        _print_lines(seen.damaged + seen.mismatched, args.all)
        for note in seen.notes:
            print(f"  note: {note}")
        bad |= bool(seen.damaged or seen.mismatched)
        if output:
            image = (whole_sheet if args.whole else sheet)(dataset, args.people)
            if image is not None:
                _write_sheet(image, output)
        print()
    print("problems that would stop training" if bad else "no problem that would stop training")
    return int(bad)


def _read_files(dataset: Dataset, detections: Path | None) -> Iterator[Path]:
    """The files of a dataset, which the sheet must not overwrite."""
    if detections:
        yield detections
    yield from map(dataset.image_path, dataset.images)


def find_annotations(folder: Path) -> list[Path]:
    """Annotation files in a folder or its subfolder `annotations`, sorted by name.

    They are recognized by words in their text, so that damaged files are reported too. Other JSON
    files (detected boxes, captions, object boxes) are ignored.

    Raises:
      ValueError: no such folder, or no annotation file in it.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    files = []
    for path in sorted([*folder.glob("*.json"), *folder.glob("annotations/*.json")]):
        text = path.read_bytes()
        coco = b'"keypoints"' in text and b'"images"' in text
        if coco or b'"joints_vis"' in text or not text:
            files.append(path)
    if not files:
        raise ValueError(
            f"no annotation file in {folder} or {folder / 'annotations'}: give one with "
            "--annotations FILE --images DIR"
        )
    return files


def find_images(folder: Path, path: Path, **options: Any) -> Path:
    """The folder with most of the first images of an annotation file.

    Args:
      folder: the dataset.
      path: its annotation file.
      **options: of `annotations.load`.

    Raises:
      ValueError: none of the searched folders has any of these images.
      AnnotationError: the file cannot be loaded.
    """
    # Any existing folder will do here; only the names of the images are needed.
    dataset = load(path, image_dir=path.parent, **options)
    names = [info.file_name for info in list(dataset.images.values())[:50]]
    folders = [folder, *sorted(p for p in folder.iterdir() if p.is_dir())]
    folders += [path.parent, path.parent / "images", *sorted(folder.glob("images/*/"))]
    counts = {place: sum((place / name).is_file() for name in names) for place in folders}
    # Of equal folders, take the one whose name is in that of the annotation file (val2017, ...).
    best = max(counts, key=lambda place: (counts[place], place.name in path.stem))
    if not counts[best]:
        raise ValueError(
            f"{path}: none of its images ({names[0]}, ...) is in a folder of {folder}: give their "
            "folder with --images DIR"
        )
    return best


def describe(dataset: Dataset) -> str:
    """Counts, skeleton, left-right pairs and sizes, in several lines."""
    people, skeleton = dataset.people, dataset.skeleton
    names = skeleton.joints
    pairs = ", ".join(f"{names[a]}-{names[b]}" for a, b in skeleton.flip_pairs)
    source = "from the names" if skeleton.declared_pairs is None else "declared"
    pairs = f"{pairs} ({source}; they swap in mirrored images)" if pairs else f"none ({source})"
    middle = [n for k, n in enumerate(names) if skeleton.flip_indices[k] == k]
    labeled = people.keypoints[..., 2].astype(bool)
    sizes = np.sqrt(people.box[:, 2] * people.box[:, 3])
    lines = [
        f"  {dataset.summary}",
        f"  skeleton {skeleton.name!r}: {skeleton.num_joints} keypoints, "
        f"{len(skeleton.limbs)} limbs",
        f"  left-right pairs: {pairs}",
        f"  keypoints without a side: {', '.join(middle) or 'none'}",
    ]
    if len(people):
        low, median, high = np.percentile(sizes, [5, 50, 95])
        shares = zip(names, 100 * labeled.mean(0), strict=True)
        lines += [
            f"  labeled keypoints per person: {labeled.sum(1).mean():.1f}; by keypoint, percent: "
            + ", ".join(f"{name} {share:.0f}" for name, share in shares),
            f"  size of a person (square root of the box area): median {median:.0f} pixels, "
            f"5th to 95th percentile {low:.0f} to {high:.0f}",
        ]
    else:
        lines.append("  note: no person has a box, so only bottom-up networks can use the file")
    return "\n".join(lines + _per_image(dataset) + _warnings(dataset, labeled, skeleton))


def _per_image(dataset: Dataset) -> list[str]:
    """Statistics for bottom-up networks; none for MPII, which does not annotate all people."""
    if dataset.format == "mpii":
        return []
    counts = np.array([len(rows) for rows in dataset.labeled_rows.values()])
    count = sum(map(len, dataset.regions.values()))
    lines = [
        f"  people per image: median {np.median(counts):.0f}, at most {counts.max()}; "
        f"{len(dataset.with_people)} images with people, {count} ignored regions"
    ]
    if dataset.crowd_index:
        index = np.array(list(dataset.crowd_index.values()))
        easy, hard = (index < 0.2).sum(), (index >= 0.8).sum()
        lines.append(
            f"  crowdIndex {index.min():.2f} to {index.max():.2f}: {easy} easy, "
            f"{len(index) - easy - hard} medium, {hard} hard images"
        )
    return lines


def _warnings(dataset: Dataset, labeled: np.ndarray, skeleton: skeletons.Skeleton) -> list[str]:
    """Notes on what does not stop training but may explain a low score."""
    people, lines = dataset.people, []
    unused = [n for n, count in zip(skeleton.joints, labeled.sum(0), strict=True) if not count]
    if unused and len(people):
        lines.append(f"  note: never labeled: {', '.join(unused)}")
    empty = len(dataset.images) - len(dataset.with_people)
    if empty:
        lines.append(
            f"  note: {empty} images without people; bottom-up networks use them as background "
            "with --config.data.negatives=True"
        )
    if not skeleton.limbs:
        lines.append("  note: no limbs; drawings show points only")
    infos = [dataset.images[identity] for identity in people.image_id.tolist()]
    rows = [row for row, info in enumerate(infos) if info.has_size]
    if rows:
        limits = np.array([infos[row].size[::-1] for row in rows])[:, None]
        points = people.keypoints[rows, :, :2]
        outside = (((points < 0) | (points > limits)).any(-1) & labeled[rows]).sum()
        if outside:
            lines.append(f"  note: {outside} labeled keypoints lie outside their image")
    if unknown := sum(info.id in dataset.unsized for info in infos):
        lines.append(
            f"  note: {unknown} people are in images of unknown size: whether their keypoints lie "
            "inside is not checked"
        )
    return lines


@dataclasses.dataclass(frozen=True)
class ImagesRead:
    """What is wrong with the images of a dataset.

    Attributes:
      damaged: one line per unusable image.
      mismatched: one line per image whose size differs from the annotation in either orientation.
      notes: on images that can be used.
      checked: number of images decoded.
    """

    damaged: list[str]
    mismatched: list[str]
    notes: list[str]
    checked: int


def check_images(dataset: Dataset, limit: int | None) -> ImagesRead:
    """Decodes the images, or `limit` of them, spread evenly."""
    infos = list(dataset.images.values())
    if limit is not None and len(infos) > limit:
        infos = [infos[round(k)] for k in np.linspace(0, len(infos) - 1, limit)]
    damaged, mismatched = [], []
    upright, turned, dark = [], [], []
    for info in infos:
        path, size = dataset.image_path(info.id), dataset.annotated_size(info.id)
        try:
            data = path.read_bytes()
            image = stored = images.decode(data)
        except OSError as error:
            damaged.append(f"{path}: cannot be read ({error.strerror})")
            continue
        except images.ImageError as error:
            damaged.append(f"{path}: {error}")
            continue
        try:
            image = images.decode_annotated(data, size)
        except images.ImageError:
            height, width = stored.shape[:2]
            mismatched.append(
                f"{path}: is {width} x {height}, annotated as {info.width} x {info.height}"
            )
        if image.shape != stored.shape:
            upright.append(path.name)
        elif images.is_turned(data, stored, size_stated=size is not None):
            turned.append(path.name)
        if images.is_dark_deep(data, stored):
            dark.append(path.name)
    notes = [
        f"{len(names)} images {text}: {', '.join(names[:3])}{', ...' if names[3:] else ''}"
        for names, text in (
            (upright, "have the annotated size only after rotation by their EXIF orientation, and "
             "are rotated"),
            (turned, f"{images.TURNED}; check them on the sheet"),
            (dark, "are nearly black after conversion from 16 to 8 bits; store them with the full "
             "range of values"),
        )
        if names
    ]  # fmt: skip
    return ImagesRead(damaged, mismatched, notes, len(infos))


def sheet(dataset: Dataset, count: int) -> np.ndarray | None:
    """Draws people spread evenly over the dataset, cropped as for training.

    Returns:
      uint8 RGB [H, W, 3], or None if no image can be decoded.
    """
    people = dataset.people
    if not len(people):
        return None
    center, scale = people.center_scale(TILE)
    tiles, captions = [], []
    for row in np.unique(np.linspace(0, len(people) - 1, count).round().astype(int)):
        try:
            image = _read(dataset, people.image_id[row])
        except (OSError, images.ImageError):
            continue
        matrix = geometry.affine(center[row], scale[row], 0.0, TILE)
        crop = geometry.crop(image, matrix, TILE)
        points = geometry.transform(people.keypoints[row, :, :2], matrix)
        labeled = people.keypoints[row, :, 2]
        tiles.append(draw.draw_pose(crop, points, labeled, dataset.skeleton))
        captions.append(f"{people.annotation_id[row]}")
    return draw.contact_sheet(tiles, captions, height=TILE[0]) if tiles else None


def whole_sheet(dataset: Dataset, count: int) -> np.ndarray | None:
    """Draws whole images spread evenly over the dataset, as bottom-up networks learn them.

    All people are drawn; ignored regions are red.

    Returns:
      uint8 RGB [H, W, 3], or None if no image can be decoded.
    """
    tiles, captions = [], []
    ids = dataset.with_people
    for place in np.unique(np.linspace(0, len(ids) - 1, count).round().astype(int)):
        identity = ids[place]
        try:
            image = _read(dataset, identity).copy()
        except (OSError, images.ImageError):
            continue
        regions = dataset.regions.get(identity, [])
        if regions:
            ignored = mask(regions, image.shape[:2]) == 0
            image[ignored] = image[ignored] // 2 + np.array([120, 0, 0], np.uint8)
        for person in dataset.labeled.keypoints[dataset.labeled_rows.get(identity, [])]:
            image = draw.draw_pose(image, person[:, :2], person[:, 2], dataset.skeleton)
        tiles.append(image)
        captions.append(f"{identity}")
    return draw.contact_sheet(tiles, captions, height=WHOLE) if tiles else None


def _read(dataset: Dataset, image_id: int) -> np.ndarray:
    """Decodes an image as for training; raises OSError or ImageError."""
    size = dataset.annotated_size(image_id)
    return images.decode_annotated(dataset.image_path(image_id).read_bytes(), size)


def _write_sheet(image: np.ndarray, output: Path) -> None:
    import cv2

    output.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(output), image[..., ::-1]):
        raise ValueError(f"{output}: cannot write the sample sheet")
    print(f"  sample sheet: {output} (left is blue, right is orange)")


def _print_lines(lines: list[str], print_all: bool) -> None:
    shown = lines if print_all else lines[:SHOWN]
    _print_indented(shown)
    if len(shown) < len(lines):
        _print_indented([MORE.format(len(lines) - len(shown))])


def _print_indented(lines: Iterable[str]) -> None:
    for line in lines:
        print(f"    {line}")
