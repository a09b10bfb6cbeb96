"""Decodes the images of a dataset and lists those that cannot be used or look wrong."""

from __future__ import annotations

import dataclasses

import numpy as np

from jaxpose import images
from jaxpose.annotations import Dataset
from jaxpose.wording import quantity


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
        f"{quantity(len(names), 'image')} {text}: "
        f"{', '.join(names[:3])}{', ...' if names[3:] else ''}"
        for names, text in (
            (upright, "rotated by EXIF orientation, which gives the annotated size"),
            (turned, f"{images.TURNED}; check the sheet"),
            (dark, "nearly black after conversion from 16 to 8 bits; use the full range of values"),
        )
        if names
    ]  # fmt: skip
    return ImagesRead(damaged, mismatched, notes, len(infos))
