"""What a prediction is."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class People:
    """N people of one picture.

    Attributes:
        keypoints: [N, K, 2] in pixels; (0, 0) where a bottom-up network did not find the joint.
        scores: [N, K], about 1 where the network is sure; 0 or less where nothing was found.
        boxes: [N, 4] (x, y, w, h): those that were given to a top-down network; the extent of the
            found joints of a bottom-up one.
        person_scores: [N], the mean of the joints' scores; of a bottom-up network as its codec has
            it, before joints that a person lacked were filled in.
    """

    keypoints: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray
    person_scores: np.ndarray

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def found(self) -> np.ndarray:
        """bool [N, K]: which joints were found at all."""
        return self.scores > 0

    def select(self, rows: np.ndarray) -> People:
        """The people of some rows: indexes, or bool [N]."""
        fields = dataclasses.fields(self)
        return People(**{field.name: getattr(self, field.name)[rows] for field in fields})
