"""Training batches: an endless stream whose every batch is a function of (seed, step) alone."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from input_pipeline import batch as batches_module
from input_pipeline import dataset as datasets
from input_pipeline import graph, order, source
from input_pipeline.bad_files import BadFiles
from jaxpose import images, skeletons
from jaxpose.annotations import Dataset


class Examples(Protocol):
    """What a task trains on (`topdown.examples`, `bottomup.examples`).

    Attributes:
      dataset: the annotation file.
      image_id: [N], the picture of each example.
      spec: of the batch.
    """

    dataset: Dataset
    image_id: np.ndarray
    spec: batches_module.Spec

    def make(self, image: np.ndarray, epoch: int, index: int) -> dict[str, Any]:
        """Example `index` as a row of the batch, from its decoded picture.

        Raises:
          ImageError: the picture is not what the annotation file says of it.
        """
        ...


def host_slice(batch_size: int, host_count: int, key: str) -> int:
    """Examples of one host in a global batch. Raises ValueError unless they divide evenly."""
    if batch_size < 1 or batch_size % host_count:
        raise ValueError(f"config.{key}={batch_size} does not divide over {host_count} hosts")
    return batch_size // host_count


class TrainData:
    """Augmented training examples; build it with `input_pipeline.train_data`.

    Attributes:
      examples: what is in the stream.
      bad_files: unusable pictures met so far.
    """

    def __init__(
        self, examples: Examples, config: Any, *, host_id: int = 0, host_count: int = 1
    ) -> None:
        self.examples = examples
        self.bad_files = BadFiles(len(self.dataset.images), config.max_bad_fraction)
        self._seed = int(config.seed)
        self._global_batch = int(config.batch_size)
        self._host_id, self._host_count = host_id, host_count
        self._batch_size = host_slice(self._global_batch, host_count, "batch_size")
        self._workers, self._prefetch = int(config.data.workers), int(config.data.prefetch)
        read = datasets.reader(config, self.dataset)
        self._pictures = source.Pictures(read, cache=config.data.cache)

    @property
    def dataset(self) -> Dataset:
        return self.examples.dataset

    @property
    def skeleton(self) -> skeletons.Skeleton:
        return self.dataset.skeleton

    @property
    def num_examples(self) -> int:
        """People (top-down) or pictures (bottom-up): the length of an epoch."""
        return len(self.examples.image_id)

    def batches(self, start_step: int = 0) -> graph.Batches:
        """This host's slices of the global batches of `start_step`, `start_step + 1`, ...

        Raises (from the iterator):
          BadFilesError: too many unusable pictures.
        """
        return graph.Batches(
            self._chunk,
            start_step,
            None,
            spec=self.examples.spec,
            chunk=graph.chunk_size(self._batch_size),
            batch_size=self._batch_size,
            workers=self._workers,
            prefetch=self._prefetch,
        )

    def _chunk(self, number: int) -> batches_module.Batch:
        size = graph.chunk_size(self._batch_size)
        hosts = self._host_id, self._host_count
        first = order.first_of_chunk(number, size, self._global_batch, *hosts)
        batch = batches_module.empty(size, self.examples.spec)
        for slot in range(size):
            for key, value in self.example(first + slot).items():
                batch[key][slot] = value
        return batch

    def example(self, number: int) -> dict[str, Any]:
        """The example at a position of the stream, as one row of a batch.

        In place of an unusable picture stands the example at the next position that can be
        used; it appears a second time at its own position.
        """
        for attempt in range(self.num_examples):
            epoch, index = order.example(number + attempt, self._seed, self.num_examples)
            image_id = int(self.examples.image_id[index])
            try:
                made = self.examples.make(self._pictures(image_id), epoch, index)
            except images.ImageError as error:
                self.bad_files.add(self.dataset.images[image_id].file_name, str(error))
            else:
                return {"valid": True, **made}
        raise ValueError(f"no picture of {self.dataset.path} can be decoded")
