"""The poses of the people in one image, as every predictor returns them."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Poses:
    """N people in one image.

    Attributes:
      keypoints: [N, K, 2] (x, y) in image pixels; (0, 0) where a bottom-up network has no keypoint.
      scores: [N, K], about 1 where the network is certain; 0 or less where there is no keypoint.
      boxes: [N, 4] (x, y, w, h): the boxes given to a top-down network; the extent of each
        person's keypoints for a bottom-up network.
      person_scores: [N]. Top-down: the mean of the keypoint scores. Bottom-up: as the codec
        defines it, before missing keypoints are filled in.
    """

    keypoints: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray
    person_scores: np.ndarray

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def present(self) -> np.ndarray:
        """bool [N, K]: which keypoints the network located."""
        return np.asarray(self.scores > 0)

    def select(self, rows: np.ndarray) -> Poses:
        """The people at some rows: indexes, or bool [N]."""
        fields = dataclasses.fields(self)
        return Poses(**{field.name: getattr(self, field.name)[rows] for field in fields})


def extent(keypoints: np.ndarray, present: np.ndarray) -> np.ndarray:
    """The smallest boxes [N, 4] (x, y, w, h) around all keypoints that are present.

    Args:
      keypoints: [N, K, 2] in pixels.
      present: bool [N, K]; a person without any gets a box of zeros.
    """
    low = np.where(present[..., None], keypoints, np.inf).min(axis=1)
    high = np.where(present[..., None], keypoints, -np.inf).max(axis=1)
    boxes = np.concatenate([low, high - low], axis=1)
    anyone = np.any(present, axis=1, keepdims=True)
    return np.where(anyone, boxes, 0).astype(np.float32)
