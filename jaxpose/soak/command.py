"""`python -m jaxpose.soak`: the trials, one after the other or several at once."""

from __future__ import annotations

import argparse
import concurrent.futures
import pathlib
import random
import shutil
import sys
import time
from collections.abc import Iterator

from jaxpose.choices import choose_from
from jaxpose.files import path_argument
from jaxpose.soak import report
from jaxpose.soak.faults import FAULTS
from jaxpose.soak.trial import Bad, Reference, Trial, make_reference


def main(argv: list[str] | None = None) -> int:
    """Runs the trials; returns 1 if one of them is bad, 2 if the arguments are invalid.

    Args:
      argv: arguments; None for those of the process.
    """
    parser = argparse.ArgumentParser(
        prog="python -m jaxpose.soak",
        description="Break trainings on purpose, resume them and compare the results by byte.",
    )
    parser.add_argument(
        "--faults", type=int, default=len(FAULTS), metavar="N",
        help="number of trials (default: each fault once)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of the faults and their moments")
    parser.add_argument(
        "--only", default="", metavar="FAULT,...", help=f"faults to try: {', '.join(FAULTS)}"
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="trials at the same time")
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="start no trial after this time"
    )
    parser.add_argument(
        "--limit", type=float, default=600.0, metavar="SECONDS",
        help="time after which one process counts as hanging (default: 600)",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", type=path_argument, default=pathlib.Path("runs/soak"), metavar="DIR",
        help="new or empty folder (default: runs/soak)",
    )  # fmt: skip
    args = parser.parse_args(argv)
    try:
        return _soak(args)
    except (ValueError, OSError, Bad) as error:
        print(f"soak: {error}", file=sys.stderr)
        return 2


def _soak(args: argparse.Namespace) -> int:
    names = [name.strip() for name in args.only.split(",") if name.strip()]
    unknown = next((name for name in names if name not in FAULTS), None)
    if unknown:
        raise ValueError(f"--only: no fault {unknown!r}; {choose_from(unknown, FAULTS)}")
    if args.faults < 1:
        raise ValueError(f"--faults={args.faults} must be at least 1")
    if args.jobs < 1:
        raise ValueError(f"--jobs={args.jobs} must be at least 1")
    folder: pathlib.Path = args.output.resolve()
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{args.output} is not empty: choose another folder with -o")
    start = time.monotonic()
    print("the uninterrupted run", flush=True)
    reference = make_reference(folder / "reference", args.limit)
    print(f"  {time.monotonic() - start:.1f} s", flush=True)
    results: list[report.Result] = []
    try:
        for result in _results(args, names or list(FAULTS), reference, folder / "trials"):
            results.append(result)
            print(result.line(), flush=True)
            report.write(folder / "report.json", results, seed=args.seed, reference=reference.times)
    finally:  # also if it is interrupted
        print(report.summary(results), flush=True)
    return int(any(result.bad for result in results))


def _results(
    args: argparse.Namespace, names: list[str], reference: Reference, folder: pathlib.Path
) -> Iterator[report.Result]:
    """Tries the faults, `args.jobs` at a time; yields results as they come."""
    last = time.monotonic() + 60 * args.minutes
    running: list[Trial] = []

    def attempt(number: int, fault: str) -> report.Result | None:
        if time.monotonic() > last:
            return None
        rng = random.Random(f"{args.seed} {number} {fault}")  # independent of the trials before
        trial = Trial(folder / f"{number:04d}-{fault}", reference, rng, args.limit)
        running.append(trial)
        return _try(number, fault, trial)

    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        faults = order(names, args.faults, args.seed)
        futures = [pool.submit(attempt, *pair) for pair in enumerate(faults, 1)]
        try:
            for future in concurrent.futures.as_completed(futures):
                if result := future.result():
                    yield result
        finally:  # also if it is interrupted
            pool.shutdown(wait=False, cancel_futures=True)
            for trial in running:
                trial.end()


def order(names: list[str], count: int, seed: int) -> list[str]:
    """Which faults are tried: all of them in random order, then again, `count` in total."""
    rng = random.Random(seed)
    chosen: list[str] = []
    while len(chosen) < count:
        chosen += rng.sample(names, len(names))
    return chosen[:count]


def _try(number: int, fault: str, trial: Trial) -> report.Result:
    start = time.monotonic()
    reason = ""
    try:
        outcome = FAULTS[fault](trial)
    except Bad as error:
        outcome, reason = error.outcome, error.reason
    except (OSError, ValueError, LookupError) as error:  # e.g. a file that should exist does not
        outcome, reason = "lost", f"{type(error).__name__}: {error}"
    finally:
        trial.end()
    if not reason:
        shutil.rmtree(trial.folder)
    return report.Result(
        number, fault, outcome, trial.happened, round(time.monotonic() - start, 1), trial.note,
        reason, str(trial.folder) if reason else "",
    )  # fmt: skip
