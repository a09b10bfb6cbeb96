"""Traces of training steps: which steps they contain, and that they are ended."""

import functools
import gzip
import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from jaxpose.remote import RemotePath
from jaxpose.training import profiling
from jaxpose.training.times import Times

traced = functools.partial(profiling.traced, log=pytest.fail)
FAILING = """
import pathlib, sys
from jaxpose.training.profiling import traced
from jaxpose.training.times import Times
folder = pathlib.Path(sys.argv[1])
print(list(traced(range(1, 5), range(2, 4), folder, Times("steps"), wait=int, log=print)))
"""


def trace_names(folder):
    """Names of the events in the trace."""
    (path,) = folder.rglob("*.trace.json.gz")
    events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    return [event.get("name") for event in events]


def steps_in(folder):
    (path,) = folder.rglob("*.trace.json.gz")
    events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    return sorted(int(e["args"]["step_num"]) for e in events if e.get("name") == "train")


def test_the_trace_has_the_chosen_steps_and_the_phases(tmp_path):
    times = Times("steps")
    double = jax.jit(lambda x: 2 * x)
    done = []
    values = [double(jnp.ones(3))]
    for step in traced(
        range(1, 7), range(3, 5), tmp_path, times, wait=lambda: jax.block_until_ready(values)
    ):
        with times.phase("input"):
            values.append(double(values[-1]))
        done.append(step)
    assert done == [1, 2, 3, 4, 5, 6]
    assert steps_in(tmp_path) == [3, 4]
    assert trace_names(tmp_path).count("input") == 2
    assert list(tmp_path.glob("plugins/profile/*/*.xplane.pb"))
    assert times.seconds()["profile"] > 0


@pytest.mark.parametrize("chosen", [range(0), range(1, 4), range(9, 12)])
def test_steps_outside_of_the_run_are_not_traced(chosen, tmp_path):
    steps = traced(range(4, 7), chosen, tmp_path / "profile", Times("steps"), wait=int)
    assert list(steps) == [4, 5, 6]
    assert not (tmp_path / "profile").exists()


def test_a_resumed_run_traces_the_rest_of_the_steps(tmp_path):
    list(traced(range(4, 7), range(2, 6), tmp_path, Times("steps"), wait=int))
    assert steps_in(tmp_path) == [4, 5]


def test_a_run_that_ends_early_writes_its_trace(tmp_path):
    waits = []
    steps = traced(range(1, 9), range(1, 9), tmp_path, Times("steps"), wait=lambda: waits.append(1))
    for step in steps:
        if step == 3:
            break
    steps.close()
    assert steps_in(tmp_path) == [1, 2, 3]
    assert len(waits) == 1  # not at the end, where the device may have failed
    jax.profiler.start_trace(str(tmp_path / "next"))  # an open trace would be an error
    jax.profiler.stop_trace()


def test_a_trace_is_copied_to_a_store(memory_store, tmp_path):
    folder = RemotePath(f"{memory_store}/run/profile")
    list(traced(range(1, 4), range(2, 3), folder, Times("steps"), wait=int))
    folder.download(tmp_path)
    assert steps_in(tmp_path) == [2]


def test_processes_on_one_machine_write_different_files(tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    for process in range(2):
        monkeypatch.setattr(jax, "process_index", lambda process=process: process)
        list(traced(range(1, 3), range(1, 2), tmp_path, Times("steps"), wait=int))
    files = list(tmp_path.glob("plugins/profile/*/*.xplane.pb"))
    assert sorted(file.name[:2] for file in files) == ["0-", "1-"]


def test_a_trace_that_cannot_be_written_is_one_line(repository, small_disk):
    """In a process of its own: JAX keeps a trace open that it could not write."""
    folder = small_disk(4) / "profile"
    done = subprocess.run(
        [sys.executable, "-c", FAILING, str(folder)],
        capture_output=True, text=True, cwd=repository, check=True,
    )  # fmt: skip
    line, steps = done.stdout.splitlines()
    assert line.startswith(f"no trace in {folder} (") and line.endswith("; the training goes on")
    assert "No space left on device" in line and steps == "[1, 2, 3, 4]"
    assert "Traceback" not in done.stderr


def test_a_trace_that_cannot_be_started_is_one_line(tmp_path, monkeypatch):
    def start_trace(*_, **__):
        raise RuntimeError("Profile has already been started.")

    lines = []
    monkeypatch.setattr(jax.profiler, "start_trace", start_trace)
    monkeypatch.setattr(jax.profiler, "stop_trace", lambda: pytest.fail("it was not started"))
    times = Times("steps")
    steps = profiling.traced(range(4), range(2), tmp_path, times, wait=int, log=lines.append)
    assert list(steps) == [0, 1, 2, 3]
    (line,) = lines
    assert line == (
        f"no trace in {tmp_path} (RuntimeError: Profile has already been started.); the training "
        "goes on"
    )
