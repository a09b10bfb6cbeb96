"""What an exported file must agree with its model on, and what is raised when it does not."""

HEATMAP_TOLERANCE = 1e-4  # of the largest value of the model's output
KEYPOINT_TOLERANCE = 0.05  # input pixels


class MismatchError(ValueError):
    """The exported file does not give what the model gives."""
