"""Training batches: an endless stream whose every batch is a function of (seed, step) alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from input_pipeline import augment, graph, order, source
from input_pipeline import batch as batches_module
from input_pipeline import dataset as datasets
from input_pipeline.bad_files import BadFiles
from jaxpose import annotations, images, skeletons


def host_slice(batch_size: int, host_count: int, key: str) -> int:
    """Examples of one host in a global batch. Raises ValueError unless they divide evenly."""
    if batch_size < 1 or batch_size % host_count:
        raise ValueError(f"config.{key}={batch_size} does not divide over {host_count} hosts")
    return batch_size // host_count


class TrainData:
    """Augmented training examples; build it with `input_pipeline.train_data`.

    Attributes:
      dataset: the annotation file (`annotations.Dataset`).
      bad_files: undecodable pictures met so far.
    """

    def __init__(self, config: Any, *, host_id: int = 0, host_count: int = 1) -> None:
        self.dataset: annotations.Dataset = datasets.load(config, "train")
        self.bad_files = BadFiles(len(self.dataset.images), config.max_bad_fraction)
        self._seed = int(config.seed)
        self._input_size = tuple(config.input_size)
        self._global_batch = int(config.batch_size)
        self._host_id, self._host_count = host_id, host_count
        self._batch_size = host_slice(self._global_batch, host_count, "batch_size")
        self._workers, self._prefetch = int(config.data.workers), int(config.data.prefetch)
        self._options = augment.Options.from_config(config.augment)
        read = datasets.reader(config, self.dataset)
        self._pictures = source.Pictures(read, cache=config.data.cache)
        self._center, self._scale = self.dataset.people.center_scale(self._input_size)
        self._spec = batches_module.spec(self._input_size, self.skeleton.num_joints)

    @property
    def skeleton(self) -> skeletons.Skeleton:
        return self.dataset.skeleton

    @property
    def num_examples(self) -> int:
        """People in the dataset: the length of an epoch."""
        return len(self.dataset.people)

    def batches(self, start_step: int = 0) -> graph.Batches:
        """This host's slices of the global batches of `start_step`, `start_step + 1`, ...

        Raises (from the iterator):
          BadFilesError: too many undecodable pictures.
        """
        return graph.Batches(
            self._chunk,
            start_step,
            None,
            spec=self._spec,
            chunk=graph.chunk_size(self._batch_size),
            batch_size=self._batch_size,
            workers=self._workers,
            prefetch=self._prefetch,
        )

    def _chunk(self, number: int) -> batches_module.Batch:
        size = graph.chunk_size(self._batch_size)
        hosts = self._host_id, self._host_count
        first = order.first_of_chunk(number, size, self._global_batch, *hosts)
        batch = batches_module.empty(size, self._input_size, self.skeleton.num_joints)
        for slot in range(size):
            for key, value in self.example(first + slot).items():
                batch[key][slot] = value
        return batch

    def example(self, number: int) -> dict[str, Any]:
        """The example at a position of the stream, as one row of a batch.

        In place of an undecodable picture stands the example at the next position that can be
        decoded; it appears a second time at its own position.
        """
        for attempt in range(self.num_examples):
            epoch, index = order.example(number + attempt, self._seed, self.num_examples)
            try:
                return self._make(epoch, index)
            except images.ImageError as error:
                image_id = int(self.dataset.people.image_id[index])
                self.bad_files.add(self.dataset.images[image_id].file_name, str(error))
        raise ValueError(f"no picture of {self.dataset.path} can be decoded")

    def _make(self, epoch: int, index: int) -> dict[str, Any]:
        people = self.dataset.people
        image = self._pictures(int(people.image_id[index]))
        view = augment.augment(
            augment.View(
                people.keypoints[index].astype(np.float64),
                self._center[index].astype(np.float64),
                self._scale[index].astype(np.float64),
            ),
            box_size=people.box[index, 2:],
            image_width=image.shape[1],
            draws=augment.draw(self._seed, epoch, index),
            options=self._options,
            skeleton=self.skeleton,
            input_size=self._input_size,
        )
        crop, keypoints = augment.render(image, view, self._input_size)
        return {
            "image": crop,
            "valid": True,
            "keypoints": keypoints,
            "center": view.center,
            "scale": view.scale,
            "image_id": people.image_id[index],
            "annotation_id": people.annotation_id[index],
            "box_score": people.box_score[index],
        }
