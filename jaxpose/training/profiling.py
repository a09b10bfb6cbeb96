"""Traces of a few training steps by JAX's profiler, for TensorBoard's profile tab and XProf."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator

import jax

from jaxpose.files import Location
from jaxpose.remote import RemotePath
from jaxpose.training.times import Times

FOLDER = "profile"


def traced(
    steps: range,
    chosen: range,
    folder: Location,
    times: Times,
    wait: Callable[[], object],
) -> Generator[int]:
    """Iterates over the steps of a run, and traces some of them.

    What the caller does with a step until it asks for the next one is that step in the trace, also
    its waiting for input. Starting and writing a trace is the phase `profile`.

    Args:
      steps: of the run.
      chosen: steps to trace; those that are not in `steps` are left out.
      folder: where the trace is written, as plugins/profile/TIME/HOST.xplane.pb, or with several
        processes PROCESS-HOST.xplane.pb.
      times: the phases of the process.
      wait: waits until the device has ended the steps so far, at the start and the end of a trace.
    """
    chosen = range(max(steps.start, chosen.start), min(steps.stop, chosen.stop))
    with contextlib.ExitStack() as trace:
        for step in steps:
            if chosen and step == chosen.start:
                trace.enter_context(_trace(folder, times, wait))
            with jax.profiler.StepTraceAnnotation("train", step_num=step):
                yield step
            if chosen and step == chosen[-1]:
                wait()
                trace.close()


@contextlib.contextmanager
def _trace(folder: Location, times: Times, wait: Callable[[], object]) -> Iterator[None]:
    """Traces what happens inside; if that fails, the trace so far is written."""
    wait()
    several = jax.process_count() > 1  # also GPUs of one machine, whose files have the same name
    with contextlib.ExitStack() as cleanup:
        if several or isinstance(folder, RemotePath):
            local = pathlib.Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
        else:
            local = folder
        with times.phase("profile"):
            options = jax.profiler.ProfileOptions()
            options.python_tracer_level = 0  # calls of Python functions would hide the phases
            jax.profiler.start_trace(str(local), profiler_options=options)
        try:
            yield
        finally:
            with times.phase("profile"):
                jax.profiler.stop_trace()
                if several:
                    _name_by_process(local)
                if isinstance(folder, RemotePath):
                    folder.upload(local)
                elif several:
                    shutil.copytree(local, folder, dirs_exist_ok=True)


def _name_by_process(folder: pathlib.Path) -> None:
    """Puts the number of this process in front of the names of all files of a trace."""
    for file in list(folder.glob("plugins/profile/*/*.*")):
        file.rename(file.with_name(f"{jax.process_index()}-{file.name}"))
