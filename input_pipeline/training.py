"""Training batches: an endless stream in which each batch depends only on (seed, step)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from input_pipeline import graph, on_device, order, prepared, source
from input_pipeline.bad_files import BadFiles
from input_pipeline.batch import Batch, Spec, new_batch
from input_pipeline.dataset import image_reader, reduces
from input_pipeline.region import Extent, Source
from jaxpose import images, skeletons
from jaxpose.annotations import Dataset
from jaxpose.config.checks import check_on_device
from jaxpose.wording import quantity

_log = logging.getLogger(__name__)


class Examples(Protocol):
    """The training examples of a task (`topdown.examples`, `bottomup.examples`).

    Attributes:
      dataset: the annotation file.
      image_id: [N], the image of each example.
      spec: spec of the batches.
    """

    dataset: Dataset
    image_id: np.ndarray
    spec: Spec

    def extent(self, index: int, image_size: tuple[int, int]) -> Extent:
        """Returns what example `index` may show of its image (H, W), whatever the epoch."""
        ...

    def make(self, image: Source, epoch: int, index: int) -> dict[str, Any]:
        """Returns example `index` as a row of the batch, made from its image."""
        ...


def host_slice(batch_size: int, host_count: int, key: str) -> int:
    """Returns the number of examples per host in a global batch.

    Raises:
      ValueError: the batch does not divide evenly among the hosts.
    """
    if batch_size < 1 or batch_size % host_count:
        raise ValueError(
            f"config.{key}={batch_size} does not divide among {quantity(host_count, 'host')}"
        )
    return batch_size // host_count


class TrainData:
    """Batches of augmented training examples; see `input_pipeline.train_data`.

    Attributes:
      examples: the examples.
      bad_files: the unusable and doubtful images so far.
    """

    def __init__(
        self,
        examples: Examples,
        config: Any,
        *,
        host_id: int = 0,
        host_count: int = 1,
        log: Callable[[str], None] = _log.info,
    ) -> None:
        self.examples = examples
        self.bad_files = BadFiles(len(self.dataset.images), config.max_bad_fraction)
        self._seed = int(config.seed)
        self._global_batch = int(config.batch_size)
        self._host_id, self._host_count = host_id, host_count
        self._batch_size = host_slice(self._global_batch, host_count, "batch_size")
        self._workers, self._prefetch = int(config.data.workers), int(config.data.prefetch)
        read = image_reader(config, self.dataset)
        self._images = source.Images(
            read,
            self.dataset.annotated_size,
            unsized=self.dataset.unsized,
            cache=config.data.cache,
            reduced=reduces(config, training=True),
            report_turned=lambda i: self.bad_files.add_turned(self.dataset.images[i].file_name),
        )
        self._prepared: prepared.Prepared | None = None
        if config.data.prepared:
            hosts = {"host_id": host_id, "host_count": host_count}
            self._prepared = prepared.ensure(
                examples, config, self._images, log, turned=self._images.turned, **hosts
            )
            for image_id in self._prepared.turned():  # of a copy that was prepared before
                self.bad_files.add_turned(self.dataset.images[image_id].file_name)
        check_on_device(config.data)
        self._on_device = bool(config.data.on_device)
        self._spec = on_device.spec_on_device(examples.spec) if self._on_device else examples.spec

    @property
    def dataset(self) -> Dataset:
        return self.examples.dataset

    @property
    def skeleton(self) -> skeletons.Skeleton:
        return self.dataset.skeleton

    @property
    def num_examples(self) -> int:
        """People (top-down) or images (bottom-up): the length of an epoch."""
        return len(self.examples.image_id)

    def batches(self, start_step: int = 0) -> graph.Batches:
        """Iterates over this host's slices of the global batches from `start_step` on.

        Raises:
          BadFilesError: too many unusable images; raised by the iterator.
        """
        return graph.Batches(
            lambda step: new_batch(self._batch_size, self._spec),
            self._fill,
            start_step,
            None,
            chunk=graph.chunk_size(self._batch_size),
            batch_size=self._batch_size,
            workers=self._workers,
            prefetch=self._prefetch,
        )

    def _fill(self, number: int, rows: Batch) -> None:
        size = graph.chunk_size(self._batch_size)
        hosts = self._host_id, self._host_count
        first = order.first_of_chunk(number, size, self._global_batch, *hosts)
        for slot in range(size):
            example = self.example(first + slot)
            for key, values in rows.items():
                values[slot] = example[key]

    def example(self, number: int) -> dict[str, Any]:
        """Returns the example at a position of the stream, as one row of a batch.

        An example with an unusable image is replaced by the next usable example of the stream,
        which also appears at its own position.

        Raises:
          ValueError: no image of the dataset is usable.
        """
        for attempt in range(self.num_examples):
            epoch, index = order.example(number + attempt, self._seed, self.num_examples)
            image_id = int(self.examples.image_id[index])
            try:
                values = self.examples.make(self.open(index), epoch, index)
            except images.ImageError as error:
                self.bad_files.add(self.dataset.images[image_id].file_name, str(error))
            else:
                if self._on_device:
                    values = on_device.row_on_device(index, values)
                return {"valid": True, **values}
        raise ValueError(f"{self.dataset.path}: no image of the dataset is usable")

    def open(self, index: int) -> Source:
        """Returns the image of example `index`, or its prepared part.

        Raises:
          ImageError: the image is unusable.
          ValueError: the prepared files are damaged.
        """
        region = self._prepared(index) if self._prepared else None
        if region and self._on_device:
            return on_device.Outline(region)
        # An unusable image is not prepared; its file tells why, or has been repaired.
        image_id = int(self.examples.image_id[index])
        if self._on_device and self._prepared:
            self._images(image_id)
            raise images.ImageError(f"was unusable when {self._prepared.folder} was written")
        return region or self._images.open(image_id)

    def pack(self) -> on_device.Packed:
        """Returns the pixels of all examples, for `config.data.on_device`.

        Raises:
          ValueError: the prepared files are damaged.
        """
        assert self._prepared is not None
        return on_device.pack(self._prepared)
