"""Tolerances between an exported file and its model, and the error if they are exceeded."""

HEATMAP_TOLERANCE = 1e-4  # of the largest value of the model's output
KEYPOINT_TOLERANCE = 0.05  # input pixels


class MismatchError(ValueError):
    """The outputs of an exported file differ from those of its model."""
