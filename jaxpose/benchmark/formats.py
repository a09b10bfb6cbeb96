"""`jaxpose benchmark formats`: networks x formats x precisions in one table.

For each file: how far its outputs and keypoints are from the model's, its size, its latency against
ONNX Runtime with float32 in the same run, its operators and transposes, and, for LiteRT, the
operators that the GPU delegate refuses. Files beyond the tolerances of `jaxpose export` are
measured as well, and marked.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxpose import images, models
from jaxpose.benchmark import contestants, operators, report, turns
from jaxpose.benchmark.calibration import calibrated
from jaxpose.choices import check_choice
from jaxpose.export import crops
from jaxpose.export.source import Source, from_run, untrained
from jaxpose.export.targets import CALIBRATED, TARGETS, Options
from jaxpose.export.verify import Expected
from jaxpose.files import check_outputs, is_folder, location
from jaxpose.models.sizes import parse_size
from jaxpose.runtimes import RUNTIMES, FileError, require, size_of
from jaxpose.runtimes.peak_memory import peak_mb
from jaxpose.tasks.agreement import MOVED

NETWORKS = (
    "hwl_mobilenetv3 wlitepose_s lite_csw_hrnet_18 lightweight_hrnet_rm2 el_hrnet_w32 litepose_s "
    "lite_hrnet_18 hrnet_w32"
).split()
COLUMNS = (
    "model weights input format precision error_% median_px p99_px moved_% keypoints within "
    "file_kb median_ms ratio operators transposes gpu_refused"
).split()
THREADS = 1
CALIBRATION_IMAGES = 32
_BASELINE = ("onnx", "fp32")
_NOT_RUN, _REFUSED = "not run", "refused"  # in the column `within`
_TIMES = ("runtime", "runs", "min_ms", "median_ms", "p90_ms", "ratio", "init_ms", "first_ms")


@dataclass(frozen=True)
class _File:
    """A written file, its export target and precision, and its row, which is filled bit by bit."""

    kind: tuple[str, str]
    path: Path
    row: dict


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `jaxpose benchmark formats`."""
    parser.add_argument(
        "what",
        nargs="*",
        default=NETWORKS,
        metavar="MODEL|RUN",
        type=os.path.expanduser,
        help=f"model names, which get random weights, and run folders (default: {len(NETWORKS)} "
        "networks of the papers)",
    )
    parser.add_argument(
        "--to",
        metavar="TARGET[,TARGET]",
        help=f"formats: {', '.join(TARGETS)} (default: those whose packages are installed)",
    )
    parser.add_argument(
        "--precision",
        metavar="P[,P]",
        help=f"precisions of the weights: {', '.join(_precisions())} (default: all of each format)",
    )
    parser.add_argument("--size", metavar="HxW", help="input size (default: that of each network)")
    report.add_timing_arguments(parser, runs=50, seconds=2.0, warmup=5)


def run(args: argparse.Namespace) -> int:
    """Writes and measures all files, and prints one row each, and the conditions."""
    if args.runs < 1:
        raise ValueError("--runs must be at least 1")
    targets = _targets(args.to)
    precisions = args.precision.split(",") if args.precision else _precisions()
    for precision in precisions:
        check_choice("precision", precision, _precisions())
    named = args.to is not None
    pairs = [pair for t in targets for pair in _pairs(t, precisions, named)]
    if not pairs:
        raise ValueError(f"none of {', '.join(targets)} has the precision {args.precision}")
    if args.json:
        check_outputs([args.json], map(location, args.what))
    size = parse_size(args.size) if args.size else None
    for what in args.what:  # before anything is measured
        if not is_folder(what):
            models.task_name(what)
    load = report.load()
    rows = []
    for what in args.what:
        rows += measure(what, pairs, size, warmup=args.warmup, runs=args.runs, seconds=args.seconds)
    terms = describe_terms() | {"load average before": load}
    report.publish(rows, COLUMNS, terms, args.json)
    return 0


def describe_terms() -> dict[str, str | float]:
    """The conditions of the measurement; call this after measuring."""
    return {
        "host": report.host_cpu(),
        "weights": "run: those of the run; random: He-normal, with batch norms that fit drawn "
        "images; what they cost in keypoints says nothing about a trained network",
        "int8": "judged in keypoints on trained weights only: with random weights, the columns px, "
        "moved, keypoints and within are empty",
        "error": "largest difference of the outputs from the model, in % of its largest value",
        "px": "distance between keypoints of the file and the model, in input pixels",
        "moved": f"share of the keypoints that are more than {MOVED:g} px away",
        "calibration": f"int8-static: {CALIBRATION_IMAGES} drawn images for random weights, "
        "training images of a run",
        "within": "whether the differences are within the tolerances of `jaxpose export`; "
        f"`{_NOT_RUN}`: this operating system has no runtime for the format; `{_REFUSED}`: the "
        "runtime cannot read the file",
        "ratio": "to ONNX Runtime with float32, in turns in one process; median over parts of the "
        "measurement of the ratio of medians",
        "times": f"wall-clock ms per image, {THREADS} thread, network alone",
        "operators": "of the file: ONNX nodes, LiteRT operators, ncnn layers, torch calls",
        "gpu_refused": "operators of the LiteRT program that its GPU delegate refuses",
        "onnxruntime": require("onnxruntime").__version__,
        "peak RSS MB": round(peak_mb(), 1),
        "device": "this machine; latency on a phone differs",
    }


def measure(
    what: str,
    pairs: Sequence[tuple[str, str]],
    size: tuple[int, int] | None = None,
    *,
    warmup: int,
    runs: int,
    seconds: float,
) -> list[dict]:
    """One row per format and precision of a network.

    Args:
      what: model or run folder.
      pairs: (export target, precision).
      size: (H, W); None for that of the network.
      warmup: untimed calls of each file first.
      runs: minimum number of timed calls of each file.
      seconds: minimum sum of the timings of each file.
    """
    trained = is_folder(what)
    report.progress(f"preparing {what}")
    source = from_run(what, size) if trained else calibrated(untrained(what, size))
    expected = source.expected_outputs()
    refused = operators.refused_by_gpu(source)
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for kind in pairs:
            target, precision = kind
            report.progress(f"writing {source.name} for {target}, {precision}")
            path = _write(source, target, precision, Path(folder))
            row = {
                "model": source.name,
                "weights": "run" if trained else "random",
                "input": "x".join(map(str, source.input_size)),
                "format": target,
                "precision": precision,
                "file_kb": round(size_of(path) / 1024),
            }
            row |= _compared(expected, path, target, precision)
            counts = operators.count(path)
            if counts:
                row["operators"], row["transposes"] = counts
            if target == "litert" and precision in ("fp32", "fp16"):  # the gate is for floats
                row["gpu_refused"] = refused
            files.append(_File(kind, path, row))
        timed = [file for file in files if file.row.get("within") not in (_NOT_RUN, _REFUSED)]
        if _BASELINE not in pairs:  # timed, but without a row
            timed.append(_File(_BASELINE, _write(source, *_BASELINE, Path(folder)), {}))
        _time(timed, source, warmup=warmup, runs=runs, seconds=seconds)
    return [file.row for file in files]


def _time(files: Sequence[_File], source: Source, **timing) -> None:
    """Times the files in turns and adds the results to their rows."""
    timed = [
        contestant
        for file in files
        for contestant in contestants.of_file(
            file.path, source.name, [THREADS], source.input_size, 1
        )
    ]
    base = [file.kind for file in files].index(_BASELINE)
    times = turns.measure(timed, **timing, baselines=[base] * len(timed))
    for file, row in zip(files, times, strict=True):
        file.row.update({key: row[key] for key in _TIMES})


def _write(source: Source, target: str, precision: str, folder: Path) -> Path:
    """Writes one file and returns its path."""
    calibration = None
    if precision in CALIBRATED:
        drawn = images.draw_samples(source.input_size, CALIBRATION_IMAGES, seed=2)
        calibration = crops.of_training(source) if source.trained else drawn
    options = Options(precision, calibration=calibration)
    path = TARGETS[target].path(source, folder, options)
    TARGETS[target].write(source, path, options)
    return path


def _compared(expected: Expected, path: Path, target: str, precision: str) -> dict:
    """The differences of a file from the model, or why there are none."""
    if not RUNTIMES[target].available:
        return {"within": _NOT_RUN}
    try:
        return _differences(expected, path, precision)
    except FileError as error:  # XNNPACK refuses some ranges of int8
        print(error, flush=True)
        return {"within": _REFUSED}


def _differences(expected: Expected, path: Path, precision: str) -> dict:
    """How far a file is from the model, also beyond the tolerances.

    For int8 and random weights, the error of the outputs alone.
    """
    agreement = expected.compare(path, precision)
    error = {"error_%": 100 * agreement.error}
    if precision.startswith("int8") and not expected.trained:
        return error
    distances = agreement.distances
    return error | {
        "median_px": distances.median,
        "p99_px": distances.p99,
        "max_px": distances.largest,
        "moved_%": 100 * distances.moved,
        "keypoints": distances.keypoints,
        "within": "yes" if agreement.holds else "no",
    }


def _precisions() -> list[str]:
    """All precisions of all targets, float32 first."""
    return list(dict.fromkeys(p for target in TARGETS.values() for p in target.precisions))


def _pairs(target: str, precisions: Sequence[str], named: bool) -> list[tuple[str, str]]:
    """The target with each of the precisions that it has.

    A missing package is an error if the target was `named`, otherwise a line says what is left out.
    """
    pairs = []
    for precision in precisions:
        if precision not in TARGETS[target].precisions:
            continue
        try:
            TARGETS[target].require_packages(precision)
            pairs.append((target, precision))
        except ImportError as error:
            if named:
                raise
            print(f"{target} in {precision} is left out: {error}")
    return pairs


def _targets(text: str | None) -> list[str]:
    """The targets by their names; without names all.

    Raises:
      ValueError: unknown target.
      ImportError: a package of a named target is missing.
    """
    if text is not None:
        named = ["onnx", *text.split(",")]  # ONNX Runtime is the baseline
        for name in named:
            check_choice("target", name, TARGETS)
            TARGETS[name].require_packages("fp32")
        return named[1:]
    TARGETS["onnx"].require_packages("fp32")
    return list(TARGETS)
