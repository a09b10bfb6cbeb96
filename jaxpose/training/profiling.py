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
from jaxpose.runs.arrays import first_line
from jaxpose.training.times import Times

FOLDER = "profile"


def traced(
    steps: range,
    chosen: range,
    folder: Location,
    times: Times,
    wait: Callable[[], object],
    log: Callable[[str], object],
) -> Generator[int]:
    """Iterates over the steps of a run, and traces some of them.

    What the caller does with a step until it asks for the next one is that step in the trace, also
    its waiting for input. Starting and writing a trace is the phase `profile`. A trace that cannot
    be started or written is a line in the log; the steps go on.

    Args:
      steps: of the run.
      chosen: steps to trace; those that are not in `steps` are left out.
      folder: where the trace is written, as plugins/profile/TIME/HOST.xplane.pb, or with several
        processes PROCESS-HOST.xplane.pb.
      times: the phases of the process.
      wait: waits until the device has ended the steps so far, at the start and the end of a trace.
      log: called with the line about a trace that cannot be written.
    """
    chosen = range(max(steps.start, chosen.start), min(steps.stop, chosen.stop))
    with contextlib.ExitStack() as trace:
        for step in steps:
            if chosen and step == chosen.start:
                trace.enter_context(_trace(folder, times, wait, log))
            with jax.profiler.StepTraceAnnotation("train", step_num=step):
                yield step
            if chosen and step == chosen[-1]:
                wait()
                trace.close()


@contextlib.contextmanager
def _trace(
    folder: Location,
    times: Times,
    wait: Callable[[], object],
    log: Callable[[str], object],
) -> Iterator[None]:
    """Traces what happens inside; if that fails, the trace so far is written."""
    wait()
    several = jax.process_count() > 1  # also GPUs of one machine, whose files have the same name
    started = False
    with contextlib.ExitStack() as cleanup:
        with times.phase("profile"), _reported(folder, log):
            if several or isinstance(folder, RemotePath):
                local = pathlib.Path(cleanup.enter_context(_temporary()))
            else:
                local = folder
            options = jax.profiler.ProfileOptions()
            options.python_tracer_level = 0  # calls of Python functions would hide the phases
            jax.profiler.start_trace(str(local), profiler_options=options)
            started = True
        try:
            yield
        finally:
            if started:
                with times.phase("profile"), _reported(folder, log):
                    jax.profiler.stop_trace()
                    if several:
                        _name_by_process(local)
                    if isinstance(folder, RemotePath):
                        folder.upload(local)
                    elif several:
                        shutil.copytree(local, folder, dirs_exist_ok=True)


@contextlib.contextmanager
def _reported(folder: Location, log: Callable[[str], object]) -> Iterator[None]:
    """Makes a line of an error of the profiler or the storage: a trace is not worth a training."""
    try:
        yield
    except (RuntimeError, OSError) as error:  # JAX's own errors are RuntimeErrors
        log(f"no trace in {folder} ({first_line(error)}); the training goes on")


def _temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="jaxpose-", ignore_cleanup_errors=True)


def _name_by_process(folder: pathlib.Path) -> None:
    """Puts the number of this process in front of the names of all files of a trace."""
    for file in list(folder.glob("plugins/profile/*/*.*")):
        file.rename(file.with_name(f"{jax.process_index()}-{file.name}"))
