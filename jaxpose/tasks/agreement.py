"""Tolerances between an exported file and its model, and the error if they are exceeded."""

from __future__ import annotations

import math
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


LEAST_SCALE = 1e-12  # smallest largest value of a model, to divide by
FP32 = Tolerance(heatmap=1e-4, keypoint=0.05)
# By the precision of the weights. Rounding to float16 changed the outputs of HWL with random
# weights by 4 % of the largest value.
TOLERANCES = {
    "fp32": FP32,
    "fp16": Tolerance(heatmap=5e-2, keypoint=0.5),
    # With 8 bits, a keypoint may jump from one maximum to another one of about the same height. The
    # outputs decide: those of a file that has collapsed differ by the largest value itself.
    "int8-weight-only": Tolerance(heatmap=0.25, keypoint=math.inf),
    "int8-dynamic": Tolerance(heatmap=0.25, keypoint=math.inf),
    "int8-static": Tolerance(heatmap=0.5, keypoint=math.inf),
}


class MismatchError(ValueError):
    """The outputs of an exported file differ from those of its model."""
