"""Examples of top-down networks, for training and evaluation: one person per crop."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from input_pipeline.batch import Spec, topdown_spec
from input_pipeline.dataset import check_crowding, load_dataset
from input_pipeline.region import Extent, Source
from input_pipeline.topdown import augment, pixels
from input_pipeline.topdown.extent import extent
from jaxpose.annotations import Dataset, need_people, read_detections
from jaxpose.skeletons import Skeleton


class TrainExamples:
    """The augmented people of the training split. Implements `training.Examples`.

    From the epoch with the 0-based index `epochs - augment.last.epochs` on, the augmentation is
    that of the second stage.
    """

    def __init__(self, config: Any) -> None:
        self.dataset: Dataset = load_dataset(config, "train")
        need_people(self.dataset)
        self.image_id = self.dataset.people.image_id
        self._seed = int(config.seed)
        self._input_size = tuple(config.input_size)
        self._udp = config.get("codec") == "udp"
        last = config.augment.last
        # The stages: view, and pixels of the crop.
        self._options = augment.Options.from_config(config.augment)
        self._pixels = pixels.Options.from_config(config.augment.pixels)
        self._last_options, self._last_pixels = self._options, self._pixels
        self._last_epoch = float("inf")
        if last.epochs > 0:
            self._last_epoch = config.epochs - last.epochs
            self._last_options = self._options.of_last_stage(last)
            self._last_pixels = dataclasses.replace(self._pixels, dropout_prob=last.dropout_prob)
        self._center, self._scale = self.dataset.people.center_scale(self._input_size)
        self._padded = self.dataset.people.padded_size()
        self._sent = self._pixels.spec(self._last_pixels)
        self.spec = topdown_spec(self._input_size, self.dataset.skeleton.num_joints) | self._sent

    def _view(self, index: int) -> augment.View:
        return augment.View(
            self.dataset.people.keypoints[index].astype(np.float64),
            self._center[index].astype(np.float64),
            self._scale[index].astype(np.float64),
            padded=self._padded[index],
        )

    def extent(self, index: int, image_size: tuple[int, int]) -> Extent:
        def of_stage(options: augment.Options) -> Extent:
            return extent(
                self._view(index),
                box_size=self.dataset.people.box[index, 2:],
                image_width=image_size[1],
                options=options,
                skeleton=self.dataset.skeleton,
                input_size=self._input_size,
            )

        whole = of_stage(self._options)
        if self._last_options == self._options:
            return whole
        return whole.union(of_stage(self._last_options))

    def make(self, image: Source, epoch: int, index: int) -> dict[str, Any]:
        people = self.dataset.people
        last = epoch >= self._last_epoch
        view = augment.augment(
            self._view(index),
            box_size=people.box[index, 2:],
            image_width=image.size[1],
            draws=augment.draw(self._seed, epoch, index),
            options=self._last_options if last else self._options,
            skeleton=self.dataset.skeleton,
            input_size=self._input_size,
        )
        crop, keypoints = augment.render(image, view, self._input_size, self._udp)
        sent: dict[str, Any] = {}
        chosen = self._last_pixels if last else self._pixels
        if self._sent or chosen.blurs:
            draws = pixels.draw(self._seed, epoch, index, chosen, self._input_size)
            crop = pixels.blurred(crop, draws)
            sent = {key: getattr(draws, key) for key in self._sent}
        return {
            **sent,
            "image": crop,
            "keypoints": keypoints,
            "center": view.center,
            "scale": view.scale,
            "image_id": people.image_id[index],
            "annotation_id": people.annotation_id[index],
            "box_score": people.box_score[index],
        }


class EvalExamples:
    """The people of the validation split, in annotated or detected boxes.

    Implements `evaluation.Examples`. For `skeleton` and `scored`, see `load_dataset`.
    """

    def __init__(self, config: Any, skeleton: Skeleton | None = None, scored: bool = False) -> None:
        self.dataset: Dataset = load_dataset(config, "val", skeleton=skeleton, scored=scored)
        check_crowding(config, self.dataset)
        self.samples = self.dataset.people
        if self.dataset.format == "image_info" and not config.data.detections:
            raise ValueError(
                f"{self.dataset.path} has no annotations, so a top-down network needs the boxes "
                "of a detector: --config.data.detections=FILE"
            )
        if config.data.detections:
            path = Path(config.data.root) / config.data.detections
            self.samples, notes = read_detections(path, self.dataset)
            notes = [*self.dataset.notes, *notes]
            self.dataset = dataclasses.replace(self.dataset, notes=notes)
            if config.data.limit:
                self.samples = self.samples.select(slice(config.data.limit))
        else:
            need_people(self.dataset)
        if self.dataset.format != "mpii":
            # Group people by image, so that each image is decoded once.
            position = {image_id: n for n, image_id in enumerate(self.dataset.images)}
            positions = [position[image_id] for image_id in self.samples.image_id.tolist()]
            self.samples = self.samples.select(np.argsort(positions, kind="stable"))
        self.image_id = self.samples.image_id
        self._input_size = tuple(config.input_size)
        self._udp = config.get("codec") == "udp"
        self.groups = [np.arange(len(self.samples))]
        self._center, self._scale = self.samples.center_scale(self._input_size)
        self.spec = topdown_spec(self._input_size, self.dataset.skeleton.num_joints)

    def group_spec(self, group: int) -> Spec:
        return self.spec

    def known(self, index: int) -> dict[str, Any]:
        people = self.samples
        return {
            "center": self._center[index],
            "scale": self._scale[index],
            "image_id": people.image_id[index],
            "annotation_id": people.annotation_id[index],
            "box_score": people.box_score[index],
        }

    def make(self, image: Source, index: int) -> dict[str, Any]:
        keypoints = self.samples.keypoints[index]
        view = augment.View(keypoints, self._center[index], self._scale[index])
        crop, keypoints = augment.render(image, view, self._input_size, self._udp)
        return {"image": crop, "keypoints": keypoints}
