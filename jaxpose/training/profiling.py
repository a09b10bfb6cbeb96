"""Traces of a few training steps by JAX's profiler, for TensorBoard's profile tab and XProf."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Generator

import jax

from jaxpose.training.times import Times

FOLDER = "profile"


def traced(
    steps: range,
    chosen: range,
    folder: pathlib.Path,
    times: Times,
    wait: Callable[[], object],
) -> Generator[int]:
    """Iterates over the steps of a run, and traces some of them.

    What the caller does with a step until it asks for the next one is that step in the trace, also
    its waiting for input. Starting and writing a trace is the phase `profile`.

    Args:
      steps: of the run.
      chosen: steps to trace; those that are not in `steps` are left out.
      folder: where the trace is written, as plugins/profile/TIME/HOST.xplane.pb.
      times: the phases of the process.
      wait: waits until the device has ended the steps so far, at the start and the end of a trace.
    """
    chosen = range(max(steps.start, chosen.start), min(steps.stop, chosen.stop))
    tracing = False
    try:
        for step in steps:
            if chosen and step == chosen.start:
                _start(folder, times, wait)
                tracing = True
            with jax.profiler.StepTraceAnnotation("train", step_num=step):
                yield step
            if tracing and step == chosen[-1]:
                tracing = False
                _stop(times, wait)
    finally:
        if tracing:  # the run ends early, perhaps with an error of the device
            _stop(times, wait=lambda: None)


def _start(folder: pathlib.Path, times: Times, wait: Callable[[], object]) -> None:
    wait()
    with times.phase("profile"):
        options = jax.profiler.ProfileOptions()
        options.python_tracer_level = 0  # calls of Python functions would hide the phases
        jax.profiler.start_trace(str(folder), profiler_options=options)


def _stop(times: Times, wait: Callable[[], object]) -> None:
    wait()
    with times.phase("profile"):
        jax.profiler.stop_trace()
