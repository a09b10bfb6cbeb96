"""Images at the input size of a network, as in evaluation: to verify and to calibrate files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxpose import geometry, images
from jaxpose.annotations import AnnotationError, Dataset, load
from jaxpose.config import split_files
from jaxpose.export.source import Source

# Images that quantization is calibrated on, and the seed of their choice.
CALIBRATION_IMAGES, SEED = 128, 0


def of_files(files: Sequence[Path], source: Source) -> np.ndarray:
    """Whole images, each as one crop: uint8 RGB [N, H, W, 3].

    Args:
      files: at least one image file; for a top-down network, with one person each.
      source: the network.

    Raises:
      OSError: a file cannot be read.
      ValueError: a file is not an image.
    """
    crops = []
    for path in files:
        try:
            image = images.decode(path.read_bytes())
        except images.ImageError as error:
            raise ValueError(f"{path}: {error}") from None
        center, scale = source.task.view(image.shape[:2], source.input_size)
        crops.append(_crop(image, center, scale, source))
    return np.stack(crops)


def of_training(
    source: Source, count: int = CALIBRATION_IMAGES, data: Path | None = None
) -> np.ndarray:
    """Random crops of the run's training split, without augmentation: uint8 RGB [N, H, W, 3].

    A top-down network gets annotated people, a bottom-up network whole images. Images that cannot
    be read are replaced by others.

    Args:
      source: the network; `config.data` says where the split is.
      count: N, or less if the split is smaller.
      data: folder of the data; None for `config.data.root` of the run.

    Raises:
      ValueError: the settings name no data, or the data cannot be read; the message asks for
        `--calibrate`.
    """
    dataset = _training_split(source, data)
    size, people = source.input_size, dataset.people
    by_person = source.task.EXAMPLE == "crop"
    center, scale = people.center_scale(size)
    ids = people.image_id if by_person else np.array(list(dataset.images))
    crops: list[np.ndarray] = []
    reason = f"{dataset.path} has none"
    for row in np.random.default_rng(SEED).permutation(len(ids)):
        path = dataset.image_path(ids[row])
        try:
            image = images.decode_annotated(path.read_bytes(), dataset.annotated_size(ids[row]))
        except (OSError, images.ImageError) as error:
            reason = f"{path}: {error.strerror if isinstance(error, OSError) else error}"
            continue
        if by_person:
            crops.append(_crop(image, center[row], scale[row], source))
        else:
            middle, extent = source.task.view(image.shape[:2], size)
            crops.append(_crop(image, middle, extent, source))
        if len(crops) == count:
            break
    if not crops:
        raise ValueError(_asks(reason))
    return np.stack(crops)


def _training_split(source: Source, folder: Path | None) -> Dataset:
    data = source.config.data
    if not (folder or data.root):
        raise ValueError(_asks("the settings name no data (config.data.root is empty)"))
    file, image_dir = split_files(data, "train", folder or Path(data.root).expanduser())
    try:
        return load(file, image_dir=image_dir, category=data.category)
    except AnnotationError as error:
        raise ValueError(_asks(str(error))) from None


def _asks(reason: str) -> str:
    return f"no training images to calibrate on: {reason}; give images with --calibrate FILE..."


def _crop(image: np.ndarray, center: np.ndarray, scale: np.ndarray, source: Source) -> np.ndarray:
    matrix = source.task.crop_matrix(center, scale, source.input_size, source.decoder)
    return geometry.crop(image, matrix, source.input_size)
