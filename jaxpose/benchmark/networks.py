"""`jaxpose benchmark networks`: a comparison of several networks in one run.

For each network: exact parameters and multiply-adds, the nodes of its ONNX file (which a runtime
executes one after the other), the latency of this file in ONNX Runtime, and the times of a training
step and of the first step, compilation included. All files, then all steps, are timed in turn in
one process.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import jax

from jaxpose import export, ops
from jaxpose.benchmark import contestants, report, turns
from jaxpose.benchmark.training_step import jax_step
from jaxpose.benchmark.workload import Workload, model_workload
from jaxpose.export.source import untrained
from jaxpose.models.sizes import parse_size
from jaxpose.runtimes import require
from jaxpose.runtimes.peak_memory import peak_mb
from jaxpose.summary import count

COLUMNS = "model input params_m macs_g nodes onnx_ms train_step_ms first_step_s".split()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `jaxpose benchmark networks`."""
    parser.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="names from `jaxpose models`, or package.module:ClassName",
    )
    parser.add_argument("--size", metavar="HxW", help="input size (default: that of each model)")
    parser.add_argument(
        "--task", metavar="NAME", help="task of networks that do not declare one, e.g. topdown"
    )
    parser.add_argument(
        "--batch", type=int, default=4, help="examples per training step (default: 4)"
    )
    parser.add_argument(
        "--threads", type=int, default=1, help="threads of ONNX Runtime (default: 1)"
    )
    report.add_timing_arguments(parser, runs=5, seconds=2.0)


def run(args: argparse.Namespace) -> int:
    """Measures all networks in turn and prints one row each, and the conditions."""
    if min(args.batch, args.threads, args.runs) < 1:
        raise ValueError("--batch, --threads and --runs must be at least 1")
    size = parse_size(args.size) if args.size else None
    load = report.load()
    rows = measure(
        args.models,
        size,
        task_name=args.task,
        batch=args.batch,
        threads=args.threads,
        runs=args.runs,
        seconds=args.seconds,
    )
    terms = describe_terms(args.batch, args.threads) | {"load average before": load}
    report.publish(rows, COLUMNS, terms, args.json)
    return 0


def describe_terms(batch: int, threads: int) -> dict[str, str | float]:
    """The conditions of the measurement; call this after measuring."""
    ort = require("onnxruntime")
    return {
        "host": f"{report.host_cpu()}; JAX {jax.__version__} on {jax.devices()[0].device_kind}",
        "params, macs": "in millions and 1e9, exact counts for one image; see `jaxpose summary`",
        "nodes": "nodes of the ONNX file, batch norms folded",
        "onnx": f"median ms per image, onnxruntime {ort.__version__}, threads {threads}, "
        "float32, no flip test",
        "train step": f"median ms of the training step, batch {batch}, Adam, float32, all cores",
        "first step": "seconds for model, weights, tracing, compilation and one step, empty "
        "compilation cache; imports not included",
        "times": "wall clock; all files, then all steps, in turn in one process",
        "not included": "reading images, decoding keypoints",
        "peak RSS MB": round(peak_mb(), 1),
    }


def measure(
    names: list[str],
    size: tuple[int, int] | None = None,
    *,
    task_name: str | None = None,
    batch: int = 4,
    threads: int = 1,
    runs: int = 5,
    seconds: float = 2.0,
) -> list[dict]:
    """One row per network: counts, nodes and median times.

    Raises:
      ValueError: unknown model, before anything is measured; the message has the nearest name.
    """
    workloads = [model_workload(name, size, batch, task_name) for name in names]
    rows = [_counts(workload) for workload in workloads]
    with tempfile.TemporaryDirectory() as folder:
        files: list[turns.Contestant] = []
        for number, (row, workload) in enumerate(zip(rows, workloads, strict=True)):
            report.progress(f"exporting {workload.name}")
            path = Path(folder) / f"{number}.onnx"
            row["nodes"] = _export(workload.name, workload.size, path, task_name)
            files += contestants.of_file(path, workload.name, [threads], workload.size, 1)
        for row, timed in zip(
            rows, turns.measure(files, warmup=2, runs=runs, seconds=seconds), strict=True
        ):
            row["onnx_ms"] = timed["median_ms"]
    steps = []
    for row, workload in zip(rows, workloads, strict=True):
        report.progress(f"compiling the training step of {workload.name}")
        step = jax_step(workload, ops.get_implementation(), cached=False)
        row["first_step_s"] = step.facts["first_step_s"]
        steps.append(step.call)
    report.progress("timing all steps in turn")
    times = report.in_turns(steps, warmup=1, runs=runs, seconds=seconds)
    for row, t in zip(rows, times, strict=True):
        row["train_step_ms"] = report.statistics(t)["median_ms"]
    return rows


def _counts(workload: Workload) -> dict:
    counted = count(workload.model, workload.size)
    return {
        "model": workload.name,
        "input": f"{workload.size[0]}x{workload.size[1]}",
        "params_m": counted.params / 1e6,
        "macs_g": counted.macs / 1e9,
    }


def _export(name: str, size: tuple[int, int], path: Path, task_name: str | None) -> int:
    """Writes the file and returns its number of nodes."""
    source = untrained(name, size, task_name=task_name)
    export.to_onnx(source.model, source.variables, size, path, metadata=source.metadata())
    return len(require("onnx").load(path).graph.node)
