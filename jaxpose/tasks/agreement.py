"""Tolerances between an exported file and its model, and the error if they are exceeded."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerance:
    """How far a file may differ from its model.

    Attributes:
      heatmap: difference between the outputs, as a fraction of the model's largest value.
      keypoint: distance between keypoints, in input pixels.
    """

    heatmap: float
    keypoint: float


# By the precision of the file's weights. Rounding to float16 changed the outputs of HWL with random
# weights by 4 % of the largest value.
TOLERANCES = {"fp32": Tolerance(1e-4, 0.05), "fp16": Tolerance(5e-2, 0.5)}


class MismatchError(ValueError):
    """The outputs of an exported file differ from those of its model."""
