"""Where the time of a training process goes, and how fast it trains."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator

import jax

from jaxpose import tables


class Times:
    """Divides the wall time of a process into phases; one phase runs at any time.

    Phases that run for a while inside another, such as `evaluate` inside `steps`, are named in the
    traces of JAX's profiler.

    Args:
      phase: the first phase.
      start: when it began, by `now`; None for this moment.
      now: a clock, in seconds.
    """

    def __init__(
        self,
        phase: str,
        start: float | None = None,
        now: Callable[[], float] = time.perf_counter,
    ):
        self._now = now
        self._start = self._since = now() if start is None else start
        self._phase = phase
        self._seconds: dict[str, float] = {}

    def begin(self, phase: str, at: float | None = None) -> None:
        """Ends the current phase and begins another, now or at an earlier moment."""
        now = self._now() if at is None else at
        self._seconds[self._phase] = self._seconds.get(self._phase, 0.0) + now - self._since
        self._phase, self._since = phase, now

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Interrupts the current phase by another."""
        interrupted = self._phase
        self.begin(name)
        try:
            with jax.profiler.TraceAnnotation(name):
                yield
        finally:
            self.begin(interrupted)

    def seconds(self) -> dict[str, float]:
        """Seconds of each phase until now, in the order in which they began."""
        self.begin(self._phase)
        return dict(self._seconds)

    def wall(self) -> float:
        """Seconds from the start until the last change of phase, or call of `seconds`."""
        return self._since - self._start


@dataclasses.dataclass(frozen=True)
class Work:
    """What a step has to do.

    Attributes:
      examples: in a batch, over all devices.
      devices: over all hosts.
      flops: operations of one device, or None if they are not known.
      peak: operations per second of a device, or None if they are not known.
    """

    examples: int
    devices: int = 1
    flops: float | None = None
    peak: float | None = None


class Clock:
    """The speed of the steps, from the phases `steps` and `input` alone.

    Args:
      times: the phases of the process.
      step: the last step before the clock starts.
      last: the last step of the run.
      work: of a step.
    """

    def __init__(self, times: Times, step: int, last: int, work: Work):
        self._times, self._last, self._work = times, last, work
        self._step, self._before = step, times.seconds()

    def speed(self, step: int) -> dict[str, float]:
        """Returns the speed since the last lap, up to a step that has ended.

        Returns:
          examples_per_second, examples_per_second_per_device, step_seconds, input_wait (fraction of
          the time, 0..1), mfu (model FLOPs utilization, 0..1; only if FLOPs and peak are known),
          eta_seconds (without evaluation and saving).
        """
        seconds = self._times.seconds()
        training, waited = (
            seconds.get(phase, 0.0) - self._before.get(phase, 0.0) for phase in ("steps", "input")
        )
        busy = max(training + waited, 1e-9)
        steps = step - self._step
        work, rate = self._work, steps * self._work.examples / busy
        values = {
            "examples_per_second": round(rate, 2),
            "examples_per_second_per_device": round(rate / work.devices, 2),
            "step_seconds": round(busy / max(steps, 1), 5),
            "input_wait": round(waited / busy, 4),
        }
        if work.flops and work.peak:
            values["mfu"] = round(work.flops * steps / busy / work.peak, 5)
        values["eta_seconds"] = round((self._last - step) * busy / max(steps, 1), 1)
        return values

    def lap(self, step: int) -> dict[str, float]:
        """Returns the speed since the last lap, and begins the next one."""
        values = self.speed(step)
        self._step, self._before = step, self._times.seconds()
        return values


def device_memory() -> dict[str, int]:
    """Bytes in use and their peak, of the device of this host with most; {} on CPU.

    The allocator of the host knows them: no device is waited for.
    """
    found = [stats for device in jax.local_devices() if (stats := device.memory_stats())]
    return {
        name: max(stats[key] for stats in found)
        for name, key in (
            ("memory_bytes", "bytes_in_use"),
            ("memory_peak_bytes", "peak_bytes_in_use"),
        )
        if found and all(key in stats for stats in found)
    }


def goodput(times: Times) -> dict[str, float]:
    """Where the time went until now: `goodput`, `wall_seconds` and `seconds/PHASE`.

    Goodput is the fraction of the wall time in the phase `steps`.
    """
    seconds = times.seconds()
    wall = times.wall()
    return {
        "goodput": round(seconds.get("steps", 0.0) / max(wall, 1e-9), 4),
        "wall_seconds": round(wall, 3),
        **{f"seconds/{phase}": round(value, 3) for phase, value in seconds.items()},
    }


def goodput_lines(values: dict[str, float]) -> list[str]:
    """The values of `goodput` as a table, longest phase first."""
    wall = values["wall_seconds"]
    phases = {name.removeprefix("seconds/"): s for name, s in values.items() if "/" in name}
    ordered = sorted(phases.items(), key=lambda item: -item[1])
    rows = [
        [name, f"{seconds:.1f}", f"{100 * seconds / max(wall, 1e-9):.1f}"]
        for name, seconds in [*ordered, ("wall time", wall)]
    ]
    return [
        *tables.text([["time of this process", "seconds", "%"], *rows]).splitlines(),
        f"goodput {100 * values['goodput']:.1f}%: the share of the wall time in steps",
    ]
