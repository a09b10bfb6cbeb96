"""Reading a damaged checkpoint prints nothing but what the caller prints."""

import asyncio
import os
import subprocess
import sys
import types

import numpy as np
import orbax.checkpoint as ocp
import pytest

from jaxpose.runs import late_reads
from jaxpose.runs.arrays import contents

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


def test_other_errors_are_still_printed(monkeypatch):
    printed = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: printed.append(args.exc_value))
    late_reads.ignore_late_reads()
    hook = sys.unraisablehook
    late_reads.ignore_late_reads()
    assert sys.unraisablehook is hook  # not installed twice

    def report(error):
        hook(types.SimpleNamespace(exc_value=error, exc_traceback=error.__traceback__))

    loop = asyncio.new_event_loop()
    loop.close()
    errors = []
    for call in (lambda: loop.call_soon_threadsafe(print), lambda: loop.run_forever()):
        try:
            call()
        except RuntimeError as error:
            errors.append(error)
    report(errors[0].with_traceback(errors[0].__traceback__.tb_next.tb_next))  # as C++ calls it
    assert printed == []
    report(errors[1])
    report(ValueError("another"))
    assert [str(error) for error in printed] == ["Event loop is closed", "another"]
