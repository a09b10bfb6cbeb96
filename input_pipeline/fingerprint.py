"""Fingerprints that tell whether a prepared copy of a dataset is that of its files."""

from __future__ import annotations

import hashlib
from typing import Any

from jaxpose.annotations import Dataset


def dataset_name(dataset: Dataset) -> str:
    """Returns the name of a prepared copy, from the annotation file and the image files.

    It consists of the stem and a hash of the annotation file, and a hash of the names, sizes and
    modification times of the images.
    """
    states = []
    for info in dataset.images.values():
        try:
            status = dataset.image_path(info.id).stat()
            state: tuple[int, int] | None = (status.st_size, status.st_mtime_ns)
        except OSError:
            state = None
        states.append((info.id, info.file_name, state))
    return f"{annotations_name(dataset)}-{hash_of(states)}"


def annotations_name(dataset: Dataset) -> str:
    """Returns the part of the name that the annotation file determines."""
    content = hashlib.sha256(dataset.path.read_bytes()).hexdigest()[:16]
    return f"{dataset.path.stem}-{content}"


def hash_of(values: list[Any]) -> str:
    """Returns 16 hexadecimal digits for values whose `repr` tells them apart."""
    digest = hashlib.sha256()
    for value in values:
        digest.update(repr(value).encode())
    return digest.hexdigest()[:16]
