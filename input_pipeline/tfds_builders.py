"""TFDS builders: the images of a dataset in one ArrayRecord file, prepared once, read many times.

    python -m input_pipeline.tfds_builders --config=configs/<recipe>.py    prepares both splits

Thousands of small files are slow on network disks; ArrayRecord reads any record with one access.
The records hold the unchanged image files in the order of the annotation file. The people are
still read from the annotation file. Nothing is downloaded. The name of the copy contains a
fingerprint of the annotation file, so a change of that file creates a new copy.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from absl import app, flags

from input_pipeline import source
from jaxpose import images
from jaxpose.annotations import Dataset
from jaxpose.config import expand_paths
from jaxpose.config.flags import define_config_file, parse_flags

SPLIT = "pictures"  # stored in prepared copies


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
        for number, info in enumerate(self._dataset.images.values()):
            try:
                image = read(info.id)
            except images.ImageError:
                image = b""  # keeps the order; counted as an unusable image when decoded
            yield number, {"image": image, "image_id": info.id, "file_name": info.file_name}


class CocoKeypoints(_ImageBuilder):
    """Images of a dataset in COCO keypoint format, official COCO or any other."""


class CrowdPose(_ImageBuilder):
    """Images of CrowdPose, by one of its official annotation files."""


class MpiiKeypoints(_ImageBuilder):
    """Images of MPII, by an annotation file in the JSON form of the HRNet project."""


BUILDERS = {"coco": CocoKeypoints, "crowdpose": CrowdPose, "mpii": MpiiKeypoints}


def fingerprint(dataset: Dataset) -> str:
    """Returns the name of the prepared copy: stem and content hash of the annotation file."""
    digest = hashlib.sha256(dataset.path.read_bytes()).hexdigest()[:16]
    return f"{dataset.path.stem}-{digest}"


def prepare_dataset(
    dataset: Dataset, tfds_dir: str | os.PathLike[str] = ""
) -> tfds.core.DatasetBuilder:
    """Returns the builder of the dataset's images, after preparing the copy if it is missing.

    Args:
      dataset: the checked annotation file.
      tfds_dir: folder of prepared data; "" is the default of TFDS.
    """
    builder_class = BUILDERS[dataset.format]
    name = fingerprint(dataset)
    builder = builder_class(
        dataset=dataset,
        data_dir=os.path.expanduser(tfds_dir) or None,
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
        prepare_dataset(load_dataset(config, split), config.data.tfds_dir)


def reader(dataset: Dataset, tfds_dir: str | os.PathLike[str] = "") -> Callable[[int], bytes]:
    """Returns a function from image id to the bytes of the image file in the prepared copy.

    Raises:
      ValueError: the copy does not match the annotation file.
    """
    records = prepare_dataset(dataset, tfds_dir).as_data_source(split=SPLIT)
    if len(records) != len(dataset.images):
        raise ValueError(
            f"{tfds_dir}: the prepared copy holds {len(records)} images, but {dataset.path} lists "
            f"{len(dataset.images)}: remove the copy {fingerprint(dataset)}"
        )
    position = {image_id: number for number, image_id in enumerate(dataset.images)}

    def read(image_id: int) -> bytes:
        record = records[position[image_id]]
        if int(record["image_id"]) != image_id:
            raise ValueError(
                f"{tfds_dir}: record {position[image_id]} is image {int(record['image_id'])}, "
                f"expected {image_id}: remove the copy {fingerprint(dataset)}"
            )
        return bytes(record["image"])

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
