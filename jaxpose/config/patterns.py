"""Settings that select parameters: patterns on their paths, such as "backbone/*".

A path is the path in the parameter tree, "backbone/layer1_0/conv1/kernel". In a pattern, `*` stands
for any characters, slashes included. Batch norm statistics have paths too, ".../bn1/mean" and
".../bn1/var".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from jaxpose.choices import did_you_mean
from jaxpose.config.setting import ConfigError


def patterns_of(key: str, value: object) -> tuple[str, ...]:
    """The patterns in a setting, without empty ones (`--config.freeze=` gives one).

    Raises:
      ConfigError: the value is not a tuple of strings.
    """
    items = (value,) if isinstance(value, str) else value
    if not isinstance(items, tuple | list) or not all(isinstance(item, str) for item in items):
        raise ConfigError(
            f"config.{key}={value!r} must be a tuple of strings, such as 'backbone/*'"
        )
    return tuple(item for item in items if item)


def factors_of(key: str, value: object) -> dict[str, float]:
    """{"backbone/*": 0.1} of ("backbone/*=0.1",).

    Raises:
      ConfigError: an entry is not PATTERN=FACTOR, or its factor is not a positive number.
    """
    factors = {}
    for item in patterns_of(key, value):
        pattern, _, number = item.rpartition("=")
        try:
            factor = float(number)
        except ValueError:
            factor = 0.0
        if not pattern or not 0 < factor < float("inf"):
            raise ConfigError(
                f"config.{key}: {item!r} must be PATTERN=FACTOR with a factor above 0, such as "
                "'backbone/*=0.1'"
            )
        factors[pattern] = factor
    return factors


def first_match(path: str, patterns: Iterable[str]) -> str | None:
    """The first pattern that the path matches, or None.

    >>> first_match("backbone/conv1/kernel", ["head/*", "backbone/*"])
    'backbone/*'
    """
    return next((pattern for pattern in patterns if fnmatchcase(path, pattern)), None)


def freezes_norm(module: str, patterns: Iterable[str]) -> bool:
    """Whether `config.freeze` holds a batch norm: a pattern matches its mean or its variance."""
    patterns = tuple(patterns)
    return any(first_match(f"{module}/{leaf}", patterns) for leaf in ("mean", "var"))


def check_patterns(key: str, patterns: Iterable[str], paths: Sequence[str]) -> None:
    """Raises ConfigError for a pattern that matches none of the paths, with the nearest one."""
    for pattern in patterns:
        if not any(fnmatchcase(path, pattern) for path in paths):
            hint = did_you_mean(pattern, _candidates(paths), before="; ", cutoff=0.4)
            raise ConfigError(f"config.{key}: {pattern!r} matches no parameter{hint}")


def _candidates(paths: Sequence[str]) -> list[str]:
    """The paths, and "MODULE/*" of every module in them."""
    parents: dict[str, None] = {}
    for path in paths:
        parts = path.split("/")
        parents |= {"/".join(parts[:count]) + "/*": None for count in range(1, len(parts))}
    return [*parents, *paths]
