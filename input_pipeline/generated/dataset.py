"""Writes generated people to a folder: images, annotation files and the parameters used."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from input_pipeline.generated.parameters import VERSION, Crowds, Parameters
from jaxpose import skeletons
from jaxpose.config import generated_files


def ensure(root: str | os.PathLike[str] = "", **parameters: Any) -> Path:
    """Returns the folder of the dataset with these `Parameters`; writes it if it is missing.

    Args:
      root: folder of the dataset; "" is a folder under ~/.cache/jaxpose, named by the parameters.
      **parameters: fields of `Parameters` that differ from their defaults.

    Raises:
      ValueError: an unknown parameter, or the folder contains something else.
    """
    return _ensure(Parameters, root, parameters)


def ensure_crowds(root: str | os.PathLike[str] = "", **parameters: Any) -> Path:
    """Like `ensure`, with images of groups; `parameters` are fields of `Crowds`."""
    return _ensure(Crowds, root, parameters)


def _ensure(
    kind: type[Parameters] | type[Crowds],
    root: str | os.PathLike[str],
    parameters: dict[str, Any],
) -> Path:
    known = [field.name for field in fields(kind)]
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise ValueError(f"unknown parameter {unknown[0]!r} (known: {', '.join(known)})")
    options = kind(**parameters)
    if root:
        folder = Path(root).expanduser()
    else:
        digest = hashlib.sha256(options.to_json().encode()).hexdigest()[:12]
        name = "crowds" if kind is Crowds else "people"
        folder = Path.home() / ".cache" / "jaxpose" / f"{name}-{digest}"
    if not _is_complete(folder, options):
        _write(folder, options)
    return folder


def _is_complete(folder: Path, options: Parameters | Crowds) -> bool:
    if not folder.exists() or not any(folder.iterdir()):
        return False
    marker = folder / "parameters.json"
    if not marker.is_file():
        raise ValueError(
            f"{folder} is not a folder of generated people: choose another folder or empty it"
        )
    stored, requested = json.loads(marker.read_text()), json.loads(options.to_json())
    differences = [
        f"{key}={stored.get(key)!r}, not {value!r}"
        for key, value in requested.items()
        if stored.get(key) != value
    ]
    if differences:
        raise ValueError(
            f"{folder} holds people generated with {'; '.join(differences)}: choose another folder "
            "or remove this one"
        )
    return True


def _write(folder: Path, options: Parameters | Crowds) -> None:
    """Writes a temporary folder beside the final one, then renames it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(work, ignore_errors=True)
    images = generated_files("train", work)[1]  # of both splits
    images.mkdir(parents=True)
    try:
        jobs = [
            (str(images / name), options, number) for number, name in enumerate(_names(options))
        ]
        if len(jobs) <= 64:
            records = [_write_image(*job) for job in jobs]
        else:
            # Spawned, because a fork would copy the threads of JAX and TensorFlow.
            context = multiprocessing.get_context("spawn")
            with context.Pool(min(os.cpu_count() or 1, 8)) as pool:
                records = pool.starmap(_write_image, jobs, chunksize=16)
        splits = {"train": records[: options.num_train], "val": records[options.num_train :]}
        for split, rows in splits.items():
            generated_files(split, work)[0].write_text(json.dumps(_coco(rows)))
        (work / "parameters.json").write_text(options.to_json())
        if folder.exists():
            folder.rmdir()  # fails unless the folder is empty
        try:
            work.rename(folder)
        except OSError:
            # Another process finished first with the same result.
            if not _is_complete(folder, options):
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _names(options: Parameters | Crowds) -> list[str]:
    train = [f"train_{number:06d}.jpg" for number in range(options.num_train)]
    return train + [f"val_{number:06d}.jpg" for number in range(options.num_val)]


def _write_image(path: str, options: Parameters | Crowds, number: int) -> tuple[dict, list[dict]]:
    """Writes one image; returns its image record and its annotations, without their ids."""
    cv2.setNumThreads(1)
    name = os.path.basename(path)
    split = int(name.startswith("val"))
    index = number - split * options.num_train
    rng = np.random.default_rng([options.seed, split, index])
    image, annotations = options.draw(rng)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(82, 97))]
    if not cv2.imwrite(path, image[..., ::-1], quality):
        raise OSError(f"cannot write {path}")
    height, width = image.shape[:2]
    info = {"id": index + 1, "file_name": name, "height": height, "width": width}
    return info, annotations


def _coco(rows: list[tuple[dict, list[dict]]]) -> dict[str, Any]:
    skeleton = skeletons.COCO
    annotations: list[dict[str, Any]] = []
    for info, people in rows:
        for person in people:
            identity = {"id": len(annotations) + 1, "image_id": info["id"], "category_id": 1}
            annotations.append(identity | person)
    category = {
        "id": 1,
        "name": "person",
        "supercategory": "person",
        "keypoints": list(skeleton.joints),
        "skeleton": [[a + 1, b + 1] for a, b in skeleton.limbs],
    }
    return {
        "info": {"description": f"Generated people, version {VERSION}"},
        "images": [info for info, _ in rows],
        "annotations": annotations,
        "categories": [category],
    }
