"""Bottom-up: heatmaps of all people in an image, told apart by tags (associative embedding)."""

from __future__ import annotations

NAME = "associative_embedding"
TITLE = "Bottom-up, associative embedding"
COUNTS = "images"
EXAMPLE = "image"
INPUT_STEP = 32
RECIPE = "configs/custom_bottomup.py"


def network_keypoints(num_keypoints: int) -> int:
    """The keypoints of the dataset."""
    return num_keypoints
