"""Finds the weights in the content of a checkpoint file.

Training programs store the weights in different places: at the top level, under `state_dict`,
`model`, `network` and so on, behind a common prefix such as `module.`, and with or without a moving
average (EMA) beside them. Everything here works on plain dicts of numpy arrays.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]

# Names under which programs store the network; one of them comes before other dicts of any size.
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
# First words behind which training programs keep the network, beside their losses and metrics.
_WRAPPERS = frozenset({"model", "module", "net", "network", "pose_model", "online_model"})
_BESIDE = frozenset({"initted", "step", "n_averaged"})
_BESIDE_PARTS = ("loss", "criterion", "metric", "discriminator", "teacher")
_SWAPPED = (
    "{}: if MMCV wrote this file, the weights under the normal names are the moving average, and "
    "--ema reads those without it"
)
# Statistics of batch norm, for which programs often keep no moving average.
_STATISTICS = ("running_mean", "running_var")
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
    plain, average = _split_average(_main(others or averages, where))
    normal, copies = _separate(plain)
    if average and not others:  # the file has only an average, with the weights in the same dict
        return average
    if not ema:
        return _without_prefix(normal)
    if averages and others:
        if isinstance(content, Mapping) and {"message_hub", "ema_state_dict"} <= content.keys():
            raise ValueError(
                f"{where}: MMEngine stores the moving average as state_dict, and the weights "
                "without it as ema_state_dict: omit --ema to read the average"
            )
        stored, inner = _split_average(_main(averages, where))
        return _averaged(_without_prefix(normal), inner or _without_prefix(stored), where)
    if average:
        return _averaged(_without_prefix(normal), average, where)
    if averages:
        return _without_prefix(normal)
    if not copies:
        raise ValueError(
            f"{where}: has no moving average (no key begins with ema_, and no dict is called ema): "
            f"omit --ema; {describe(content)}"
        )
    print(_SWAPPED.format(where), file=sys.stderr)
    return _without_prefix(_averaged(normal, copies, where))


def _averaged(normal: Arrays, average: Arrays, where: str) -> Arrays:
    """The average, and the statistics of batch norm and counters that have none.

    Raises:
      ValueError: a parameter has no average.
    """
    lacking = [
        key
        for key, value in normal.items()
        if key not in average and value.dtype.kind == "f" and not key.endswith(_STATISTICS)
    ]
    if lacking:
        raise ValueError(
            f"{where}: the moving average lacks {len(lacking)} of the {len(normal)} arrays of the "
            f"network, e.g. {lacking[0]!r}: omit --ema, or save the average in its own file"
        )
    return {key: average.get(key, value) for key, value in normal.items()}


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


def _main(parts: list[tuple[str, Arrays]], where: str) -> Arrays:
    """The arrays of the network: those of a preferred name, or the largest.

    Raises:
      ValueError: several are equally good.
    """
    preferred = [part for part in parts if _rank(part) is not None]
    if preferred:
        best = min(filter(None, map(_rank, preferred)))
        parts = [part for part in preferred if _rank(part) == best]
    # Counters do not count: averages of PyTorch's SWA have one more.
    sizes = [sum(array.ndim > 0 for array in arrays.values()) for _, arrays in parts]
    largest = [part for part, size in zip(parts, sizes, strict=True) if size == max(sizes)]
    if len(largest) > 1:
        names = " and ".join(repr(name) for name, _ in largest)
        raise ValueError(
            f"{where}: has several sets of weights, {names}: save the set to use in its own file"
        )
    return largest[0][1]


def _rank(part: tuple[str, Arrays]) -> tuple[int, int] | None:
    """Depth and place in `_PREFERRED` of a dict with kernels; None if it has another name."""
    name, arrays = part
    last = name.rpartition(".")[2]
    if last not in _PREFERRED or all(array.ndim < 2 for array in arrays.values()):
        return None
    return name.count("."), _PREFERRED.index(last)


def _split_average(arrays: Arrays) -> tuple[Arrays, Arrays]:
    """Splits off an average behind a first word such as `ema_model`; {} if there is none."""
    arrays = _without_common_prefix(arrays)
    words = {key.partition(".")[0] for key in arrays if "." in key}
    for word in filter(_is_average, sorted(words)):
        average = _without_prefix(_behind(word, arrays))
        normal = {key: v for key, v in arrays.items() if not key.startswith(f"{word}.")}
        # A network may also have a module called ema.
        if average.keys() & _without_prefix(normal).keys():
            return normal, average
    return arrays, {}


def _behind(word: str, arrays: Arrays) -> Arrays:
    prefix = f"{word}."
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


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
    """Drops prefixes that all keys of the network have, and losses and counters beside them."""
    while True:
        arrays = _without_common_prefix(arrays)
        first = {key.partition(".")[0] for key, value in arrays.items() if value.ndim}
        wrappers = [word for word in sorted(first) if word in _WRAPPERS]
        wrappers = wrappers or [word for word in sorted(first) if _is_average(word)]
        if len(first) == 1 or len(wrappers) != 1 or not all(map(_is_beside, first - {*wrappers})):
            return arrays
        inner = _behind(wrappers[0], arrays)
        if not any(value.ndim for value in inner.values()):
            return arrays
        arrays = inner


def _is_beside(word: str) -> bool:
    """Whether the arrays behind a first word belong to a training program, not to the network."""
    return word in _BESIDE or _is_average(word) or any(part in word for part in _BESIDE_PARTS)


def _without_common_prefix(arrays: Arrays) -> Arrays:
    """Drops prefixes that all keys have; a scalar without them, such as a counter, is left out."""
    while True:
        first = {key.partition(".")[0] for key, value in arrays.items() if value.ndim}
        if len(first) != 1:
            return arrays
        (prefix,) = first
        inner = _behind(prefix, arrays)
        names = {key.partition(".")[0] for key in inner}
        if prefix in _PARTS or not inner or names <= {"weight", "bias"}:
            return arrays
        arrays = inner
