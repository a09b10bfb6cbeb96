"""The setting that selects training steps: START:COUNT."""

from __future__ import annotations

import re

from jaxpose.config.setting import ConfigError


def profiled_steps(value: str) -> range:
    """The steps in `config.profile`, counted from 1; none if it is empty.

    Raises:
      ConfigError: the value is not START:COUNT.

    >>> profiled_steps("100:5")
    range(100, 105)
    """
    if not value:
        return range(0)
    match = re.fullmatch(r"([1-9]\d*):([1-9]\d*)", value)
    if match is None:
        raise ConfigError(
            f"config.profile={value} must be START:COUNT, the first step to trace and the number "
            "of steps, e.g. 100:5"
        )
    start, count = map(int, match.groups())
    return range(start, start + count)
