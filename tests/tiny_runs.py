"""The former place of `tests.helpers.tiny_runs`, which scripts outside this repository import."""

from tests.helpers.tiny_runs import command, config, environment, flags, run, write_people

__all__ = ["command", "config", "environment", "flags", "run", "write_people"]
