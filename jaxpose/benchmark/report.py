"""Shared by all benchmarks: timing in turn, statistics, description of the host, tables."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from jaxpose import tables
from jaxpose.files import path_argument
from jaxpose.runtimes.threads import cores
from jaxpose.wording import quantity


def host_cpu() -> str:
    """Name of the processor, and the number of cores that this process may use."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    return f"{name}, {quantity(cores(), 'core')}"


def load() -> str:
    """Load average of the last minute, with a warning if other processes use the cores."""
    if not hasattr(os, "getloadavg"):
        return "unknown"
    average = os.getloadavg()[0]
    busy = average > cores() / 2
    warning = "; the machine is busy, which slows down multi-threaded runtimes most"
    return f"{average:.1f} on {quantity(cores(), 'core')}{warning if busy else ''}"


def progress(text: str) -> None:
    """Prints progress to stderr; compiling a step can take a minute."""
    print(f"... {text}", file=sys.stderr, flush=True)


def milliseconds(call: Callable[[], object]) -> float:
    """Wall-clock time of one call, in ms."""
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3


def add_timing_arguments(
    parser: argparse.ArgumentParser, *, runs: int, seconds: float, warmup: int | None = None
) -> None:
    """Arguments of everything that is timed by `in_turns`, with their defaults."""
    if warmup is not None:
        text = f"untimed calls first (default: {warmup})"
        parser.add_argument("--warmup", type=int, default=warmup, help=text)
    text = f"minimum number of timed calls (default: {runs})"
    parser.add_argument("--runs", type=int, default=runs, help=text)
    text = f"minimum total time per row, in seconds (default: {seconds:g})"
    parser.add_argument("--seconds", type=float, default=seconds, help=text)
    parser.add_argument(
        "--json", metavar="FILE", type=path_argument, help="also write the results to this file"
    )


def in_turns(
    calls: Sequence[Callable[[], object]], *, warmup: int, runs: int, seconds: float
) -> list[list[float]]:
    """Times all calls in rounds, one after the other.

    Args:
      calls: functions to time.
      warmup: number of untimed calls of each function first.
      runs: minimum number of timed calls of each function.
      seconds: minimum sum of the timings of each function.

    Returns:
      Timings of each function, in ms.
    """
    for call in calls:
        for _ in range(warmup):
            call()
    times: list[list[float]] = [[] for _ in calls]
    unfinished = list(zip(calls, times, strict=True))
    while unfinished:
        for call, t in unfinished:
            t.append(milliseconds(call))
        unfinished = [(c, t) for c, t in unfinished if len(t) < runs or sum(t) < seconds * 1e3]
    return times


def statistics(times: Sequence[float]) -> dict[str, float]:
    """min, mean, median, p90, p99 and std in ms, by the names in tables and JSON."""
    t = np.asarray(times)
    return {
        "min_ms": float(t.min()),
        "mean_ms": float(t.mean()),
        "median_ms": float(np.median(t)),
        "p90_ms": float(np.percentile(t, 90)),
        "p99_ms": float(np.percentile(t, 99)),
        "std_ms": float(t.std()),
    }


def publish(
    rows: Sequence[dict], columns: Sequence[str], terms: dict, file: Path | None, *, notes: str = ""
) -> None:
    """Prints a table, notes and the conditions; writes rows and conditions to `file` as JSON."""
    print(tables.text(cells(rows, columns)))
    if notes:
        print(notes)
    print("\n".join(f"{key}: {value}" for key, value in terms.items()))
    if file:
        save(rows, terms, file)


def save(rows: Sequence[dict], terms: dict, file: Path) -> None:
    """Writes rows and conditions to `file` as JSON."""
    file.write_text(json.dumps({"terms": terms, "rows": rows}, indent=2) + "\n")


def cells(rows: Sequence[dict], columns: Sequence[str]) -> list[list[str]]:
    """A header and rows of text from dicts; missing values are "-"."""

    def text(value) -> str:
        if value is None:
            return "-"
        if not isinstance(value, float):
            return str(value)
        return f"{value:.5f}" if 0 < abs(value) < 0.05 else f"{value:.2f}"

    names = [column.removesuffix("_ms") for column in columns]
    return [names, *([text(row.get(column)) for column in columns] for row in rows)]
