"""A setting, with key, default, meaning and constraints, and functions on tuples of settings.

A task derives its settings from others:

    SETTINGS = with_settings(
        with_defaults(without(topdown.SETTINGS, "loss"), {"sigma": 6.0}),
        Setting("loss.beta", 10.0, "Sharpness of the softmax.", above=0),
    )
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from jaxpose.choices import choose_from, did_you_mean


class ConfigError(ValueError):
    """An invalid setting; the message is one line with the nearest valid value."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
      key: dotted, with the group first: "optimizer.learning_rate".
      default: the default; other values must have its type.
      sentence: meaning of the setting, for the documentation.
      unit: unit of a number, e.g. "pixels".
      choices: all valid values; empty if they are not listed.
      minimum: smallest valid value.
      maximum: largest valid value.
      above: valid values are greater than this.
      below: valid values are less than this.
      fixed: whether a resumed run must keep the value. False only for settings that do not change
        what is learned.
      path: whether the value names a file or folder, where `~` is the home folder.
    """

    key: str
    default: Any
    sentence: str
    unit: str = ""
    _: dataclasses.KW_ONLY
    choices: tuple = ()
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    below: float | None = None
    fixed: bool = True
    path: bool = False

    @property
    def group(self) -> str:
        """The key without its last part; "" at the top level."""
        return self.key.rpartition(".")[0]

    @property
    def constraint(self) -> str:
        """The valid values in words; "" if the type is the only constraint."""
        if self.choices:
            return ", ".join(map(str, self.choices))
        if self.minimum is not None and self.maximum is not None:
            return f"between {self.minimum:g} and {self.maximum:g}"
        ends = (
            ("greater than", self.above),
            ("at least", self.minimum),
            ("less than", self.below),
            ("at most", self.maximum),
        )
        return " and ".join(f"{words} {end:g}" for words, end in ends if end is not None)

    def check(self, value: Any) -> None:
        """Raises ConfigError unless the constraints allow the value."""
        if self.choices:
            if value not in self.choices:
                hint = choose_from(value, self.choices)
                raise ConfigError(f"config.{self.key}={value!r}: {hint}")
        elif not self._in_range(value):
            rule = "not be negative" if self._only_minimum_zero() else f"be {self.constraint}"
            raise ConfigError(f"config.{self.key}={value} must {rule}")

    def _in_range(self, value: Any) -> bool:
        # Written so that NaN is out of every range.
        return (
            (self.minimum is None or value >= self.minimum)
            and (self.maximum is None or value <= self.maximum)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def _only_minimum_zero(self) -> bool:
        return self.minimum == 0 and self.maximum is None and self.below is None


def with_settings(settings: Iterable[Setting], *new: Setting) -> tuple[Setting, ...]:
    """`settings` with the new ones appended; a setting of the same key is replaced in place."""
    return tuple({setting.key: setting for setting in (*settings, *new)}.values())


def with_defaults(settings: Iterable[Setting], values: Mapping[str, Any]) -> tuple[Setting, ...]:
    """`settings` with other defaults. Raises ValueError for an unknown key."""
    settings = tuple(settings)
    _check_known(values, {setting.key for setting in settings})
    return tuple(
        dataclasses.replace(setting, default=values[setting.key])
        if setting.key in values
        else setting
        for setting in settings
    )


def without(settings: Iterable[Setting], *keys: str) -> tuple[Setting, ...]:
    """`settings` without those of the keys; the name of a group removes the whole group.

    Raises ValueError for a key that is neither a setting nor a group.
    """
    settings = tuple(settings)
    _check_known(keys, {name for setting in settings for name in _names(setting)})
    return tuple(setting for setting in settings if not _names(setting) & set(keys))


def defaults(settings: Iterable[Setting], group: str = "") -> dict[str, Any]:
    """The defaults of one group by key, without the group's name; by default of all settings.

    For example `defaults(SETTINGS, "eval")["flip"]` or `defaults(SETTINGS)["eval.flip"]`.
    """
    prefix = f"{group}." if group else ""
    return {
        setting.key.removeprefix(prefix): setting.default
        for setting in settings
        if setting.key.startswith(prefix)
    }


def _names(setting: Setting) -> set[str]:
    """The key and the groups that contain it: a.b.c, a.b and a."""
    parts = setting.key.split(".")
    return {".".join(parts[: count + 1]) for count in range(len(parts))}


def _check_known(keys: Iterable[str], known: set[str]) -> None:
    for key in keys:
        if key not in known:
            hint = did_you_mean(key, sorted(known), before="; ")
            raise ValueError(f"no setting {key!r}{hint}")
