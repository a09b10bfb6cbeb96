"""From `config.data` to a checked dataset and a way to its pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from input_pipeline import source
from jaxpose import tasks
from jaxpose.annotations import Dataset, load_coco, load_crowdpose, load_mpii
from jaxpose.choices import did_you_mean

FORMATS = ("coco", "crowdpose", "mpii", "generated")
STORAGES = ("files", "tfds")


def choice(value: str, key: str, known: tuple[str, ...]) -> str:
    """The value of a setting, if it is a known one; else a ValueError that names the nearest."""
    if value in known:
        return value
    hint = did_you_mean(value, known, before="; ")
    raise ValueError(f"config.{key}={value!r} is not one of {', '.join(known)}{hint}")


def load(config: Any, split: str) -> Dataset:
    """The people of one split, "train" or "val".

    With format "generated" the dataset is written first, unless it is there already; one person
    per image for crops, else crowds.

    Raises:
      ValueError: unknown format.
      AnnotationError: a missing or malformed annotation file.
    """
    data = config.data
    kind = choice(data.format, "data.format", FORMATS)
    if kind == "generated":
        from input_pipeline import generated

        writers = {"crop": generated.ensure, "image": generated.ensure_crowds}
        root = writers[tasks.get(config.task).EXAMPLE](data.root, **data.generated)
        path, folder = root / f"{split}.json", root / "images"
    else:
        path = Path(data.root) / data[f"{split}_annotations"]
        folder = Path(data.root) / data[f"{split}_images"]
    readers = {"crowdpose": load_crowdpose, "mpii": load_mpii}
    read = readers.get(kind, load_coco)
    dataset = read(path, image_dir=folder)
    if data.limit:
        dataset = dataclasses.replace(dataset, people=dataset.people.select(slice(data.limit)))
    return dataset


def reader(config: Any, dataset: Dataset) -> Callable[[int], bytes]:
    """Function image id -> bytes of the picture, from where `config.data.storage` says."""
    if choice(config.data.storage, "data.storage", STORAGES) == "files":
        return source.read_files(dataset)
    from input_pipeline import tfds_builders

    return tfds_builders.reader(dataset, config.data.tfds_dir)
