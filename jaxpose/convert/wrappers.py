"""Finds the weights in the content of a checkpoint file.

Training programs store the weights in different places: at the top level, under `state_dict`,
`model`, `network` and so on, behind a common prefix such as `module.`, and with or without a moving
average (EMA) beside them. Everything here works on plain dicts of numpy arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]

# If a file has several dicts with equally many arrays, the first of these names is taken.
_PREFERRED = (
    "state_dict",
    "model_state_dict",
    "model",
    "network",
    "net",
    "params",
    "module",
    "weights",
)
# Optimizers also hold arrays, as many as the network or more.
_NOT_WEIGHTS = frozenset({
    "optimizer", "optimizers", "optimizer_state_dict", "optimizer_states", "optim", "optim_dict",
    "lr_scheduler", "lr_schedulers", "scheduler", "param_schedulers", "message_hub", "scaler",
    "amp", "callbacks", "loops",
})  # fmt: skip
# First words of keys that belong to the network; every other common prefix is dropped.
_PARTS = frozenset({"backbone", "head", "keypoint_head", "features"})
_DEPTH = 4  # wrappers inside wrappers


def find_weights(content: Any, *, ema: bool = False, where: str = "the file") -> Arrays:
    """Returns the weights of one network.

    Args:
      content: what the file holds: dicts in dicts, with arrays and any other values.
      ema: whether to take the moving average, stored as `ema_` + the key with underscores instead
        of dots, or in a dict whose name has the word `ema`. Parts that have no average, such as
        the statistics of batch norm, come from the weights beside it.
      where: start of error messages, the name of the file.

    Returns:
      key -> array; without a prefix common to all keys.

    Raises:
      ValueError: no weights, two networks, or no moving average with `ema`.
    """
    # A dict of counters, such as the number of steps, does not hold weights.
    parts = [part for part in _dicts(content) if any(array.ndim for array in part[1].values())]
    if not parts:
        raise ValueError(f"{where}: contains no weights: {describe(content)}")
    averages = [part for part in parts if _is_average(part[0])]
    others = [part for part in parts if not _is_average(part[0])]
    plain = _largest(others or averages, where)
    normal, copies = _separate(plain)
    if not ema:
        return _without_prefix(normal)
    if averages and others:
        copies = _without_prefix(_largest(averages, where))
        normal = _without_prefix(normal)
        return {key: copies.get(key, value) for key, value in normal.items()}
    if averages:
        return _without_prefix(normal)
    if not copies:
        raise ValueError(
            f"{where}: has no moving average (no key begins with ema_, and no dict is called ema): "
            f"omit --ema; {describe(content)}"
        )
    return _without_prefix({key: copies.get(key, value) for key, value in normal.items()})


def describe(content: Any) -> str:
    """Describes the content of a file for error messages, in a few words."""
    if isinstance(content, np.ndarray):
        return "it is a single array"
    if not isinstance(content, Mapping):
        return f"it is a {type(content).__name__}"
    if not content:
        return "it is an empty dict"
    words = [f"{key} ({_kind(value)})" for key, value in list(content.items())[:5]]
    more = f" and {len(content) - 5} more" if len(content) > 5 else ""
    return f"it has {', '.join(words)}{more}"


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"array {list(value.shape)}"
    if isinstance(value, Mapping):
        return f"dict of {len(value)}"
    return type(value).__name__.lower()


def _dicts(content: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, Arrays]]:
    """Yields (dotted name, its arrays) of `content` and of every dict in it."""
    if not isinstance(content, Mapping) or depth > _DEPTH:
        return
    yield name, {key: v for key, v in content.items() if isinstance(key, str) and _is_array(v)}
    for key, value in content.items():
        if key not in _NOT_WEIGHTS:
            yield from _dicts(value, f"{name}.{key}" if name else str(key), depth + 1)


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "fiub"


def _is_average(name: str) -> bool:
    return "ema" in name.lower().replace(".", "_").split("_")


def _largest(parts: list[tuple[str, Arrays]], where: str) -> Arrays:
    most = max(len(arrays) for _, arrays in parts)
    largest = [(name, arrays) for name, arrays in parts if len(arrays) == most]
    for preferred in _PREFERRED:
        for name, arrays in largest:
            if name.split(".")[-1] == preferred:
                return arrays
    if len(largest) > 1:
        names = " and ".join(repr(name) for name, _ in largest)
        raise ValueError(
            f"{where}: has several sets of weights, {names}: save the set to use in its own file"
        )
    return largest[0][1]


def _separate(arrays: Arrays) -> tuple[Arrays, Arrays]:
    """Splits arrays into those without the prefix `ema_`, and the others under the normal key."""
    normal = dict(arrays)
    copies = {}
    for key in arrays:
        copy = normal.pop(f"ema_{key.replace('.', '_')}", None)
        if copy is not None:
            copies[key] = copy
    return normal, copies


def _without_prefix(arrays: Arrays) -> Arrays:
    """Drops prefixes that all keys have; a scalar without them, such as a counter, is left out."""
    while True:
        first = {key.partition(".")[0] for key, value in arrays.items() if value.ndim}
        if len(first) != 1:
            return arrays
        (prefix,) = first
        inner = {
            key.removeprefix(f"{prefix}."): value
            for key, value in arrays.items()
            if key.startswith(f"{prefix}.")
        }
        names = {key.partition(".")[0] for key in inner}
        if prefix in _PARTS or not inner or names <= {"weight", "bias"}:
            return arrays
        arrays = inner
