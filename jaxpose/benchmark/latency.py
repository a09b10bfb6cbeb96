"""`jaxpose benchmark latency`: one forward pass on this machine's CPU, or on an Android phone.

An exported file is measured with its own runtime: ONNX Runtime, PyTorch, LiteRT or ncnn. A run
folder or model is measured with JAX (compiled), with ONNX Runtime on the exported file, and as the
exported torch module (eager, channels_last). The decoding of a bottom-up network for several
people is measured by `jaxpose benchmark grouping`.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from jaxpose.benchmark import adb, prepost, report
from jaxpose.benchmark.contestants import Entry, entry_of
from jaxpose.benchmark.turns import Contestant, measure
from jaxpose.files import check_outputs, location, path_argument
from jaxpose.models.sizes import parse_size
from jaxpose.runtimes.peak_memory import RUNS as MEMORY_RUNS
from jaxpose.runtimes.peak_memory import own_memory_mb, peak_mb

COLUMNS = (
    "model runtime precision threads input init_ms first_ms runs min_ms median_ms p90_ms p99_ms "
    "ratio images_s pre_ms post_ms file_kb memory_mb"
).split()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `jaxpose benchmark latency`."""
    parser.add_argument(
        "what",
        nargs="*",
        metavar="FILE|RUN|MODEL",
        type=os.path.expanduser,
        help="exported file, run folder or model name",
    )
    parser.add_argument(
        "--threads",
        default="1,4",
        help="threads of the runtimes other than JAX, at most the number of cores (default: 1,4)",
    )
    parser.add_argument(
        "--vs",
        metavar="FILE",
        type=os.path.expanduser,
        help="baseline of the column `ratio`: a file, run folder or model, of which the exported "
        "file counts (default: the first argument)",
    )
    parser.add_argument(
        "--size", metavar="HxW", help="input size of run folders and models (default: their own)"
    )
    parser.add_argument(
        "--task", metavar="NAME", help="task of a network that does not declare one, e.g. topdown"
    )
    parser.add_argument("--batch", type=int, default=1, help="images per call (default: 1)")
    parser.add_argument(
        "--include-prepost",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="time cropping with normalization, and decoding, as the columns `pre` and `post`",
    )
    parser.add_argument(
        "--memory",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="measure the memory of each file in a process of its own",
    )
    report.add_timing_arguments(parser, runs=50, seconds=1.0, warmup=10)
    phone = parser.add_argument_group("on an Android phone")
    phone.add_argument(
        "--emit-adb",
        metavar="DIR",
        type=path_argument,
        help="write a folder with the files (.tflite, .param) and a script that times them on a "
        "phone, and measure nothing here",
    )
    phone.add_argument(
        "--read-adb",
        metavar="DIR",
        type=path_argument,
        help="read what that script wrote, and print the table",
    )


def run(args: argparse.Namespace) -> int:
    """Measures everything in turn and prints one row each, and the conditions."""
    if args.emit_adb or args.read_adb:
        return _phone(args)
    if not args.what:
        raise ValueError("nothing to time: give files, run folders or models")
    named = list(args.what) if args.vs in (None, *args.what) else [args.vs, *args.what]
    if args.json:
        check_outputs([args.json], map(location, named))
    size = parse_size(args.size) if args.size else None
    threads = _threads(args)
    load = report.load()
    with tempfile.TemporaryDirectory() as folder:
        entries: list[Entry] = []
        for i, what in enumerate(named):
            subfolder = Path(folder) / str(i)
            subfolder.mkdir()
            entries.append(entry_of(what, threads, size, args.batch, subfolder, args.task))
        timing = {"warmup": args.warmup, "runs": args.runs, "seconds": args.seconds}
        timed = [contestant for entry in entries for contestant in entry.contestants]
        base = entries[named.index(args.vs or named[0])]
        rows = measure(timed, **timing, baselines=_baselines(timed, base))
        if args.memory:
            _add_memory(rows, timed)
    around = _around(entries, **timing) if args.include_prepost else [{}] * len(rows)
    for row, steps in zip(rows, around, strict=True):
        row |= steps | {"images_s": 1e3 * row["batch"] / row["median_ms"]}
    terms = describe_terms(args.vs or named[0]) | {"load average before": load}
    for key in ("pre", "post"):
        steps = dict.fromkeys(row[key] for row in rows if key in row)
        terms |= {key: "; ".join(steps)} if steps else {}
    report.publish(rows, COLUMNS, terms, args.json)
    return 0


def describe_terms(baseline: str) -> dict[str, str | float]:
    """The conditions of the measurement; call this after measuring."""
    return {
        "host": report.host_cpu(),
        "times": "wall-clock ms per call, all candidates in turn in one process",
        "init": "loading the file or, for JAX, tracing and compilation; `first` is the first call",
        "ratio": f"to {baseline} with as many threads: median over parts of the measurement of the "
        "ratio of medians",
        "images_s": "images per second of the network alone, from the median",
        "pre, post": "median ms of cropping with normalization and of decoding, for one image; not "
        "in the other columns, and without the second pass of a flip test",
        "memory": f"peak in MB that loading the file and {MEMORY_RUNS} calls add to a fresh "
        "process that has imported the runtime",
        "JAX threads": "XLA uses all cores of the process; restrict them with taskset",
        "runtimes": "stock builds without tuning; all on the CPU, torch models eager",
        "peak RSS MB": round(peak_mb(), 1),
        "peak RSS": "of the one process that holds all candidates",
        "device": "this machine; latency on a phone differs",
    }


def _threads(args: argparse.Namespace) -> list[int]:
    try:
        threads = sorted({min(int(t), report.cores()) for t in args.threads.split(",")})
    except ValueError:
        raise ValueError(f"--threads {args.threads!r} must be numbers such as 1,4") from None
    if min(threads) < 1 or args.batch < 1 or args.runs < 1:
        raise ValueError("--threads, --batch and --runs must be at least 1")
    return threads


def _baselines(timed: Sequence[Contestant], base: Entry) -> list[int | None]:
    """For each contestant the index of the baseline's file with as many threads."""
    own = {id(contestant) for contestant in base.contestants if contestant.file}
    files = {c.facts["threads"]: i for i, c in enumerate(timed) if id(c) in own}
    return [files.get(contestant.facts["threads"]) for contestant in timed]


def _add_memory(rows: Sequence[dict], timed: Sequence[Contestant]) -> None:
    for row, contestant in zip(rows, timed, strict=True):
        if contestant.file:
            report.progress(f"measuring the memory of {row['model']}, {row['runtime']}")
            threads, batch = row["threads"], row["batch"]
            row["memory_mb"] = own_memory_mb(contestant.file, threads, batch)


def _around(entries: Sequence[Entry], **timing) -> list[dict]:
    """Times around the network, for each contestant of the entries; equal ones are timed once."""
    known: dict[tuple, dict] = {}
    found = []
    for entry in entries:
        key = (entry.task.NAME, repr(entry.decoder), entry.size)
        if key not in known:
            report.progress(f"timing what surrounds {entry.contestants[0].facts['model']}")
            known[key] = prepost.measure(entry.task, entry.decoder, entry.size, **timing)
        found += [known[key]] * len(entry.contestants)
    return found


def _phone(args: argparse.Namespace) -> int:
    """Writes the folder for a phone, or reads it back."""
    if args.emit_adb and args.read_adb:
        raise ValueError("--emit-adb and --read-adb cannot be combined: run the script in between")
    if args.emit_adb:
        adb.emit(args.emit_adb, [Path(what) for what in args.what], runs=args.runs)
        print(f"{args.emit_adb}: connect a phone and run {args.emit_adb / adb.SCRIPT}")
        return 0
    if args.what:
        raise ValueError("--read-adb takes no files: their times are in the folder")
    rows, terms = adb.read(args.read_adb)
    report.publish(rows, adb.COLUMNS, terms, args.json)
    return 0
