"""Bottom-up: heatmaps of all people in an image, told apart by tags (associative embedding)."""

from __future__ import annotations

import functools

import jaxpose.config.associative_embedding

NAME = "associative_embedding"
TITLE = "Bottom-up, associative embedding"
COUNTS = "images"
EXAMPLE = "image"
INPUT_STEP = 32
RECIPE = "configs/custom_bottomup.py"
SETTINGS = jaxpose.config.associative_embedding.SETTINGS
check_settings = functools.partial(
    jaxpose.config.associative_embedding.check, input_step=INPUT_STEP
)


def network_keypoints(num_keypoints: int) -> int:
    """The keypoints of the dataset."""
    return num_keypoints
