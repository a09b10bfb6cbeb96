"""Timing of several contestants in turns, and their ratios to a baseline.

All are loaded into one process and called one after the other, so that a busy machine slows all of
them equally.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxpose.benchmark import report

_PARTS = 5  # of a measurement, whose ratios give the median


@dataclass
class Contestant:
    """Something to time.

    Attributes:
      facts: cells of its row.
      start: loads it and returns the call to time.
      file: the exported file; None for a network in JAX or eager torch.
    """

    facts: dict
    start: Callable[[], Callable[[], object]]
    file: Path | None = None


def _load(contestants: Sequence[Contestant]) -> tuple[list[dict], list[Callable[[], object]]]:
    """Loads all contestants and makes the first call of each.

    Returns:
      The facts of each with `init_ms` and `first_ms`, and the calls to time.
    """
    rows, calls = [], []
    for contestant in contestants:
        report.progress(f"loading {contestant.facts['model']}, {contestant.facts['runtime']}")
        begin = time.perf_counter()
        call = contestant.start()
        init = (time.perf_counter() - begin) * 1e3
        rows.append(contestant.facts | {"init_ms": init, "first_ms": report.milliseconds(call)})
        calls.append(call)
    return rows, calls


def measure(
    contestants: Sequence[Contestant],
    *,
    warmup: int,
    runs: int,
    seconds: float,
    baselines: Sequence[int | None] | None = None,
) -> list[dict]:
    """Times all contestants in turns.

    Args:
      contestants: what to time.
      warmup: untimed calls of each first.
      runs: minimum number of timed calls of each.
      seconds: minimum sum of the timings of each.
      baselines: for each contestant, the index of the one that its time is divided by, or None;
        without it there are no ratios.

    Returns:
      One row of facts and statistics per contestant.
    """
    rows, calls = _load(contestants)
    report.progress("timing all in turn")
    times = report.in_turns(calls, warmup=warmup, runs=runs, seconds=seconds)
    for i, (row, timed) in enumerate(zip(rows, times, strict=True)):
        row |= {"warmup": warmup, "runs": len(timed)} | report.statistics(timed)
        if baselines is not None:
            base = baselines[i]
            row["ratio"] = None if base is None else ratio(timed, times[base])
    return rows


def ratio(times: Sequence[float], baseline: Sequence[float]) -> float:
    """How many times as long as a baseline: the median of the ratios of medians in turns.

    The rounds in which both were timed are cut into up to five consecutive parts of equal length.
    Each part gives the ratio of the two medians, so that a slow minute of the machine is in both.
    """
    rounds = min(len(times), len(baseline))
    parts = zip(
        np.array_split(times[:rounds], min(_PARTS, rounds)),
        np.array_split(baseline[:rounds], min(_PARTS, rounds)),
        strict=True,
    )
    return float(np.median([np.median(own) / np.median(other) for own, other in parts]))
