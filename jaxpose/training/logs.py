"""The logs of a run: metrics.jsonl, timing.jsonl, TensorBoard events, the console.

metrics.jsonl contains only values that depend on the configuration and the data, so a run that was
killed and resumed writes the same bytes as an uninterrupted one. Values that depend on the clock or
the machine go to timing.jsonl.
"""

import contextlib
import math
import shutil
import sys
import time
from collections.abc import Callable
from typing import Any

import jax

from jaxpose.files import Location
from jaxpose.remote import RemotePath
from jaxpose.training.log_files import Events, cut_back, open_lines
from jaxpose.wording import quantity

_PERIOD = 60.0  # seconds after which the logs are copied to a remote folder
_UPDATE = 0.2  # seconds between updates of the line of progress


class RunLog:
    """Appends to the logs of a run folder; a context manager that closes them.

    A remote run folder gets its logs before each checkpoint, once a minute, and at the end.

    Args:
      folder: the run folder.
      step: step from which the run starts or resumes; later lines of metrics.jsonl are removed.

    Raises:
      OSError: a file cannot be written; all methods raise it.
    """

    def __init__(self, folder: Location, step: int):
        cut_back(folder / "metrics.jsonl", step)
        cut_back(folder / "timing.jsonl", math.inf)
        self._remote = isinstance(folder, RemotePath)
        self._metrics = open_lines(folder / "metrics.jsonl")
        self._timing = open_lines(folder / "timing.jsonl")
        self._events = Events(folder / "tensorboard", step)
        self._synced = time.monotonic()

    def metrics(self, step: int, values: dict[str, Any]) -> None:
        """Writes one line of values that do not depend on the machine."""
        self._metrics.append({"step": step, **values})
        self._events.add(step, values)

    def timing(self, step: int, values: dict[str, Any]) -> None:
        """Writes one line of values that depend on the machine."""
        self._timing.append({"step": step, **values})
        self._events.add(step, values)
        if self._remote and time.monotonic() - self._synced > _PERIOD:
            self.sync()

    def sync(self) -> None:
        """Writes the metrics to the disk, or all logs to the store, before a checkpoint."""
        self._metrics.sync()
        if self._remote:
            self._timing.sync()
            self._events.sync()
            self._synced = time.monotonic()

    def close(self) -> None:
        """Writes the rest and closes the files."""
        with contextlib.ExitStack() as cleanup:
            cleanup.callback(self._metrics.close)
            cleanup.callback(self._timing.close)
            self._events.close()

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            self.close()
        except OSError:
            if error is None:  # otherwise, that error is the cause
                raise


def log_line(text: str) -> None:
    """Prints a line on the first host only."""
    if jax.process_index() == 0:
        print(text, file=sys.stderr, flush=True)


def log_line_of_host(text: str) -> None:
    """Prints a line on every host, with its number if there are several."""
    prefix = f"host {jax.process_index()}: " if jax.process_count() > 1 else ""
    print(f"{prefix}{text}", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Formats seconds: `75` -> `1:15`, `7300` -> `2:01:40`."""
    minutes, rest = divmod(int(round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def progress_line(step: int, last: int, values: dict[str, Any], speed: dict[str, float]) -> str:
    """Returns the console line: step, loss, learning rate, speed and remaining time.

    Args:
      step: the last step that has ended.
      last: the last step of the run.
      values: a line of metrics.jsonl.
      speed: a line of timing.jsonl; what it lacks is left out.
    """
    machine = ""
    if "mfu" in speed:
        machine += f"  MFU {100 * speed['mfu']:.1f}%"
    if "memory_peak_bytes" in speed:
        machine += f"  memory {speed['memory_peak_bytes'] / 2**30:.1f} GiB"
    if speed.get("bad_files"):
        machine += f"  {quantity(int(speed['bad_files']), 'unusable image')}"
    return (
        # The end is cut off in a narrow terminal.
        f"step {step}/{last}  ETA {duration(speed['eta_seconds'])}  epoch {values['epoch']:.2f}"
        f"  loss {values['loss']:.4e}"
        f"  lr {values['lr']:.1e}  |g| {values['grad_norm']:.2e}"
        f"  {speed['examples_per_second']:.1f} examples/s"
        f"  input wait {100 * speed['input_wait']:.0f}%{machine}"
    )


class Console:
    """Lines on stderr, of the first host only, and a line of progress.

    In a terminal, the line of progress is updated in place, and stays when another line follows it.
    Elsewhere, each is a line of its own.

    Args:
      now: a clock, in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic):
        self._now = now
        self._terminal = jax.process_index() == 0 and sys.stderr.isatty()
        self._open, self._shown = False, -_UPDATE

    def due(self) -> bool:
        """Whether it is time to update the line of progress, in a terminal."""
        return self._terminal and self._now() - self._shown >= _UPDATE

    def progress(self, text: str) -> None:
        """Shows the line of progress."""
        if not self._terminal:
            log_line(text)
            return
        width = shutil.get_terminal_size().columns - 1
        print(f"\r{text[:width].ljust(width)}", end="", file=sys.stderr, flush=True)
        self._open, self._shown = True, self._now()

    def line(self, text: str) -> None:
        """Prints a line."""
        self.end()
        log_line(text)

    def line_of_host(self, text: str) -> None:
        """Prints a line of this host; see `log_line_of_host`."""
        self.end()
        log_line_of_host(text)

    def end(self) -> None:
        """Ends the line of progress."""
        if self._open:
            print(file=sys.stderr, flush=True)
            self._open = False


class CompileCounter:
    """Counts the programs that XLA compiled or loaded from its disk cache in this process."""

    def __init__(self):
        self.programs, self.seconds, self.from_cache = 0, 0.0, 0
        jax.monitoring.register_event_duration_secs_listener(self._duration)
        jax.monitoring.register_event_listener(self._event)

    def _duration(self, event: str, duration_secs: float, **_: Any) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            self.programs += 1
            self.seconds += duration_secs

    def _event(self, event: str, **_: Any) -> None:
        if event == "/jax/compilation_cache/cache_hits":
            self.from_cache += 1


class NoLog(contextlib.nullcontext):
    """The log of all hosts except the first; writes nothing."""

    def metrics(self, step: int, values: dict[str, Any]) -> None:
        del step, values

    timing = metrics

    def sync(self) -> None: ...

    def __enter__(self) -> "NoLog":
        return self
