"""Sizes of images: those that a file states, and for other images those of the image files."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxpose import images
from jaxpose.annotations.records import Problem, StrPath, is_number, note

Size = tuple[int, int]  # (H, W) in pixels
# Function file names -> size of each image; None where the image cannot be read.
ReadSizes = Callable[[Sequence[str]], list[Size | None]]


def stated_size(record: Mapping[str, Any]) -> Size | None:
    """Returns the (H, W) in an image's record; None if a side is absent, null or not positive."""
    height: Any = record.get("height")
    width: Any = record.get("width")
    if is_number(height) and is_number(width) and height >= 1 and width >= 1:
        return int(height), int(width)
    return None


def read_sizes(folder: StrPath, names: Sequence[str]) -> list[Size | None]:
    """Decodes images in several threads, to get their sizes as stored.

    Args:
      folder: of the images.
      names: paths relative to it.

    Returns:
      (H, W) of each image; None where it cannot be read.
    """

    def read(name: str) -> Size | None:
        try:
            return images.decode((Path(folder) / name).read_bytes()).shape[:2]
        except (OSError, images.ImageError):
            return None  # the image is unusable: counted and named when it is needed

    with concurrent.futures.ThreadPoolExecutor() as pool:
        return list(pool.map(read, names))


def without_size(file: str, names: Sequence[str]) -> Problem:
    """The note on images without a stated size.

    Args:
      file: the annotation file.
      names: of these images; at least one.
    """
    text = f"{len(names)} without height and width, e.g. {names[0]}: no size is compared"
    return note(file, "images", text)


def unread(file: str, names: Sequence[str]) -> Problem:
    """The note on those of these images that cannot be read either; arguments as there."""
    text = f"{len(names)} without height and width cannot be read, e.g. {names[0]}: not usable"
    return note(file, "images", text)
