"""The keypoints of a whole network, from the last layer in its public state_dict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from jaxpose.convert import names
from jaxpose.wording import quantity


def keypoints_of(name: str, state_dict: Mapping[str, np.ndarray]) -> int | None:
    """Number of keypoints of a checkpoint of model `name`; None without a last layer."""
    for key, value in state_dict.items():
        extra = names.FINAL_LAYERS.get(names.canonical(name, key))
        if extra is not None:
            return int(value.shape[0]) - extra
    return None


def count_keypoints(name: str, state_dict: Mapping[str, np.ndarray]) -> int:
    """Number of keypoints of a checkpoint of model `name`.

    Raises:
      ValueError: it has no last layer.
    """
    count = keypoints_of(name, state_dict)
    if count is None:
        expected = " or ".join(map(repr, names.FINAL_LAYERS))
        raise ValueError(
            f"{name}: the checkpoint has no {expected}; was it made with a different model, or is "
            f"it a backbone alone? Of {quantity(len(state_dict), 'key')}: {list_keys(state_dict)}"
        )
    return count


def keep_keypoints(
    name: str, state_dict: Mapping[str, np.ndarray], count: int
) -> dict[str, np.ndarray]:
    """The weights with the first `count` keypoints of the last layer."""
    kept = dict(state_dict)
    for key, value in state_dict.items():
        layer = names.canonical(name, key).rpartition(".")[0]
        if f"{layer}.weight" in names.FINAL_LAYERS:
            kept[key] = value[:count]
    return kept


def list_keys(state_dict: Iterable[str]) -> str:
    """The first two and the last two keys, for error messages."""
    keys = list(state_dict)
    return ", ".join(map(repr, [*keys[:2], *keys[-2:]] if len(keys) > 4 else keys))
