"""A checkpoint that cannot be read or written prints nothing but what the caller prints."""

import asyncio
import os
import subprocess
import sys
import types

import numpy as np
import orbax.checkpoint as ocp
import pytest
from absl import logging

from jaxpose.runs import late_errors
from jaxpose.runs.arrays import contents, read_items
from jaxpose.runs.manager import open_manager

READ = """
import pathlib, sys, time
from jaxpose.runs.arrays import DamagedError, read_items
try:
    read_items(pathlib.Path(sys.argv[1]), ("model",))
except DamagedError as error:
    print(error)
time.sleep(0.5)  # for the reads that end late
"""


@pytest.mark.slow
def test_a_damaged_checkpoint_prints_no_traceback(tmp_path, repository, rng):
    tree = {f"array{k}": rng.random((50, 50), np.float32) for k in range(40)}
    with ocp.CheckpointManager(tmp_path / "checkpoints") as manager:
        manager.save(3, args=contents({"model": tree}, step=3), force=True)
        manager.wait_until_finished()
    for file in (tmp_path / "checkpoints" / "3" / "model" / "ocdbt.process_0" / "d").iterdir():
        if file.stat().st_size > 5000:  # with arrays, not with names
            os.truncate(file, 100)
    done = subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path / "checkpoints" / "3")],
        capture_output=True, text=True, cwd=repository, check=True,
    )  # fmt: skip
    (line,) = done.stdout.splitlines()
    assert line.startswith("model cannot be read") and done.stderr == ""


@pytest.fixture
def printed(monkeypatch):
    """The errors that pass the filter."""
    printed = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: printed.append(args.exc_value))
    return printed


def error_of(call):
    with pytest.raises(RuntimeError) as caught:
        call()
    return caught.value


def report(error):
    args = types.SimpleNamespace(exc_value=error, exc_traceback=error.__traceback__)
    sys.unraisablehook(args)


def late_error():
    """The error of a write or read that ends late, as C++ causes it."""
    loop = asyncio.new_event_loop()
    loop.close()
    error = error_of(lambda: loop.call_soon_threadsafe(print))
    trace = error.__traceback__
    while trace.tb_frame.f_code.co_name != "call_soon_threadsafe":
        trace = trace.tb_next
    return error.with_traceback(trace)


def test_other_errors_are_still_printed(printed):
    late_errors.ignore_late_errors()
    loop = asyncio.new_event_loop()
    loop.close()
    report(late_error())
    assert printed == []
    report(error_of(loop.run_forever))
    report(ValueError("another"))
    assert [str(error) for error in printed] == ["Event loop is closed", "another"]


def test_readers_and_writers_of_checkpoints_install_the_same_filter_once(printed, tmp_path):
    manager = open_manager(tmp_path / "a")
    hook = sys.unraisablehook
    manager.save(3, args=contents({"model": {"array": np.ones(9)}}, step=3), force=True)
    manager.wait_until_finished()
    read_items(tmp_path / "a" / "3", ("model",))
    open_manager(tmp_path / "b").close()
    manager.close()
    assert sys.unraisablehook is hook
    report(late_error())
    assert printed == []


def test_late_errors_are_printed_if_asked_for(printed, monkeypatch):
    late_errors.ignore_late_errors()
    monkeypatch.setattr(logging, "get_verbosity", lambda: logging.INFO)
    report(late_error())
    assert [str(error) for error in printed] == ["Event loop is closed"]
