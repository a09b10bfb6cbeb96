"""Top-down: heatmaps of one person per crop."""

from __future__ import annotations

import jaxpose.config.topdown

NAME = "topdown"
TITLE = "Top-down"
COUNTS = "people"
EXAMPLE = "crop"
INPUT_STEP = 32
RECIPE = "configs/custom_topdown.py"
SETTINGS = jaxpose.config.topdown.SETTINGS
check_settings = jaxpose.config.topdown.check


def network_keypoints(num_keypoints: int) -> int:
    """The keypoints of the dataset."""
    return num_keypoints
