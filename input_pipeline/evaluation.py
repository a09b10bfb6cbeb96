"""Evaluation batches: every person exactly once, for any number of hosts and any batch size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from input_pipeline import augment, graph, order, source
from input_pipeline import batch as batches_module
from input_pipeline import dataset as datasets
from input_pipeline.bad_files import BadFiles
from input_pipeline.training import host_slice
from jaxpose import annotations, images, skeletons


class EvalData:
    """Unaugmented people of the validation split; build it with `input_pipeline.eval_data`.

    Attributes:
      dataset: the annotation file (`annotations.Dataset`).
      samples: the people, row n being example n: annotated boxes or, with
        `config.data.detections`, the boxes of a detector. COCO people are ordered by picture,
        MPII people as in the file.
      bad_files: undecodable pictures met so far.
    """

    def __init__(self, config: Any, *, host_id: int = 0, host_count: int = 1) -> None:
        self.dataset: annotations.Dataset = datasets.load(config, "val")
        self.samples = self.dataset.people
        if config.data.detections:
            path = Path(config.data.root) / config.data.detections
            self.samples = annotations.load_detections(path, self.dataset)
            if config.data.limit:
                self.samples = self.samples.select(slice(config.data.limit))
        if self.dataset.format == "coco":
            # People of one picture side by side: it is decoded once.
            place = {image_id: n for n, image_id in enumerate(self.dataset.images)}
            places = [place[image_id] for image_id in self.samples.image_id.tolist()]
            self.samples = self.samples.select(np.argsort(places, kind="stable"))
        self.bad_files = BadFiles(len(self.dataset.images), config.max_bad_fraction)
        self._input_size = tuple(config.input_size)
        self._global_batch = int(config.eval.batch_size)
        self._host_id, self._host_count = host_id, host_count
        self._batch_size = host_slice(self._global_batch, host_count, "eval.batch_size")
        self._workers, self._prefetch = int(config.data.workers), int(config.data.prefetch)
        read = datasets.reader(config, self.dataset)
        self._pictures = source.Pictures(read, cache=config.data.cache)
        self._center, self._scale = self.samples.center_scale(self._input_size)
        self._spec = batches_module.spec(self._input_size, self.skeleton.num_joints)

    @property
    def skeleton(self) -> skeletons.Skeleton:
        return self.dataset.skeleton

    @property
    def annotation_file(self) -> Path | None:
        """The file for COCO's evaluation; None for MPII, which has its own."""
        return self.dataset.path if self.dataset.format == "coco" else None

    @property
    def num_examples(self) -> int:
        return len(self.samples)

    @property
    def num_batches(self) -> int:
        """Batches of one pass, the same on every host."""
        return graph.num_batches(self.num_examples, self._global_batch)

    def batches(self) -> graph.Batches:
        """One pass over this host's slices of the global batches, the last one padded.

        Raises (from the iterator):
          BadFilesError: too many undecodable pictures.
        """
        return graph.Batches(
            self._chunk,
            0,
            self.num_batches,
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
        for slot, index in enumerate(range(first, min(first + size, self.num_examples))):
            for key, value in self._make(index).items():
                batch[key][slot] = value
        return batch

    def _make(self, index: int) -> dict[str, Any]:
        people = self.samples
        example = {
            "center": self._center[index],
            "scale": self._scale[index],
            "image_id": people.image_id[index],
            "annotation_id": people.annotation_id[index],
            "box_score": people.box_score[index],
        }
        image_id = int(people.image_id[index])
        try:
            image = self._pictures(image_id)
        except images.ImageError as error:
            self.bad_files.add(self.dataset.images[image_id].file_name, str(error))
            return example  # valid stays False
        view = augment.View(people.keypoints[index], self._center[index], self._scale[index])
        crop, keypoints = augment.render(image, view, self._input_size)
        return example | {"image": crop, "keypoints": keypoints, "valid": True}
