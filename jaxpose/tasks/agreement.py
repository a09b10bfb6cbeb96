"""Tolerances between an exported file and its model, and the error if they are exceeded."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerance:
    """How much a file may differ from its model.

    Attributes:
      heatmap: of the outputs, as a fraction of the model's largest value.
      keypoint: of the keypoints, in input pixels.
    """

    heatmap: float
    keypoint: float

    def __str__(self) -> str:
        return f"{self.heatmap:g} of the largest value and {self.keypoint:g} px"


FP32 = Tolerance(heatmap=1e-4, keypoint=0.05)
TOLERANCES = {  # by the precision of the weights
    "fp32": FP32,
    "fp16": Tolerance(heatmap=5e-2, keypoint=0.5),
}


class MismatchError(ValueError):
    """The outputs of an exported file differ from those of its model."""
