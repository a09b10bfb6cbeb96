"""The logs of a run: metrics.jsonl, timing.jsonl, TensorBoard events, the console.

metrics.jsonl contains only values that depend on the configuration and the data, so a run that was
killed and resumed writes the same bytes as an uninterrupted one. Values that depend on the clock or
the machine go to timing.jsonl.
"""

import contextlib
import sys
import time
from typing import Any

import jax

from jaxpose.files import Location
from jaxpose.remote import RemotePath
from jaxpose.training.log_files import Events, cut_back, open_lines

_PERIOD = 60.0  # seconds after which the logs are copied to a remote folder


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


class Clock:
    """Measures the speed of the training loop, and the fraction of time it waits for input."""

    def __init__(self, step: int, last: int, batch_size: int):
        self._last, self._batch_size = last, batch_size
        self._step, self._start, self._waited, self._paused = step, time.perf_counter(), 0.0, 0.0

    def waited(self, seconds: float) -> None:
        """Adds seconds during which the loop waited for a batch."""
        self._waited += seconds

    def paused(self, seconds: float) -> None:
        """Excludes seconds of evaluation or saving from the training speed."""
        self._paused += seconds

    def lap(self, step: int) -> dict[str, float]:
        """Returns the speed since the last lap.

        Returns:
          examples_per_second, step_seconds, input_wait (fraction of the time, 0..1), eta_seconds.
        """
        now = time.perf_counter()
        busy = max(now - self._start - self._paused, 1e-9)
        steps = step - self._step
        values = {
            "examples_per_second": round(steps * self._batch_size / busy, 2),
            "step_seconds": round(busy / max(steps, 1), 5),
            "input_wait": round(min(self._waited / busy, 1.0), 4),
            "eta_seconds": round((self._last - step) * busy / max(steps, 1), 1),
        }
        self._step, self._start, self._waited, self._paused = step, now, 0.0, 0.0
        return values


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
    """Returns the console line: step, loss, learning rate, speed and remaining time."""
    return (
        f"step {step}/{last}  epoch {values['epoch']:.2f}  loss {values['loss']:.4e}"
        f"  lr {values['lr']:.1e}  |g| {values['grad_norm']:.2e}"
        f"  {speed['examples_per_second']:.1f} examples/s"
        f"  input wait {100 * speed['input_wait']:.0f}%  ETA {duration(speed['eta_seconds'])}"
    )


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
