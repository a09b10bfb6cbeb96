"""TFDS builders: the images of a dataset in one ArrayRecord file, prepared once, read many times.

    python -m input_pipeline.tfds_builders --config=configs/<recipe>.py    prepares both splits

Thousands of small files are slow on network disks; ArrayRecord reads any record with one access.
The records hold the unchanged image files in the order of the annotation file. The people are
still read from the annotation file. Nothing is downloaded.

The name of the copy contains fingerprints of the annotation file and of the images (name, size,
time), so a new copy is made when a file changes. If none of the image files exists any more, the
newest copy for the annotation file is used. If an image cannot be read when the copy is made, a
warning names it; its record is empty, and later the file itself is read instead.
"""

from __future__ import annotations

import logging
import os
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from absl import app, flags

from input_pipeline import source
from input_pipeline.fingerprint import annotations_name, dataset_name
from jaxpose import images
from jaxpose.annotations import Dataset
from jaxpose.config import expand_paths
from jaxpose.config.flags import define_config_file, parse_flags
from jaxpose.wording import quantity

SPLIT = "pictures"  # stored in prepared copies
NAMED = 5  # number of unreadable images that the warning names

_log = logging.getLogger(__name__)


class _ImageBuilder(tfds.core.GeneratorBasedBuilder):
    """Images of one annotation file: encoded bytes, image id and file name."""

    VERSION = tfds.core.Version("1.0.0")
    # Set here because TFDS 4.9 would import a package that it does not depend on to look it up.
    code_path = pathlib.Path(__file__)

    def __init__(self, *, dataset: Dataset, **kwargs: Any) -> None:
        self._dataset = dataset
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Tensor(shape=(), dtype=np.bytes_),
                    "image_id": tfds.features.Scalar(np.int64),
                    "file_name": tfds.features.Text(),
                }
            ),
            disable_shuffling=True,  # record n is image n of the annotation file
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[Any]]:
        del dl_manager  # local files only
        return {SPLIT: self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[int, dict[str, Any]]]:
        read = source.read_files(self._dataset)
        unusable = []
        for number, info in enumerate(self._dataset.images.values()):
            image, reason = b"", ""
            try:
                image = read(info.id)
                if not image:
                    reason = "the file is empty"
            except images.ImageError as error:
                reason = str(error)
            if reason:
                unusable.append(f"{info.file_name} ({reason})")
            # A record without an image keeps the order.
            yield number, {"image": image, "image_id": info.id, "file_name": info.file_name}
        if unusable:
            _log.warning(
                "the prepared copy of %s lacks %d of %d images: %s%s",
                self._dataset.path,
                len(unusable),
                len(self._dataset.images),
                ", ".join(unusable[:NAMED]),
                ", ..." if unusable[NAMED:] else "",
            )


class CocoKeypoints(_ImageBuilder):
    """Images of a dataset in COCO keypoint format, official COCO or any other."""


class CrowdPose(_ImageBuilder):
    """Images of CrowdPose, by one of its official annotation files."""


class MpiiKeypoints(_ImageBuilder):
    """Images of MPII, by an annotation file in the JSON form of the HRNet project."""


class ImageInfo(_ImageBuilder):
    """Images of a file without annotations, as COCO's image_info_test-dev2017.json."""


BUILDERS = {
    "coco": CocoKeypoints,
    "crowdpose": CrowdPose,
    "mpii": MpiiKeypoints,
    "image_info": ImageInfo,
}


def _has_images(dataset: Dataset) -> bool:
    return any(dataset.image_path(identity).is_file() for identity in dataset.images)


def _newest_copy(dataset: Dataset, data_dir: str | None) -> str:
    """Returns the name of the newest prepared copy for the annotation file, whatever its images.

    Raises:
      ValueError: there is none.
    """
    folder = pathlib.Path(data_dir or tfds.core.constants.DATA_DIR) / BUILDERS[dataset.format].name
    prefix, version = annotations_name(dataset), str(_ImageBuilder.VERSION)
    copies = [path for path in folder.glob(f"{prefix}-*") if (path / version).is_dir()]
    if not copies:
        names = [info.file_name for info in dataset.images.values()]
        raise ValueError(
            f"{dataset.path}: none of its images ({names[0]}, ...) is in {dataset.image_dir}, and "
            f"{folder} has no prepared copy of them"
        )
    return max(copies, key=lambda path: path.stat().st_mtime_ns).name


def prepare_dataset(
    dataset: Dataset, tfds_dir: str | os.PathLike[str] = ""
) -> tfds.core.DatasetBuilder:
    """Returns the builder of the dataset's images, after preparing the copy if it is missing.

    Args:
      dataset: the checked annotation file.
      tfds_dir: folder of prepared data; "" is the default of TFDS.

    Raises:
      ValueError: there is neither an image file nor a prepared copy.
    """
    data_dir = os.path.expanduser(tfds_dir) or None
    name = dataset_name(dataset) if _has_images(dataset) else _newest_copy(dataset, data_dir)
    builder = BUILDERS[dataset.format](
        dataset=dataset,
        data_dir=data_dir,
        file_format="array_record",
        config=tfds.core.BuilderConfig(name=name, version=_ImageBuilder.VERSION),
    )
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(
            compute_stats=tfds.download.ComputeStatsMode.SKIP, try_download_gcs=False
        )
    )
    return builder


def prepare(config: Any) -> None:
    """Prepares both splits of `config.data` (docs/settings.md)."""
    from input_pipeline.dataset import load_dataset

    expand_paths(config)
    for split in ("train", "val"):
        if split == "val" and not config.data.val_annotations:
            continue  # trains without validation
        prepare_dataset(load_dataset(config, split), config.data.tfds_dir)


def reader(dataset: Dataset, tfds_dir: str | os.PathLike[str] = "") -> Callable[[int], bytes]:
    """Returns a function from image id to the bytes of the image file in the prepared copy.

    The function raises ImageError for an image that is neither in the copy nor a readable file.

    Raises:
      ValueError: there is neither an image file nor a prepared copy, or the copy does not match the
        annotation file.
    """
    builder = prepare_dataset(dataset, tfds_dir)
    name, records = builder.builder_config.name, builder.as_data_source(split=SPLIT)
    if len(records) != len(dataset.images):
        raise ValueError(
            f"{tfds_dir}: the prepared copy holds {quantity(len(records), 'image')}, but "
            f"{dataset.path} lists {len(dataset.images)}: remove the copy {name}"
        )
    from_file = source.read_files(dataset)
    position = {image_id: number for number, image_id in enumerate(dataset.images)}

    def read(image_id: int) -> bytes:
        record = records[position[image_id]]
        if int(record["image_id"]) != image_id:
            raise ValueError(
                f"{tfds_dir}: record {position[image_id]} is image {int(record['image_id'])}, "
                f"expected {image_id}: remove the copy {name}"
            )
        return bytes(record["image"]) or from_file(image_id)

    return read


def main(_: Any = None) -> None:
    try:
        prepare(_CONFIG.value)
    except (ValueError, OSError) as error:
        print(f"tfds_builders.py: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    _CONFIG = define_config_file("Recipe: a file of configs/.")
    flags.mark_flag_as_required("config")
    app.run(main, flags_parser=parse_flags)
