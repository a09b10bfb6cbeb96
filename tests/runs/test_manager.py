"""What the writer of checkpoints prints."""

import sys
import types

import pytest

from jaxpose.runs.manager import open_manager


@pytest.mark.parametrize(
    ("message", "shown"), [("Event loop is closed", False), ("something else", True)]
)
def test_late_errors_of_tensorstore_are_not_shown(tmp_path, monkeypatch, message, shown):
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", seen.append)
    for name in "ab":  # the second manager must not wrap the hook again
        open_manager(tmp_path / name).close()
    unraisable = types.SimpleNamespace(exc_value=RuntimeError(message))
    sys.unraisablehook(unraisable)
    assert seen == [unraisable] * shown
