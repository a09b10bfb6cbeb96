"""TFDS builders: the pictures of a dataset in one ArrayRecord file, prepared once, read many times.

    python -m input_pipeline.tfds_builders --config=configs/<recipe>.py    prepares both splits

Thousands of small files are slow on network disks; ArrayRecord gives any picture by its number
with one read. The records hold the picture files as they are and follow the order of the
annotation file, which stays where the people are read from. Nothing is downloaded. The copy is
named by a fingerprint of the annotation file: after any change of that file it is made anew.
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
from jaxpose.config.flags import define_config_file, parse_flags

SPLIT = "pictures"


class _PictureBuilder(tfds.core.GeneratorBasedBuilder):
    """Pictures of one annotation file: encoded bytes, image id and file name."""

    VERSION = tfds.core.Version("1.0.0")
    # Stated, because finding it makes TFDS 4.9 import a package that it does not depend on.
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
            disable_shuffling=True,  # record n is picture n of the annotation file
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
                image = b""  # keeps its place; reading it counts as an undecodable picture
            yield number, {"image": image, "image_id": info.id, "file_name": info.file_name}


class CocoKeypoints(_PictureBuilder):
    """Pictures of a dataset in COCO keypoint format, official COCO or any other."""


class CrowdPose(_PictureBuilder):
    """Pictures of CrowdPose, by one of its official annotation files."""


class MpiiKeypoints(_PictureBuilder):
    """Pictures of MPII, by an annotation file in the json form of the HRNet project."""


BUILDERS = {"coco": CocoKeypoints, "crowdpose": CrowdPose, "mpii": MpiiKeypoints}


def fingerprint(dataset: Dataset) -> str:
    """Name of the prepared copy: name and content of the annotation file."""
    digest = hashlib.sha256(dataset.path.read_bytes()).hexdigest()[:16]
    return f"{dataset.path.stem}-{digest}"


def prepare_dataset(
    dataset: Dataset, tfds_dir: str | os.PathLike[str] = ""
) -> tfds.core.DatasetBuilder:
    """The builder of this dataset's pictures, prepared now unless it already is.

    Args:
      dataset: the checked annotation file.
      tfds_dir: where TFDS keeps prepared data; "" is its own default.
    """
    builder_class = BUILDERS[dataset.format]
    name = fingerprint(dataset)
    builder = builder_class(
        dataset=dataset,
        data_dir=os.path.expanduser(tfds_dir) or None,
        file_format="array_record",
        config=tfds.core.BuilderConfig(name=name, version=_PictureBuilder.VERSION),
    )
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(
            compute_stats=tfds.download.ComputeStatsMode.SKIP, try_download_gcs=False
        )
    )
    return builder


def prepare(config: Any) -> None:
    """Prepares both splits of `config.data` (docs/settings.md)."""
    from input_pipeline import dataset as datasets

    for split in ("train", "val"):
        prepare_dataset(datasets.load(config, split), config.data.tfds_dir)


def reader(dataset: Dataset, tfds_dir: str | os.PathLike[str] = "") -> Callable[[int], bytes]:
    """Function image id -> bytes of the picture file, by random access to the prepared copy.

    Raises:
      ValueError: the copy does not hold the pictures of the annotation file.
    """
    records = prepare_dataset(dataset, tfds_dir).as_data_source(split=SPLIT)
    if len(records) != len(dataset.images):
        raise ValueError(
            f"{tfds_dir}: the prepared copy holds {len(records)} pictures, {dataset.path} names "
            f"{len(dataset.images)}: remove the copy {fingerprint(dataset)}"
        )
    place = {image_id: number for number, image_id in enumerate(dataset.images)}

    def read(image_id: int) -> bytes:
        record = records[place[image_id]]
        if int(record["image_id"]) != image_id:
            raise ValueError(
                f"{tfds_dir}: record {place[image_id]} is picture {int(record['image_id'])}, "
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
    _CONFIG = define_config_file("Recipe, a file of configs/.")
    flags.mark_flag_as_required("config")
    app.run(main, flags_parser=parse_flags)
