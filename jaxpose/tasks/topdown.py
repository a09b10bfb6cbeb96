"""Top-down: heatmaps of one person per crop."""

from __future__ import annotations

NAME = "topdown"
TITLE = "Top-down"
COUNTS = "people"
EXAMPLE = "crop"
INPUT_STEP = 32
RECIPE = "configs/custom_topdown.py"


def network_keypoints(num_keypoints: int) -> int:
    """The keypoints of the dataset."""
    return num_keypoints
