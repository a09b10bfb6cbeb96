"""Evaluation batches: every example exactly once, for any number of hosts and any batch size."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from input_pipeline import batch as batches_module
from input_pipeline import dataset as datasets
from input_pipeline import graph, source
from input_pipeline.bad_files import BadFiles
from input_pipeline.training import host_slice
from jaxpose import images, skeletons
from jaxpose.annotations import Dataset, People


class Examples(Protocol):
    """What a task is evaluated on (`topdown.examples`, `bottomup.examples`).

    Attributes:
      dataset: the annotation file.
      samples: the people who are looked for or at.
      image_id: [N], the picture of each example.
      groups: indexes of the examples that may share a batch, group by group.
      spec: of any batch.
    """

    dataset: Dataset
    samples: People
    image_id: np.ndarray
    groups: list[np.ndarray]
    spec: batches_module.Spec

    def group_spec(self, group: int) -> batches_module.Spec:
        """Of the batches of one group."""
        ...

    def known(self, index: int) -> dict[str, Any]:
        """What a row of the batch has even when the picture is unusable."""
        ...

    def make(self, image: np.ndarray, index: int) -> dict[str, Any]:
        """What a row of the batch has besides, from the decoded picture.

        Raises:
          ImageError: the picture is not what the annotation file says of it.
        """
        ...


class EvalData:
    """Unaugmented examples of the validation split; build it with `input_pipeline.eval_data`.

    Attributes:
      examples: what is in the batches.
      bad_files: unusable pictures met so far.
    """

    def __init__(
        self, examples: Examples, config: Any, *, host_id: int = 0, host_count: int = 1
    ) -> None:
        self.examples = examples
        self.bad_files = BadFiles(len(self.dataset.images), config.max_bad_fraction)
        self._batch_size = host_slice(int(config.eval.batch_size), host_count, "eval.batch_size")
        self._host_id = host_id
        self._workers, self._prefetch = int(config.data.workers), int(config.data.prefetch)
        read = datasets.reader(config, self.dataset)
        self._pictures = source.Pictures(read, cache=config.data.cache)
        global_batch = self._batch_size * host_count
        # Global batches: (group, indexes of at most `global_batch` examples).
        self._plan = [
            (group, indexes[first : first + global_batch])
            for group, indexes in enumerate(examples.groups)
            for first in range(0, len(indexes), global_batch)
        ]

    @property
    def dataset(self) -> Dataset:
        return self.examples.dataset

    @property
    def samples(self) -> People:
        """The people who are evaluated. Top-down: row n is example n, an annotated box or, with
        `config.data.detections`, that of a detector; COCO people are ordered by picture, MPII
        people as in the file. Bottom-up: the annotated people of the pictures."""
        return self.examples.samples

    @property
    def skeleton(self) -> skeletons.Skeleton:
        return self.dataset.skeleton

    @property
    def num_examples(self) -> int:
        """People (top-down) or pictures (bottom-up)."""
        return len(self.examples.image_id)

    @property
    def num_batches(self) -> int:
        """Batches of one pass, the same on every host."""
        return len(self._plan)

    def batches(self) -> graph.Batches:
        """One pass over this host's slices of the global batches; the last one of each size is
        padded.

        Raises (from the iterator):
          BadFilesError: too many unusable pictures.
        """
        return graph.Batches(
            self._chunk,
            0,
            self.num_batches,
            spec=self.examples.spec,
            chunk=graph.chunk_size(self._batch_size),
            batch_size=self._batch_size,
            workers=self._workers,
            prefetch=self._prefetch,
        )

    def _chunk(self, number: int) -> batches_module.Batch:
        size = graph.chunk_size(self._batch_size)
        step, part = divmod(number, self._batch_size // size)
        group, indexes = self._plan[step]
        first = self._host_id * self._batch_size + part * size  # hosts take contiguous slices
        batch = batches_module.empty(size, self.examples.group_spec(group))
        for slot, index in enumerate(indexes[first : first + size].tolist()):
            for key, value in self._row(index).items():
                batch[key][slot] = value
        return batch

    def _row(self, index: int) -> dict[str, Any]:
        row = self.examples.known(index)
        image_id = int(self.examples.image_id[index])
        try:
            made = self.examples.make(self._pictures(image_id), index)
        except images.ImageError as error:
            self.bad_files.add(self.dataset.images[image_id].file_name, str(error))
            return row  # valid stays False
        return row | made | {"valid": True}
