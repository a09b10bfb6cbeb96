"""Evaluation batches: every example exactly once, for any number of hosts and any batch size."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from input_pipeline import graph, source
from input_pipeline.bad_files import BadFiles
from input_pipeline.batch import Batch, Spec, empty_batch
from input_pipeline.dataset import image_reader, reduces
from input_pipeline.region import Source
from input_pipeline.training import host_slice
from jaxpose import images, skeletons
from jaxpose.annotations import Dataset, People


class Examples(Protocol):
    """The evaluation examples of a task (`topdown.examples`, `bottomup.examples`).

    Attributes:
      dataset: the annotation file.
      samples: the people to evaluate.
      image_id: [N], the image of each example.
      groups: indexes of the examples that may share a batch, one array per group.
      spec: spec that fits every batch.
    """

    dataset: Dataset
    samples: People
    image_id: np.ndarray
    groups: list[np.ndarray]
    spec: Spec

    def group_spec(self, group: int) -> Spec:
        """Returns the spec of the batches of one group."""
        ...

    def known(self, index: int) -> dict[str, Any]:
        """Returns the values of example `index` that do not depend on the image."""
        ...

    def make(self, image: Source, index: int) -> dict[str, Any]:
        """Returns the values of example `index` that depend on its image."""
        ...


class EvalData:
    """Batches of the validation split without augmentation; see `input_pipeline.eval_data`.

    Attributes:
      examples: the examples.
      bad_files: the unusable and doubtful images so far.
    """

    def __init__(
        self, examples: Examples, config: Any, *, host_id: int = 0, host_count: int = 1
    ) -> None:
        self.examples = examples
        self.bad_files = BadFiles(len(self.dataset.images), config.max_bad_fraction)
        self._batch_size = host_slice(int(config.eval.batch_size), host_count, "eval.batch_size")
        self._host_id = host_id
        self._workers, self._prefetch = int(config.data.workers), int(config.data.prefetch)
        read = image_reader(config, self.dataset)
        self._images = source.Images(
            read,
            self.dataset.annotated_size,
            unsized=self.dataset.unsized,
            cache=config.data.cache,
            reduced=reduces(config, training=False),
            report_turned=lambda i: self.bad_files.add_turned(self.dataset.images[i].file_name),
        )
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
        """The people to evaluate.

        Top-down: row n is example n, with its annotated box or, with `config.data.detections`, the
        box of a detector; COCO people are ordered by image, MPII people as in the file. Bottom-up:
        the annotated people of the images.
        """
        return self.examples.samples

    @property
    def skeleton(self) -> skeletons.Skeleton:
        return self.dataset.skeleton

    @property
    def num_examples(self) -> int:
        """People (top-down) or images (bottom-up)."""
        return len(self.examples.image_id)

    @property
    def num_batches(self) -> int:
        """Number of batches of one pass, the same on every host."""
        return len(self._plan)

    def batches(self) -> graph.Batches:
        """Iterates once over this host's slices of the global batches.

        The last batch of each group is padded.

        Raises:
          BadFilesError: too many unusable images; raised by the iterator.
        """
        return graph.Batches(
            self._allocate,
            self._fill,
            0,
            self.num_batches,
            chunk=graph.chunk_size(self._batch_size),
            batch_size=self._batch_size,
            workers=self._workers,
            prefetch=self._prefetch,
        )

    def _allocate(self, step: int) -> Batch:
        group, _ = self._plan[step]
        return empty_batch(self._batch_size, self.examples.group_spec(group))

    def _fill(self, number: int, rows: Batch) -> None:
        size = graph.chunk_size(self._batch_size)
        step, part = divmod(number, self._batch_size // size)
        _, indexes = self._plan[step]
        first = self._host_id * self._batch_size + part * size  # contiguous slice per host
        for slot, index in enumerate(indexes[first : first + size].tolist()):
            for key, value in self._row(index).items():
                rows[key][slot] = value

    def _row(self, index: int) -> dict[str, Any]:
        row = self.examples.known(index)
        image_id = int(self.examples.image_id[index])
        try:
            values = self.examples.make(self._images.open(image_id), index)
        except images.ImageError as error:
            self.bad_files.add(self.dataset.images[image_id].file_name, str(error))
            return row  # valid stays False
        return row | values | {"valid": True}
