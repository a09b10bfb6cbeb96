"""The poses of the people in one image, the result of all predictors."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Poses:
    """The poses of N people in one image.

    Attributes:
      keypoints: [N, K, 2] (x, y) in image pixels; (0, 0) for a keypoint that a bottom-up network
        did not find.
      scores: [N, K]; about 1 if the network is certain, 0 or less if there is no keypoint.
      boxes: [N, 4] (x, y, w, h) in pixels. Top-down: the given boxes. Bottom-up: the extent of each
        person's keypoints.
      person_scores: [N]. Top-down: the mean of the keypoint scores, times the score of the box if
        there is one. Bottom-up: the score that the codec defines, before missing keypoints are
        filled in.
    """

    keypoints: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray
    person_scores: np.ndarray

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def present(self) -> np.ndarray:
        """bool [N, K]: whether the network located the keypoint."""
        return np.asarray(self.scores > 0)

    def select(self, rows: np.ndarray) -> Poses:
        """Returns the people at some rows, given as indexes or bool [N]."""
        fields = dataclasses.fields(self)
        return Poses(**{field.name: getattr(self, field.name)[rows] for field in fields})


def extent(keypoints: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Returns the smallest boxes [N, 4] (x, y, w, h) around the keypoints that are present.

    Args:
      keypoints: [N, K, 2] in pixels.
      present: bool [N, K]; a person without keypoints gets a box of zeros.
    """
    low = np.where(present[..., None], keypoints, np.inf).min(axis=1)
    high = np.where(present[..., None], keypoints, -np.inf).max(axis=1)
    boxes = np.concatenate([low, high - low], axis=1)
    anyone = np.any(present, axis=1, keepdims=True)
    return np.where(anyone, boxes, 0).astype(np.float32)
