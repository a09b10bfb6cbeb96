"""Batches of synthetic images for benchmarks, and settings for evaluating exported files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from jaxpose import images
from jaxpose.tasks.protocol import Size

PEOPLE = 5  # per image of `sample_batch`
SLOTS = 30  # rows for people per image of a training batch


def sample_batch(
    input_size: Size, count: int, num_keypoints: int, seed: int = 0
) -> dict[str, np.ndarray]:
    """Synthetic uint8 images [B, H, W, 3] of five people with random keypoints, nothing ignored."""
    rng = np.random.default_rng(seed)
    height, width = input_size
    places = rng.uniform(0, (width, height), (count, PEOPLE, num_keypoints, 2))
    keypoints = np.concatenate([places, np.ones_like(places[..., :1])], -1).astype(np.float32)
    return {
        "image": images.draw_samples(input_size, count, seed),
        "keypoints": np.pad(keypoints, ((0, 0), (0, SLOTS - PEOPLE), (0, 0), (0, 0))),
        "valid": np.ones(count, bool),
        "mirrored": np.zeros(count, bool),
        "mask_quarter": np.ones((count, height // 4, width // 4), np.uint8),
        "mask_half": np.ones((count, height // 2, width // 2), np.uint8),
    }


def fit_settings(config: ConfigDict, metadata: Mapping[str, Any], source: str) -> str:
    """Sets the input size of the file, into which images are fitted. See `Task.fit_settings`."""
    if len(config.eval.scales) > 1:
        raise ValueError(
            f"{source} has one input size, but config.eval.scales={config.eval.scales}: use "
            '--config.eval.scales="(1.0,)"'
        )
    config.input_size, config.eval.sizing = tuple(metadata["input_size"]), "fixed"
    height, width = config.input_size
    return f"images are fitted into {height}x{width} pixels, the input size of {source}"
