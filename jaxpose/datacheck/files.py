"""Locates the annotation files of a dataset folder and the images of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jaxpose.annotations import load


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
        text = path.read_bytes().replace(b"\0", b"")  # UTF-16 becomes ASCII
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
