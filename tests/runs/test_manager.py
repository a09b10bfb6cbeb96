"""What the writer of checkpoints prints."""

import sys
import threading

import pytest

from jaxpose.runs.manager import open_manager


@pytest.mark.parametrize(
    ("message", "shown"), [("Event loop is closed", False), ("something else", True)]
)
def test_late_errors_of_tensorstore_are_not_shown(tmp_path, monkeypatch, message, shown):
    seen = []
    monkeypatch.setattr(sys, "excepthook", lambda *error: seen.append(error))
    for name in "ab":  # the second manager must not wrap the hook again
        open_manager(tmp_path / name).close()
    error = RuntimeError(message)

    def show():
        sys.excepthook(RuntimeError, error, None)

    thread = threading.Thread(target=show)  # tensorstore prints errors in threads of its own
    thread.start()
    thread.join()
    assert [each[1] for each in seen] == [error] * shown
    show()
    assert [each[1] for each in seen] == [error] * (shown + 1)
