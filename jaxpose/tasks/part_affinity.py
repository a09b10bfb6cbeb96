"""Bottom-up: heatmaps of all people in an image, joined by part affinity fields."""

from __future__ import annotations

import functools

import jaxpose.config.part_affinity

NAME = "part_affinity"
TITLE = "Bottom-up, part affinity fields"
COUNTS = "images"
EXAMPLE = "image"
INPUT_STEP = 8
RECIPE = "configs/lightweight_openpose.py"
SETTINGS = jaxpose.config.part_affinity.SETTINGS
check_settings = functools.partial(jaxpose.config.part_affinity.check, input_step=INPUT_STEP)


def network_keypoints(num_keypoints: int) -> int:
    """COCO's keypoints and the neck."""
    return num_keypoints + 1  # the neck
