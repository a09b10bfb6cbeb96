"""`jaxpose benchmark hwl-table5`: Table V of the HWL paper, inference speed, on this machine.

The five networks of the table and HWL's own, at 256x192 and batch 1 on the CPU. As in section IV-D,
5 rounds are dropped, 50 are averaged, and pre-processing does not count. The paper's numbers, which
were measured on other devices, are printed next to ours.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from jaxpose import export
from jaxpose.benchmark import contestants, report, turns
from jaxpose.export.source import untrained
from jaxpose.models.published import INFO
from jaxpose.models.sizes import parse_size
from jaxpose.runtimes import require

SOURCE = "HWL paper, Table V"
NETWORKS = tuple(
    name for name, info in INFO.items() if any(speed.source == SOURCE for speed in info.speeds)
)
SIZE = (256, 192)
WARMUP, RUNS = 5, 50
COLUMNS = ("model", "threads", "mean_ms", "std_ms", "FPS", "paper's FPS, CPU", "GPU", "paper's AP")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `jaxpose benchmark hwl-table5`."""
    parser.add_argument(
        "--threads", type=int, help="threads of ONNX Runtime (default: all cores of the process)"
    )
    parser.add_argument(
        "--size", metavar="HxW", help="input size (default: 256x192, that of the paper)"
    )
    report.add_timing_arguments(parser, runs=RUNS, seconds=0.0, warmup=WARMUP)


def run(args: argparse.Namespace) -> int:
    """Measures all networks in turn and prints one row each, and the conditions."""
    threads = report.cores() if args.threads is None else args.threads
    if threads < 1 or args.runs < 1:
        raise ValueError("--threads and --runs must be at least 1")
    size = parse_size(args.size) if args.size else SIZE
    load = report.load()
    rows = measure(size, threads, warmup=args.warmup, runs=args.runs, seconds=args.seconds)
    terms = describe_terms(size, threads, args.warmup, args.runs) | {"load average before": load}
    report.publish(rows, COLUMNS, terms, args.json)
    return 0


def describe_terms(size: tuple[int, int], threads: int, warmup: int, runs: int) -> dict[str, str]:
    """The conditions of the measurement."""
    gpu, cpu = (s.device for s in INFO["hwl_mobilenetv3"].speeds if s.source == SOURCE)
    return {
        "host": report.host_cpu(),
        "ours": f"onnxruntime {require('onnxruntime').__version__} on the CPU, float32, threads "
        f"{threads}, batch 1, {size[0]}x{size[1]}, random weights",
        "FPS": f"1000 / mean ms of {runs} rounds after {warmup} dropped ones; a round runs every "
        "network once, in one process",
        "not included": "cropping, normalization, decoding, the second pass of a flip test",
        "paper": f"{SOURCE}: CPU {cpu}, GPU {gpu}, 256x192, COCO val2017 AP",
        "vipnas_mobilenetv3": "mmpose's network; the paper's has fewer parameters (2.8 M)",
    }


def measure(
    size: tuple[int, int], threads: int, *, warmup: int, runs: int, seconds: float
) -> list[dict]:
    """One row per network: our times and the paper's numbers."""
    with tempfile.TemporaryDirectory() as folder:
        files: list[turns.Contestant] = []
        for name in NETWORKS:
            report.progress(f"exporting {name}")
            path = Path(folder) / f"{name}.onnx"
            source = untrained(name, size)
            export.to_onnx(source.model, source.variables, size, path, metadata=source.metadata())
            files += contestants.of_file(path, name, [threads], size, 1)
        rows = turns.measure(files, warmup=warmup, runs=runs, seconds=seconds)
    for row in rows:
        info = INFO[row["model"]]
        gpu, cpu = (speed.value for speed in info.speeds if speed.source == SOURCE)
        ap = next(
            published.score
            for published in info.published
            if (published.dataset, published.input_size) == ("coco", SIZE)
            and published.source in ("HWL paper", "Lite-HRNet paper")
        )
        row |= {
            "FPS": 1000 / row["mean_ms"],
            "paper's FPS, CPU": cpu,
            "GPU": gpu,
            "paper's AP": ap,
        }
    return rows
