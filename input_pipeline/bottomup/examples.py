"""One picture with everybody in it: what bottom-up networks train on and are evaluated on."""

# No `from __future__ import annotations` here: its name would hide the module of that name.
from functools import partial
from typing import Any

import numpy as np

from input_pipeline import batch as batches_module
from input_pipeline import dataset as datasets
from input_pipeline.bottomup import augment
from jaxpose import annotations, geometry, images, tasks

SIZINGS = ("short_side", "fixed")


def _load(config: Any, split: str) -> annotations.Dataset:
    dataset = datasets.load(config, split)
    if dataset.format == "mpii":
        raise ValueError(
            "config.data.format='mpii' names one person a record, not everybody in a picture: "
            "bottom-up networks take coco, crowdpose or generated"
        )
    tasks.get(config.task).check_skeleton(dataset.skeleton, str(dataset.path))
    return dataset


class TrainExamples:
    """The pictures of the training split that have any record of a person, augmented; see
    `training.Examples`."""

    def __init__(self, config: Any) -> None:
        self.dataset = _load(config, "train")
        self.image_id = np.array(self.dataset.with_people, np.int64)
        if config.data.limit:
            self.image_id = self.image_id[: config.data.limit]
        self._seed = int(config.seed)
        self._input_size = tuple(config.input_size)
        self._max_people = int(config.max_people)
        self._options = augment.Options.from_config(config.augment)
        self.spec = batches_module.bottomup_training(
            self._input_size, self.dataset.skeleton.num_joints, self._max_people
        )

    def make(self, image: np.ndarray, epoch: int, index: int) -> dict[str, Any]:
        image_id = int(self.image_id[index])
        _check_size(image, self.dataset.images[image_id])
        height, width = self._input_size
        draws = augment.draw(self._seed, epoch, index)
        view = augment.augment(image.shape[:2], draws, self._options, self._input_size)
        mask = self.mask(image_id)
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

    def mask(self, image_id: int) -> np.ndarray:
        """uint8 [H, W]: 0 in the regions of a picture that the loss ignores, else 1."""
        info, regions = self.dataset.images[image_id], self.dataset.regions.get(image_id, ())
        return annotations.regions.mask(regions, (info.height, info.width))

    def _keypoints(self, image_id: int, view: augment.View) -> np.ndarray:
        """[P, K, 3]: people in the order of the file; of more than P, those who are in view."""
        skeleton = self.dataset.skeleton
        rows = self.dataset.labeled_rows.get(image_id, [])
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
    """Every picture of the validation split, whole; see `evaluation.Examples`.

    With `config.eval.sizing` "short_side" the picture's short side becomes that of
    `config.input_size` and the other is padded to a multiple of 64 (`geometry.bottomup_size`), so
    there is one group for every shape of picture; with "fixed" all are fitted into
    `config.input_size`.
    """

    def __init__(self, config: Any) -> None:
        self.dataset = _load(config, "val")
        infos = list(self.dataset.images.values())
        if config.data.limit:
            infos = infos[: config.data.limit]
        self.image_id = np.array([info.id for info in infos], np.int64)
        people = self.dataset.labeled
        self.samples = people.select(np.isin(people.image_id, self.image_id))
        crowding = self.dataset.crowd_index
        if config.eval.get("metric") == "crowdpose" and len(crowding) < len(self.dataset.images):
            raise ValueError(
                f"config.eval.metric='crowdpose' needs the crowdIndex of every picture, "
                f"{self.dataset.path} has {len(crowding)} of {len(self.dataset.images)} "
                f"(config.data.format='crowdpose' reads it)"
            )
        self._scales = tuple(float(scale) for scale in config.eval.scales)
        if 1.0 not in self._scales or min(self._scales) <= 0:
            raise ValueError(
                f"config.eval.scales={self._scales} must be positive and have 1 among them: the "
                "tags are read there"
            )
        sizing = datasets.choice(config.eval.sizing, "eval.sizing", SIZINGS)
        step = tasks.get(config.task).INPUT_STEP
        size_of = _short_side if sizing == "short_side" else partial(_fixed, step)
        sights = [
            size_of((info.height, info.width), tuple(config.input_size), self._scales)
            for info in infos
        ]
        self._center = np.array([center for _, center, _ in sights], np.float32)
        self._scale = np.array([scale for _, _, scale in sights], np.float32)
        self._sizes_of = [sizes for sizes, _, _ in sights]
        members: dict[tuple, list[int]] = {}
        for index, sizes in enumerate(self._sizes_of):
            members.setdefault(sizes, []).append(index)
        self._group_sizes = sorted(members)
        self.groups = [np.array(members[sizes]) for sizes in self._group_sizes]
        self.spec = batches_module.bottomup_evaluation(dict.fromkeys(self._scales, (None, None)))

    def group_spec(self, group: int) -> batches_module.Spec:
        sizes = self._group_sizes[group]
        return batches_module.bottomup_evaluation(dict(zip(self._scales, sizes, strict=True)))

    def known(self, index: int) -> dict[str, Any]:
        return {
            "center": self._center[index],
            "scale": self._scale[index],
            "image_id": self.image_id[index],
        }

    def make(self, image: np.ndarray, index: int) -> dict[str, Any]:
        _check_size(image, self.dataset.images[int(self.image_id[index])])
        view = augment.View(self._center[index], self._scale[index], rotation=0.0, flip=False)
        return {
            batches_module.scale_key(scale): augment.warp(image, view, size)
            for scale, size in zip(self._scales, self._sizes_of[index], strict=True)
        }


def _check_size(image: np.ndarray, info: annotations.ImageInfo) -> None:
    """Refuses a picture of another size than annotated: it was resized or turned since.

    Where the ignored regions lie and how the picture is shown was worked out from the annotation.
    """
    height, width = image.shape[:2]
    if (height, width) != (info.height, info.width):
        raise images.ImageError(f"is {width}x{height}, annotated as {info.width}x{info.height}")


def _short_side(
    image_size: tuple[int, int], input_size: tuple[int, int], scales: tuple[float, ...]
) -> tuple[tuple[tuple[int, int], ...], np.ndarray, np.ndarray]:
    """(sizes of the scales, center, scale) of a picture; center and scale are those of scale 1."""
    sights = {
        scale: geometry.bottomup_size(image_size, min(input_size), scale, min(scales))
        for scale in scales
    }
    _, center, scale = sights[1.0]
    return tuple(tuple(sights[s][0]) for s in scales), center, scale


def _fixed(
    step: int,
    image_size: tuple[int, int],
    input_size: tuple[int, int],
    scales: tuple[float, ...],
) -> tuple[tuple[tuple[int, int], ...], np.ndarray, np.ndarray]:
    """As `_short_side`, with one size for all pictures, its sides multiples of `step`."""
    sizes = tuple(tuple(round(side * scale) for side in input_size) for scale in scales)
    for scale, size in zip(scales, sizes, strict=True):
        if any(side % step for side in size):
            raise ValueError(
                f"config.eval.scales: {scale:g} times {input_size} is {size}, not multiples of "
                f"{step}"
            )
    center, scale = geometry.bottomup_fit(image_size, input_size)
    return sizes, center, scale
