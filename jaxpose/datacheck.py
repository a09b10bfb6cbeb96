"""`jaxpose data DIR`: what is in a dataset, all of its problems at once, and a sheet of samples.

Nothing is changed in the dataset. The exit status is 1 when training on it would stop.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from jaxpose import draw, geometry, images, skeletons
from jaxpose.annotations import AnnotationError, Dataset, Problem, check, load, regions

SAMPLED = 200  # pictures decoded unless all are asked for
SHOWN = 10  # problems printed of each kind unless all are asked for
TILE = (256, 192)  # (H, W) of a person on the sheet, cropped as for training
WHOLE = 320  # height of a whole picture on the sheet


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("folder", metavar="DIR", help="folder of the dataset")
    parser.add_argument("--annotations", metavar="FILE", help="only this annotation file")
    parser.add_argument("--images", metavar="DIR", help="folder of its pictures")
    parser.add_argument("--detections", metavar="FILE", help="detector boxes to check with it")
    parser.add_argument(
        "--all", action="store_true", help="decode every picture and print every problem"
    )
    parser.add_argument(
        "-o", "--output", default="data_sheet.png", metavar="PNG", help="sample sheet; '' for none"
    )
    parser.add_argument("--people", type=int, default=20, help="people on the sheet")
    parser.add_argument(
        "--whole", action="store_true",
        help="whole pictures on the sheet, with everybody and (in red) what is ignored",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Checks the dataset and prints what was found; 1 when there is a problem that stops training.

    Raises:
      ValueError: there is no annotation file, or the pictures' folder cannot be told.
    """
    folder = Path(args.folder)
    paths = [Path(args.annotations)] if args.annotations else find_annotations(folder)
    bad = False
    for path in paths:
        print(f"{path}")
        found = check(path)
        _print_problems(found, args.all)
        if any(problem.fatal for problem in found):
            bad = True
            continue
        try:
            pictures = Path(args.images) if args.images else find_images(folder, path)
            dataset = load(path, image_dir=pictures)
        except AnnotationError as error:
            # What only the whole file tells, such as that nobody in it can be used.
            _print_lines([f"{path.name}{str(error).removeprefix(str(path))}"], args.all)
            bad = True
            continue
        print(describe(dataset))
        if args.detections:
            boxes = check(args.detections, dataset)
            _print_problems(boxes, args.all)
            bad |= any(problem.fatal for problem in boxes)
        damaged, unlike, checked = check_pictures(dataset, None if args.all else SAMPLED)
        print(f"  pictures in {pictures}: {checked} of {len(dataset.images)} decoded, "
              f"{len(damaged)} unusable, {len(unlike)} of another size than annotated")  # fmt: skip
        if unlike:
            print("  pictures of another size: bottom-up networks leave them out as unusable")
        _print_lines(damaged + unlike, args.all)
        bad |= bool(damaged)
        if args.output:
            output = Path(args.output)
            if len(paths) > 1:
                output = output.with_stem(f"{output.stem}_{path.stem}")
            picture = (whole_sheet if args.whole else sheet)(dataset, args.people)
            if picture is not None:
                _write_sheet(picture, output)
        print()
    print("problems found" if bad else "no problem that would stop training")
    return int(bad)


def find_annotations(folder: Path) -> list[Path]:
    """Annotation files in a folder or its subfolder `annotations`, in order of their names.

    Told by the words in them, so that a damaged one is found and reported, too; other json files
    (detector boxes, captions, object boxes) are passed over.
    """
    if not folder.is_dir():
        raise ValueError(f"no such folder {folder}")
    found = []
    for path in sorted([*folder.glob("*.json"), *folder.glob("annotations/*.json")]):
        text = path.read_bytes()
        coco = b'"keypoints"' in text and b'"images"' in text
        if coco or b'"joints_vis"' in text or not text:
            found.append(path)
    if not found:
        raise ValueError(
            f"no annotation file in {folder} or {folder / 'annotations'}: name one with "
            "--annotations FILE --images DIR"
        )
    return found


def find_images(folder: Path, path: Path) -> Path:
    """The folder that holds most of the first pictures of an annotation file.

    Raises:
      ValueError: none of the folders nearby holds any of them.
      AnnotationError: the file cannot be loaded.
    """
    # Loaded with a folder that certainly exists, to know the names of the pictures.
    dataset = load(path, image_dir=path.parent)
    names = [info.file_name for info in list(dataset.images.values())[:50]]
    nearby = [folder, *sorted(p for p in folder.iterdir() if p.is_dir())]
    nearby += [path.parent, path.parent / "images", *sorted(folder.glob("images/*/"))]
    hits = {place: sum((place / name).is_file() for name in names) for place in nearby}
    # Among equals, the one that the annotation file is named after (val2017, train, ...).
    best = max(hits, key=lambda place: (hits[place], place.name in path.stem))
    if not hits[best]:
        raise ValueError(
            f"{path}: none of its pictures ({names[0]}, ...) is in a folder of {folder}: name "
            "theirs with --images DIR"
        )
    return best


def describe(dataset: Dataset) -> str:
    """Counts, skeleton, flip pairs and sizes, several lines."""
    people, skeleton = dataset.people, dataset.skeleton
    names = skeleton.joints
    pairs = ", ".join(f"{names[a]}-{names[b]}" for a, b in skeleton.flip_pairs)
    middle = [n for k, n in enumerate(names) if skeleton.flip_indices[k] == k]
    labelled = people.keypoints[..., 2].astype(bool)
    sizes = np.sqrt(people.box[:, 2] * people.box[:, 3])
    low, median, high = np.percentile(sizes, [5, 50, 95])
    skipped = ", ".join(f"{count} {reason}" for reason, count in dataset.skipped.items())
    lines = [
        f"  {dataset.format} format: {len(dataset.images)} pictures, {len(people)} people to use; "
        f"left out: {skipped or 'nobody'}",
        f"  skeleton {skeleton.name!r}: {skeleton.num_joints} joints, {len(skeleton.limbs)} limbs",
        f"  pairs that a mirror swaps: {pairs or 'none'}",
        f"  joints without a side: {', '.join(middle) or 'none'}",
        f"  labelled joints a person: {labelled.sum(1).mean():.1f}; by joint, percent: "
        + ", ".join(f"{n} {100 * s:.0f}" for n, s in zip(names, labelled.mean(0), strict=True)),
        f"  size of a person, root of the box's area: median {median:.0f} pixels, "
        f"5 to 95 percent {low:.0f} to {high:.0f}",
    ]
    return "\n".join(lines + _together(dataset) + _warnings(dataset, labelled, skeleton))


def _together(dataset: Dataset) -> list[str]:
    """What matters when everybody in a picture is looked for at once; nothing for MPII, whose
    records say nothing about the others in a picture."""
    if dataset.format == "mpii":
        return []
    counts = np.array([len(rows) for rows in dataset.labeled_rows.values()])
    count = sum(map(len, dataset.regions.values()))
    lines = [
        f"  in one picture: median {np.median(counts):.0f}, at most {counts.max()} people; "
        f"{len(dataset.with_people)} pictures with people, {count} regions to ignore"
    ]
    if dataset.crowd_index:
        index = np.array(list(dataset.crowd_index.values()))
        easy, hard = (index < 0.2).sum(), (index >= 0.8).sum()
        lines.append(
            f"  crowdIndex {index.min():.2f} to {index.max():.2f}: {easy} easy, "
            f"{len(index) - easy - hard} medium, {hard} hard pictures"
        )
    return lines


def _warnings(dataset: Dataset, labelled: np.ndarray, skeleton: skeletons.Skeleton) -> list[str]:
    """What does not stop training but may explain a strange score."""
    people, lines = dataset.people, []
    unused = [n for n, count in zip(skeleton.joints, labelled.sum(0), strict=True) if not count]
    if unused:
        lines.append(f"  note: never labelled: {', '.join(unused)}")
    if not skeleton.flip_pairs:
        lines.append("  note: no joint has a side; check the names if the body has two")
    if not skeleton.limbs:
        lines.append("  note: no limbs; drawings will show points only")
    infos = [dataset.images[identity] for identity in people.image_id.tolist()]
    if infos and infos[0].width is not None:
        limits = np.array([[info.width, info.height] for info in infos])[:, None]
        points = people.keypoints[..., :2]
        outside = (((points < 0) | (points > limits)).any(-1) & labelled).sum()
        if outside:
            lines.append(f"  note: {outside} labelled joints lie outside their picture")
    return lines


def check_pictures(dataset: Dataset, limit: int | None) -> tuple[list[str], list[str], int]:
    """Decodes the pictures, or `limit` of them spread evenly.

    Returns:
      one line for each unusable picture, one for each whose size is not the annotated one, and
      the number of pictures tried.
    """
    infos = list(dataset.images.values())
    if limit is not None and len(infos) > limit:
        infos = [infos[round(k)] for k in np.linspace(0, len(infos) - 1, limit)]
    damaged, unlike = [], []
    for info in infos:
        path = dataset.image_path(info.id)
        try:
            height, width = images.decode(path.read_bytes()).shape[:2]
        except OSError as error:
            damaged.append(f"{path}: cannot be read ({error.strerror})")
        except images.ImageError as error:
            damaged.append(f"{path}: {error}")
        else:
            if info.width is not None and (info.height, info.width) != (height, width):
                unlike.append(
                    f"{path}: is {width} x {height}, annotated as {info.width} x {info.height}"
                )
    return damaged, unlike, len(infos)


def sheet(dataset: Dataset, count: int) -> np.ndarray | None:
    """People spread evenly over the dataset, cropped as for training, their joints drawn.

    Returns:
      uint8 RGB [H, W, 3], or None when no picture can be decoded.
    """
    people = dataset.people
    center, scale = people.center_scale(TILE)
    tiles, captions = [], []
    for row in np.unique(np.linspace(0, len(people) - 1, count).round().astype(int)):
        try:
            picture = images.decode(dataset.image_path(people.image_id[row]).read_bytes())
        except (OSError, images.ImageError):
            continue
        matrix = geometry.affine(center[row], scale[row], 0.0, TILE)
        crop = geometry.crop(picture, matrix, TILE)
        points = geometry.transform(people.keypoints[row, :, :2], matrix)
        labelled = people.keypoints[row, :, 2]
        tiles.append(draw.draw_pose(crop, points, labelled, dataset.skeleton))
        captions.append(f"{people.annotation_id[row]}")
    return draw.contact_sheet(tiles, captions, height=TILE[0]) if tiles else None


def whole_sheet(dataset: Dataset, count: int) -> np.ndarray | None:
    """Pictures spread evenly over the dataset, everybody's joints drawn as bottom-up networks are
    taught them, and in red the regions that their training ignores.

    Returns:
      uint8 RGB [H, W, 3], or None when no picture can be decoded.
    """
    tiles, captions = [], []
    ids = dataset.with_people
    for place in np.unique(np.linspace(0, len(ids) - 1, count).round().astype(int)):
        identity = ids[place]
        try:
            picture = images.decode(dataset.image_path(identity).read_bytes()).copy()
        except (OSError, images.ImageError):
            continue
        info, ignored_regions = dataset.images[identity], dataset.regions.get(identity, [])
        if ignored_regions and picture.shape[:2] == (info.height, info.width):
            ignored = regions.mask(ignored_regions, picture.shape[:2]) == 0
            picture[ignored] = picture[ignored] // 2 + np.array([120, 0, 0], np.uint8)
        for person in dataset.labeled.keypoints[dataset.labeled_rows.get(identity, [])]:
            picture = draw.draw_pose(picture, person[:, :2], person[:, 2], dataset.skeleton)
        tiles.append(picture)
        captions.append(f"{identity}")
    return draw.contact_sheet(tiles, captions, height=WHOLE) if tiles else None


def _write_sheet(picture: np.ndarray, output: Path) -> None:
    import cv2

    output.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(output), picture[..., ::-1]):
        raise ValueError(f"cannot write the sample sheet {output}")
    print(f"  sample sheet: {output} (left blue, right orange)")


def _print_problems(found: Iterable[Problem], everything: bool) -> None:
    """Problems by kind; of each kind the first few, unless everything is asked for."""
    kinds: dict[tuple[bool, str], list[str]] = collections.defaultdict(list)
    for problem in found:
        # The kind is the rule without its numbers.
        kind = "".join("#" if letter.isdigit() else letter for letter in problem.rule[:24])
        short = dataclasses.replace(problem, file=Path(problem.file).name)
        kinds[problem.fatal, kind].append(str(short))
    for lines in kinds.values():
        _print_lines(lines, everything)


def _print_lines(lines: list[str], everything: bool) -> None:
    shown = lines if everything else lines[:SHOWN]
    for line in shown:
        print(f"    {line}")
    if len(shown) < len(lines):
        print(f"    ... and {len(lines) - len(shown)} more like these (--all prints them)")
