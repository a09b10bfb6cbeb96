"""Loads the dataset that `config.data` describes, and gives access to its images."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from input_pipeline import source
from jaxpose import skeletons, tasks
from jaxpose.annotations import (
    Dataset,
    Problem,
    load_coco,
    load_crowdpose,
    load_image_info,
    load_mpii,
    need_sides,
)
from jaxpose.choices import did_you_mean
from jaxpose.config import split_files
from jaxpose.skeletons import Skeleton

FORMATS = ("coco", "crowdpose", "mpii", "generated")
STORAGES = ("files", "tfds")
REDUCED = ("never", "train", "always")


def check_choice(value: str, key: str, known: tuple[str, ...]) -> str:
    """Returns the value of a setting if it is one of `known`.

    Raises:
      ValueError: it is not; the message suggests the nearest valid value.
    """
    if value in known:
        return value
    hint = did_you_mean(value, known, before="; ")
    raise ValueError(f"config.{key}={value!r} must be one of {', '.join(known)}{hint}")


def load_dataset(
    config: Any,
    split: str,
    *,
    skeleton: Skeleton | None = None,
    scored: bool = False,
    images: bool = True,
) -> Dataset:
    """Loads one split, "train" or "val".

    With format "generated", the dataset is first written unless it already exists; top-down tasks
    get images of few people, bottom-up tasks get crowds.

    Args:
      config: all settings; `data` and `task` are used.
      split: "train" or "val".
      skeleton: of a network that predicts the split; the annotation file may then list images
        without annotations, and need not have sigmas and left-right pairs (`skeletons.complete`).
      scored: whether the file must have annotations, even with a skeleton.
      images: whether the folder of the images must exist.

    Raises:
      ValueError: unknown format, or no annotation file in the settings.
      AnnotationError: a missing or malformed annotation file, or one without left-right pairs if
        the training images are mirrored.
    """
    data = config.data
    kind = check_choice(data.format, "data.format", FORMATS)
    if kind == "generated":
        from input_pipeline import generated

        writers = {"crop": generated.ensure, "image": generated.ensure_crowds}
        root = writers[tasks.get(config.task).EXAMPLE](data.root, **data.generated)
    else:
        root = Path(data.root)
        if not root.is_dir():
            raise ValueError(f"config.data.root={data.root}: no such folder")
        if not data[f"{split}_annotations"]:
            raise ValueError(
                f"config.data.{split}_annotations is empty: give the annotation file, "
                f"--config.data.{split}_annotations=FILE (relative to data.root)"
            )
    path, folder = split_files(data, split, root)
    if skeleton is not None and kind != "mpii" and not scored:
        dataset = load_image_info(path, image_dir=folder, skeleton=skeleton)
        if dataset is not None:
            return dataset
    readers = {"crowdpose": load_crowdpose, "mpii": load_mpii}
    read = readers.get(kind, load_coco)
    # The readers check that the folder exists.
    dataset = read(
        path,
        image_dir=folder if images or folder.is_dir() else path.parent,
        category=data.get("category", ""),
        flip_pairs=data.get("flip_pairs", ()),
    )
    dataset = dataclasses.replace(dataset, image_dir=folder)
    if skeleton is not None:
        dataset = complete(dataset, skeleton)
    if split == "train" and config.augment.flip > 0:
        need_sides(dataset)  # eval.py checks this later, after the keypoints
    if data.limit:
        dataset = dataclasses.replace(dataset, people=dataset.people.select(slice(data.limit)))
    return dataset


def complete(dataset: Dataset, network: Skeleton) -> Dataset:
    """Adds what the file lacks and the network knows (`skeletons.complete`), with a note each."""
    skeleton, lines = skeletons.complete(dataset.skeleton, network)
    record = f"category {dataset.skeleton.name!r}"
    added = [Problem(str(dataset.path), record, line, fatal=False, skipped=False) for line in lines]
    return dataclasses.replace(dataset, skeleton=skeleton, notes=[*dataset.notes, *added])


def check_crowding(config: Any, dataset: Dataset) -> None:
    """Checks that CrowdPose's metric can be computed on the dataset.

    Raises:
      ValueError: an image has no crowdIndex.
    """
    crowding = dataset.crowd_index
    if dataset.format == "image_info":
        return  # images without annotations are not scored
    if config.eval.get("metric") == "crowdpose" and len(crowding) < len(dataset.images):
        raise ValueError(
            f"config.eval.metric='crowdpose' needs the crowdIndex of every image; {dataset.path} "
            f"has it for {len(crowding)} of {len(dataset.images)} images (read only with "
            "config.data.format='crowdpose')"
        )


def image_reader(config: Any, dataset: Dataset) -> Callable[[int], bytes]:
    """Returns a function from image id to the bytes of the image, read from `data.storage`."""
    if check_choice(config.data.storage, "data.storage", STORAGES) == "files":
        return source.read_files(dataset)
    from input_pipeline import tfds_builders

    return tfds_builders.reader(dataset, config.data.tfds_dir)


def reduces(config: Any, *, training: bool) -> bool:
    """Whether `data.reduced_decode` applies to training or to evaluation.

    Raises:
      ValueError: an unknown value.
    """
    value = check_choice(config.data.reduced_decode, "data.reduced_decode", REDUCED)
    return value == "always" or (value == "train" and training)
