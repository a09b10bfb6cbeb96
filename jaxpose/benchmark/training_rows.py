"""Training steps of one network, timed in turn: one row each."""

from __future__ import annotations

import functools
import gc
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax

from jaxpose import ops
from jaxpose.benchmark import report, turns
from jaxpose.benchmark.torch_training import torch_device, torch_step
from jaxpose.benchmark.training_step import Contestant, jax_step
from jaxpose.benchmark.workload import Workload
from jaxpose.plan.utilization import peak_bandwidth, peak_flops

RIVALS = ("lax", "torch", "torch-compile")
_MEMORY = ("RESOURCE_EXHAUSTED", "out of memory", "can't allocate memory")


class _DroppedError(Exception):
    """A step ran out of memory while it was timed."""


def steps_per_call() -> int:
    """Steps that are started before the device is waited for.

    Training does not wait for each step. On a CPU nothing is gained by more than one.
    """
    return 1 if jax.default_backend() == "cpu" else 10


def measure(
    workload: Workload,
    *,
    vs: Sequence[str] = (),
    runs: int = 10,
    seconds: float = 5.0,
    cached: bool = True,
) -> list[dict]:
    """One row for the training step and one per rival in `vs`.

    A rival that cannot run, and a step that runs out of memory, have a row with a `note` that says
    why. `ratio` is relative to the first row.

    Args:
      workload: what to train.
      vs: names in `RIVALS`.
      runs: minimum number of timed steps of each.
      seconds: minimum sum of the timings of each.
      cached: whether to measure the first step with a filled compilation cache too.
    """
    started = [
        _start(workload, name, cached)
        for name in ("jax", *(rival for rival in RIVALS if rival in vs))
    ]
    report.progress("timing all steps in turn")
    times = _time(started, runs, seconds)
    first = times.get(id(started[0]))
    rows = []
    for contestant in started:
        own = times.get(id(contestant))
        row = contestant.facts | {"network": workload.name, "runs": 0}
        if own:
            row |= report.statistics(own) | {"runs": len(own) * contestant.steps}
            row["examples_per_s"] = len(workload.batch["image"]) / row["median_ms"] * 1e3
            row["ratio"] = turns.ratio(own, first) if first else None
            row |= _shares(row, started[0].facts.get("flops"))
        rows.append(row)
    started.clear()
    _free()
    return rows


def _start(workload: Workload, name: str, cached: bool) -> Contestant:
    """Runs the first step; if that is not possible, a note says why."""
    report.progress(f"first step of {workload.name}: {name}")
    steps = steps_per_call()
    make: Callable[[], Contestant]
    if name in ("jax", "lax"):
        form = "lax" if name == "lax" else ops.get_implementation()
        twice = cached and name == "jax"
        make = functools.partial(jax_step, workload, form, cached=twice, steps=steps)
    else:
        make = functools.partial(_torch, workload, name == "torch-compile", steps)
    try:
        contestant = make()
    except Exception as error:
        note = _reason(error)
        if note is None or (name == "jax" and not _is_memory(error)):
            raise
        contestant = Contestant({"step": name, "note": note}, _absent)
    _free()  # also what the error held
    return contestant


def _absent() -> float:
    """The call of a contestant that cannot run."""
    raise AssertionError("it was left out")


def _torch(workload: Workload, compiled: bool, steps: int) -> Contestant:
    device = torch_device(jax.default_backend())
    return torch_step(workload, device=device, compiled=compiled, steps=steps)


def _time(contestants: Sequence[Contestant], runs: int, seconds: float) -> dict[int, list[float]]:
    """ms per step of each, by its `id`; one that runs out of memory gets a note, and no times."""

    def guarded(contestant: Contestant) -> Callable[[], Any]:
        def call() -> None:
            try:
                contestant.call()
            except Exception as error:
                if not _is_memory(error):
                    raise
                contestant.facts["note"], contestant.call = _reason(error), _absent
            if not contestant.runs:
                _free()
                raise _DroppedError

        return call

    while left := [each for each in contestants if each.runs]:
        calls = max(math.ceil(runs / each.steps) for each in left)
        try:
            times = report.in_turns(
                [guarded(each) for each in left], warmup=1, runs=calls, seconds=seconds
            )
        except _DroppedError:
            continue
        return {
            id(each): [t / each.steps for t in own] for each, own in zip(left, times, strict=True)
        }
    return {}


def _shares(row: dict[str, Any], flops: float | None) -> dict[str, float | None]:
    """MFU and the share of the bandwidth bound, in %.

    Args:
      row: of a step, with `median_ms` and, if known, the `bytes` that it moves.
      flops: of the network's step, or None if they are not known.
    """
    kind, seconds = jax.devices()[0].device_kind, row["median_ms"] / 1e3
    peak, bandwidth, moved = peak_flops(kind), peak_bandwidth(kind), row.get("bytes")
    return {
        "mfu_%": 100 * flops / seconds / peak if flops and peak else None,
        "bandwidth_%": 100 * moved / bandwidth / seconds if moved and bandwidth else None,
    }


def _reason(error: Exception) -> str | None:
    """Why a step cannot run, in one line; None for a fault of the program."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    line = " ".join(lines[: 2 if lines[0].endswith(":") else 1])
    if _is_memory(error):
        return f"out of memory: {line}"
    if isinstance(error, (ImportError, ValueError)):
        return line
    if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        return f"torch.compile fails: {line}"
    return None


def _is_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or any(text in str(error) for text in _MEMORY)


def _free() -> None:
    """Gives memory that nothing refers to back to the device."""
    gc.collect()
    if torch := sys.modules.get("torch"):
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
