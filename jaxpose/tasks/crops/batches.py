"""Synthetic crops for benchmarks, settings for evaluating exported files, and keypoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from jaxpose import images
from jaxpose.skeletons import Skeleton
from jaxpose.tasks.protocol import Size


def sample_batch(
    input_size: Size, count: int, num_keypoints: int, seed: int = 0
) -> dict[str, np.ndarray]:
    """Synthetic uint8 crops [B, H, W, 3] and random labeled keypoints [B, K, 3] in pixels."""
    rng = np.random.default_rng(seed)
    height, width = input_size
    places = rng.uniform(0, (width, height), (count, 1, num_keypoints, 2))
    keypoints = np.concatenate([places, np.ones_like(places[..., :1])], -1).astype(np.float32)
    return {"image": images.draw_samples(input_size, count, seed), "keypoints": keypoints[:, 0]}


def fit_settings(config: ConfigDict, metadata: Mapping[str, Any], source: str) -> str:
    """Checks that input size and codec are those of the file. See `Task.fit_settings`."""
    check_size(config, metadata, source)
    codec = codec_of(metadata)
    if codec != config.codec:
        raise ValueError(
            f"{source} has the codec {codec}, but config.codec={config.codec}: use "
            f"--config.codec={codec}"
        )
    return ""


def check_size(config: ConfigDict, metadata: Mapping[str, Any], source: str) -> None:
    """Raises ValueError, naming `source`, unless `config` has the input size of the file."""
    size = tuple(metadata["input_size"])
    if size != tuple(config.input_size):
        raise ValueError(
            f"{source} has the input size {size}, but config.input_size="
            f"{tuple(config.input_size)}: use --config.input_size='{size}'"
        )


def codec_of(metadata: Mapping[str, Any]) -> str:
    """`config.codec` of an exported file; version 0.1 had only one codec and did not record it."""
    return metadata["codec"].get("targets", "gaussian")


def check_skeleton(skeleton: Skeleton, source: str) -> None:
    """Accepts all keypoints."""


def network_keypoints(num_keypoints: int) -> int:
    """The keypoints of the dataset."""
    return num_keypoints
