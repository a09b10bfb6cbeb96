"""A trained network that is called on pictures."""

from __future__ import annotations

import pathlib

import numpy as np

from jaxpose import geometry
from jaxpose.export.files import SUFFIXES
from jaxpose.predict import boxes as person_boxes
from jaxpose.predict import networks
from jaxpose.predict.people import People
from jaxpose.skeletons import Skeleton

LONGEST = 3  # long side over short side of a picture that a bottom-up network sees to its borders


class Pose:
    """A trained network ready to be called on pictures.

    Args:
        source: a run folder (or checkpoint in one), or a file written by `jaxpose export`.
        step: which checkpoint of a run folder: a number, "best", or None for the newest.
        flip: average with the mirrored picture, as the papers' test scores do; twice the time.
        batch_size: people in one call of a top-down network; the last call is filled up, so that
            the network is compiled once.
        sizing: of a bottom-up run folder, as `config.eval.sizing`; None takes the run's own.
            "short_side" brings every picture to the short side of the network's input size, the
            long side follows in steps of 64 pixels, and the network is compiled once for each size
            that it meets. A picture longer than three times its short side is shrunk to that, so
            there are at most 17 sizes at 256 pixels, 29 at 448. "fixed" fits every picture into the
            input size and compiles once; everything but a bottom-up run folder is "fixed".

    Raises:
        ValueError: `source` is neither, or cannot be read; or an option that it does not have.
    """

    task: str  # "topdown": people are told by boxes; the others find them
    skeleton: Skeleton
    input_size: tuple[int, int]

    def __init__(
        self,
        source: str | pathlib.Path,
        *,
        step: int | str | None = None,
        flip: bool = True,
        batch_size: int = 8,
        sizing: str | None = None,
    ):
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        self.source = pathlib.Path(source)
        network = networks.load(self.source, step=step, flip=flip)
        self.batch_size = batch_size
        self.task, self.skeleton = network.task, network.skeleton
        self.input_size, self._predict = network.input_size, network.predict
        self.sizing = sizing or network.sizing
        if self.sizing not in networks.SIZINGS:
            known = ", ".join(networks.SIZINGS)
            raise ValueError(f"sizing {sizing!r} is not known, there is {known}")
        one_size = self.task == "topdown" or self.source.suffix in SUFFIXES.values()
        if one_size and self.sizing != "fixed":
            raise ValueError(f"{source} takes one size, {self.input_size}: no sizing={sizing!r}")

    def __call__(self, image: np.ndarray, boxes: np.ndarray | None = None) -> People:
        """Poses of the people in a picture.

        Args:
            image: uint8 [H, W, 3], RGB.
            boxes: for a top-down network, [N, 4] (x, y, w, h) in pixels, one a person; None takes
                the whole picture as one person. A bottom-up network takes none.

        Returns:
            People, in the order of the boxes; those of a bottom-up network by their scores, the
            best first.
        """
        if image.ndim != 3 or image.shape[-1] != 3 or image.dtype != np.uint8:
            raise ValueError(f"image must be uint8 [H, W, 3], got {image.dtype} {image.shape}")
        if self.task != "topdown":
            if boxes is not None:
                raise ValueError(
                    f"{self.source} is bottom-up: it finds the people itself and takes no boxes"
                )
            return self._find(image)
        height, width = image.shape[:2]
        if boxes is None:
            boxes = [[0, 0, width, height]]
        boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
        if not np.isfinite(boxes).all() or (boxes[:, 2:] <= 0).any():
            raise ValueError("boxes must be (x, y, w, h) with positive width and height")
        return self._crop(image, boxes)

    def view(self, image_size: tuple[int, int]) -> tuple[tuple[int, int], np.ndarray, np.ndarray]:
        """How a bottom-up network sees a whole picture of (H, W).

        Returns:
            The size (H, W) of its input, and center [2] and scale [2] of the crop that fills it.
        """
        if self.sizing == "fixed":
            return self.input_size, *geometry.bottomup_fit(image_size, self.input_size)
        size, center, scale = geometry.bottomup_size(image_size, min(self.input_size))
        most = LONGEST * min(size)
        if max(size) > most:
            size = (min(size[0], most), min(size[1], most))
            center, scale = geometry.bottomup_fit(image_size, size)
        return size, center, scale

    def _find(self, image: np.ndarray) -> People:
        size, center, scale = self.view(image.shape[:2])
        picture = geometry.crop(image, geometry.affine(center, scale, 0, size), size)
        batch = {"image": picture[None], "center": center[None], "scale": scale[None]}
        (found,) = self._predict(batch)
        keypoints, scores, person_scores = (np.asarray(part, np.float32) for part in found)
        boxes = person_boxes.extent(keypoints, scores > 0)
        order = np.argsort(-person_scores, kind="stable")
        return People(keypoints, scores, boxes, person_scores).select(order)

    def _crop(self, image: np.ndarray, boxes: np.ndarray) -> People:
        center, scale = geometry.box_to_center_scale(boxes, self.input_size)
        joints = self.skeleton.num_joints
        keypoints = [np.zeros((0, joints, 2), np.float32)]
        scores = [np.zeros((0, joints), np.float32)]
        for i in range(0, len(boxes), self.batch_size):
            rows = slice(i, i + self.batch_size)
            found = self._batch(image, center[rows], scale[rows])
            keypoints.append(found[0])
            scores.append(found[1])
        of_joints = np.concatenate(scores)
        return People(np.concatenate(keypoints), of_joints, boxes, of_joints.mean(axis=1))

    def _batch(
        self, image: np.ndarray, center: np.ndarray, scale: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        count, size = len(center), self.batch_size
        crops = np.zeros((size, *self.input_size, 3), np.uint8)
        for i in range(count):
            matrix = geometry.affine(center[i], scale[i], 0, self.input_size)
            crops[i] = geometry.crop(image, matrix, self.input_size)
        rest = ((0, size - count), (0, 0))
        batch = {
            "image": crops,
            "center": np.pad(center, rest),
            "scale": np.pad(scale, rest, constant_values=1),
        }
        keypoints, scores = self._predict(batch)
        return np.asarray(keypoints)[:count], np.asarray(scores)[:count]
