"""Examples of bottom-up networks, for training and evaluation: whole images with everyone."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import numpy as np

from input_pipeline.batch import Spec, bottomup_evaluation_spec, bottomup_training_spec, scale_key
from input_pipeline.bottomup import augment
from input_pipeline.dataset import check_choice, check_crowding, load_dataset
from input_pipeline.region import Extent, Region, Source, zoom_of
from jaxpose import geometry, tasks
from jaxpose.annotations import Dataset, regions
from jaxpose.annotations.records import note
from jaxpose.skeletons import Skeleton

SIZINGS = ("short_side", "fixed")


def _load(config: Any, split: str, **options: Any) -> Dataset:
    dataset = load_dataset(config, split, **options)
    if dataset.format == "mpii":
        raise ValueError(
            "config.data.format='mpii' does not annotate everyone in an image: bottom-up networks "
            "need coco, crowdpose or generated"
        )
    tasks.get(config.task).check_skeleton(dataset.skeleton, str(dataset.path))
    return dataset


class TrainExamples:
    """The augmented images of the training split.

    With `config.data.negatives` they are all images, otherwise those with at least one record of a
    person. Implements `training.Examples`.
    """

    def __init__(self, config: Any) -> None:
        self.dataset = _load(config, "train")
        everything = config.data.get("negatives", False)
        chosen = self.dataset.images if everything else self.dataset.with_people
        self.image_id = np.array(list(chosen), np.int64)
        if empty := len(self.dataset.images) - len(chosen):
            text = (
                f"{empty} without a record of a person are not used; "
                "--config.data.negatives=True uses them as background"
            )
            path = str(self.dataset.path)
            notes = [*self.dataset.notes, note(path, "images", text)]
            self.dataset = dataclasses.replace(self.dataset, notes=notes)
        if config.data.limit:
            self.image_id = self.image_id[: config.data.limit]
        self._seed = int(config.seed)
        self._input_size = tuple(config.input_size)
        self._max_people = int(config.max_people)
        self._whitest: np.ndarray = np.zeros((0, 0), np.uint8)
        self._options = augment.Options.from_config(config.augment)
        self.spec = bottomup_training_spec(
            self._input_size, self.dataset.skeleton.num_joints, self._max_people
        )

    def make(self, image: Source, epoch: int, index: int) -> dict[str, Any]:
        image_id = int(self.image_id[index])
        height, width = self._input_size
        draws = augment.draw(self._seed, epoch, index)
        view = augment.augment(image.size, draws, self._options, self._input_size)
        mask = self._mask(image_id, image.size)
        return {
            "image": augment.warp(image, view, self._input_size),
            "keypoints": self._keypoints(image_id, view),
            "mirrored": view.flip,
            "mask_quarter": augment.warp_mask(mask, view, (height // 4, width // 4)),
            "mask_half": augment.warp_mask(mask, view, (height // 2, width // 2)),
            "center": view.center,
            "scale": view.scale,
            "image_id": image_id,
        }

    def extent(self, index: int, image_size: tuple[int, int]) -> Extent:
        height, width = image_size
        closest = augment.Draws(zoom=0.0, angle=0.0, shift_x=0.0, shift_y=0.0, flip=0.0)
        view = augment.augment(image_size, closest, self._options, self._input_size)
        matrix = augment.view_matrix(view, self._input_size)
        return Extent(np.zeros(2), np.array([width - 1.0, height - 1.0]), zoom_of(matrix))

    def _mask(self, image_id: int, image_size: tuple[int, int]) -> Region:
        """Returns uint8 [H, W]: 0 in the regions of an image that the loss ignores, else 255."""
        ignored = self.dataset.regions.get(image_id)
        if ignored:
            return Region.whole(255 * regions.mask(ignored, image_size))
        return Region.whole(self._white(image_size))

    def _white(self, size: tuple[int, int]) -> np.ndarray:
        """Returns part of one array of 255, because most images have the same mask."""
        height, width = size
        white: np.ndarray = self._whitest  # of several threads, the last one to enlarge it wins
        if height > white.shape[0] or width > white.shape[1]:
            white = np.full(np.maximum(white.shape, size), 255, np.uint8)
            self._whitest = white
        return white[:height, :width]

    def _keypoints(self, image_id: int, view: augment.View) -> np.ndarray:
        """Returns [P, K, 3] in the order of the file; if more than P, those in view first."""
        skeleton = self.dataset.skeleton
        rows = self.dataset.labeled_rows.get(image_id, np.zeros(0, np.int64))
        people = augment.warp_keypoints(
            self.dataset.labeled.keypoints[rows], view, self._input_size, skeleton.flip_indices
        )
        if len(people) > self._max_people:
            limits = self._input_size[::-1]
            inside = ((people[..., :2] >= 0) & (people[..., :2] < limits)).all(-1)
            people = people[(inside & (people[..., 2] > 0)).any(1)][: self._max_people]
        slots = np.zeros((self._max_people, skeleton.num_joints, 3), np.float32)
        slots[: len(people)] = people
        return slots


class EvalExamples:
    """The whole images of the validation split. Implements `evaluation.Examples`.

    With `config.eval.sizing` "short_side", the image's short side is resized to that of
    `config.input_size` and the other side is padded to a multiple of 64
    (`geometry.bottomup_size`), so images of each resulting size form a group. With "fixed", all
    images are fitted into `config.input_size`. For `skeleton` and `scored`, see `load_dataset`.
    """

    def __init__(self, config: Any, skeleton: Skeleton | None = None, scored: bool = False) -> None:
        self.dataset = _load(config, "val", skeleton=skeleton, scored=scored)
        infos = list(self.dataset.images.values())
        if config.data.limit:
            infos = infos[: config.data.limit]
        self.image_id = np.array([info.id for info in infos], np.int64)
        people = self.dataset.labeled
        self.samples = people.select(np.isin(people.image_id, self.image_id))
        check_crowding(config, self.dataset)
        self._scales = tuple(float(scale) for scale in config.eval.scales)
        if 1.0 not in self._scales or min(self._scales) <= 0:
            raise ValueError(
                f"config.eval.scales={self._scales} must be positive and include 1, the scale of "
                "the tags"
            )
        sizing = check_choice(config.eval.sizing, "eval.sizing", SIZINGS)
        step = tasks.get(config.task).INPUT_STEP
        size_of = _short_side if sizing == "short_side" else partial(_fixed, step)
        # An image of unknown size cannot be used, so its view does not matter.
        input_size = tuple(config.input_size)
        views = [
            size_of(info.size if info.has_size else input_size, input_size, self._scales)
            for info in infos
        ]
        self._center = np.array([center for _, center, _ in views], np.float32)
        self._scale = np.array([scale for _, _, scale in views], np.float32)
        self._sizes_of = [sizes for sizes, _, _ in views]
        members: dict[tuple, list[int]] = {}
        for index, sizes in enumerate(self._sizes_of):
            members.setdefault(sizes, []).append(index)
        self._group_sizes = sorted(members)
        self.groups = [np.array(members[sizes]) for sizes in self._group_sizes]
        self.spec = bottomup_evaluation_spec(dict.fromkeys(self._scales, (None, None)))

    def group_spec(self, group: int) -> Spec:
        sizes = self._group_sizes[group]
        return bottomup_evaluation_spec(dict(zip(self._scales, sizes, strict=True)))

    def known(self, index: int) -> dict[str, Any]:
        return {
            "center": self._center[index],
            "scale": self._scale[index],
            "image_id": self.image_id[index],
        }

    def make(self, image: Source, index: int) -> dict[str, Any]:
        view = augment.View(self._center[index], self._scale[index], rotation=0.0, flip=False)
        return {
            scale_key(scale): augment.warp(image, view, size)
            for scale, size in zip(self._scales, self._sizes_of[index], strict=True)
        }


def _short_side(
    image_size: tuple[int, int], input_size: tuple[int, int], scales: tuple[float, ...]
) -> tuple[tuple[tuple[int, int], ...], np.ndarray, np.ndarray]:
    """Returns (size per scale, center, scale) of an image, with center and scale at scale 1."""
    views = {
        scale: geometry.bottomup_size(image_size, min(input_size), scale, min(scales))
        for scale in scales
    }
    _, center, scale = views[1.0]
    return tuple(views[s][0] for s in scales), center, scale


def _fixed(
    step: int,
    image_size: tuple[int, int],
    input_size: tuple[int, int],
    scales: tuple[float, ...],
) -> tuple[tuple[tuple[int, int], ...], np.ndarray, np.ndarray]:
    """Like `_short_side`, with the same size for all images; its sides are multiples of `step`."""
    height, width = input_size
    sizes = tuple((round(height * factor), round(width * factor)) for factor in scales)
    for factor, size in zip(scales, sizes, strict=True):
        if any(side % step for side in size):
            raise ValueError(
                f"config.eval.scales: {factor:g} times {input_size} is {size}; both sides must be "
                f"multiples of {step}"
            )
    center, scale = geometry.bottomup_fit(image_size, input_size)
    return sizes, center, scale
