"""`jaxpose benchmark latency`: one forward pass on this machine's CPU.

A run folder or model is measured with JAX (compiled), with ONNX Runtime on the exported file, and
as the exported torch module (eager, channels_last). An exported file is measured with its own
runtime. Times do not include a flip test, cropping or decoding; for the decoding of a
bottom-up network, see `jaxpose benchmark grouping`.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxpose import export, geometry, images, models, tasks
from jaxpose.benchmark import report
from jaxpose.export.source import Source, from_run, untrained
from jaxpose.files import check_outputs
from jaxpose.models.sizes import parse_size
from jaxpose.runtimes import RUNTIMES, SUFFIXES, kind, require, size_of
from jaxpose.runtimes.coreml_file import coreml_call
from jaxpose.runtimes.layout import Call
from jaxpose.runtimes.litert_file import open_litert
from jaxpose.runtimes.ncnn_file import ncnn_call
from jaxpose.runtimes.onnx_file import onnx_call
from jaxpose.runtimes.torch_file import load_torch

COLUMNS = (
    "model runtime precision threads input init_ms first_ms warmup runs min_ms mean_ms median_ms "
    "p90_ms p99_ms std_ms file_kb"
).split()


@dataclass
class Contestant:
    """Something to time; `start` loads it and returns the call to time."""

    facts: dict
    size: tuple[int, int]
    start: Callable[[], Callable[[], object]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `jaxpose benchmark latency`."""
    parser.add_argument(
        "what",
        nargs="+",
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
        "--size", metavar="HxW", help="input size of run folders and models (default: their own)"
    )
    parser.add_argument(
        "--task", metavar="NAME", help="task of a network that does not declare one, e.g. topdown"
    )
    parser.add_argument("--batch", type=int, default=1, help="images per call (default: 1)")
    parser.add_argument(
        "--include-prepost",
        action="store_true",
        help="also time cropping with normalization, and decoding, in separate rows: those of the "
        "first argument",
    )
    report.add_timing_arguments(parser, runs=50, seconds=1.0, warmup=10)


def run(args: argparse.Namespace) -> int:
    """Measures everything in turn and prints one row each, and the conditions."""
    if args.json:
        check_outputs([args.json], map(Path, args.what))
    size = parse_size(args.size) if args.size else None
    try:
        threads = sorted({min(int(t), report.cores()) for t in args.threads.split(",")})
    except ValueError:
        raise ValueError(f"--threads {args.threads!r} must be numbers such as 1,4") from None
    if min(threads) < 1 or args.batch < 1 or args.runs < 1:
        raise ValueError("--threads, --batch and --runs must be at least 1")
    load = report.load()
    with tempfile.TemporaryDirectory() as folder:
        contestants: list[Contestant] = []
        around: list[Contestant] = []
        for i, what in enumerate(args.what):
            subfolder = Path(folder) / str(i)
            subfolder.mkdir()
            task, timed, decoder = contestants_of(
                what, threads, size, args.batch, subfolder, args.task
            )
            contestants += timed
            if args.include_prepost and not around:
                around = _around(task, decoder, timed[0].size)
        rows = measure(
            contestants + around, warmup=args.warmup, runs=args.runs, seconds=args.seconds
        )
    terms = describe_terms() | {"load average before": load}
    report.publish(rows, COLUMNS, terms, args.json)
    return 0


def describe_terms() -> dict[str, str | float]:
    """The conditions of the measurement; call this after measuring."""
    return {
        "host": report.host_cpu(),
        "times": "wall-clock ms per call, all candidates in turn in one process",
        "init": "loading the file or, for JAX, tracing and compilation; `first` is the first call",
        "not included": "cropping, normalization, decoding, the second pass of a flip test",
        "JAX threads": "XLA uses all cores of the process; restrict them with taskset",
        "runtimes": "stock builds without tuning; ONNX Runtime and torch on the CPU, torch eager",
        "peak RSS MB": round(report.peak_rss_mb(), 1),
        "peak RSS": "of the one process that holds all candidates",
        "device": "this machine; latency on a phone differs",
    }


def measure(contestants: list[Contestant], *, warmup: int, runs: int, seconds: float) -> list[dict]:
    """One row of facts and statistics per contestant."""
    calls, rows = [], []
    for contestant in contestants:
        report.progress(f"loading {contestant.facts['model']}, {contestant.facts['runtime']}")
        begin = time.perf_counter()
        call = contestant.start()
        init = (time.perf_counter() - begin) * 1e3
        calls.append(call)
        first = report.milliseconds(call)
        rows.append(dict(contestant.facts, init_ms=init, first_ms=first, warmup=warmup))
    report.progress("timing all in turn")
    times = report.in_turns(calls, warmup=warmup, runs=runs, seconds=seconds)
    return [
        row | {"runs": len(t)} | report.statistics(t) for row, t in zip(rows, times, strict=True)
    ]


def contestants_of(
    what: str,
    threads: list[int],
    size: tuple[int, int] | None,
    batch: int,
    folder: Path,
    task_name: str | None = None,
) -> tuple[tasks.Task, list[Contestant], tasks.Decoder]:
    """Task of one argument of the command line, everything to time for it, and its decoder.

    Args:
      what: file, run folder or model.
      threads: numbers of threads of the runtimes other than JAX.
      size: (H, W) of run folders and models; None for their own.
      batch: images per call.
      folder: for exported files.
      task_name: task of a network that does not declare one.

    Raises:
      ValueError: neither a file, a run folder nor a model.
    """
    path = Path(what)
    if path.suffix in SUFFIXES.values():
        metadata = export.read_metadata(path)
        size = tuple(metadata["input_size"])
        timed = list(of_file(path, path.name, threads, size, batch, metadata["precision"]))
        task = tasks.get(metadata["task"])
        return task, timed, task.decoder_from_metadata(metadata)
    if path.is_dir():
        source = from_run(path, size)
    elif what in models.list_models() or not path.exists():
        source = untrained(what, size, task_name=task_name)
    else:
        raise ValueError(
            f"{what}: not a model, a run folder or a {', '.join(SUFFIXES.values())} file"
        )
    path = folder / "model.onnx"
    metadata = source.metadata()
    export.to_onnx(source.model, source.variables, source.input_size, path, metadata=metadata)
    timed = [
        _jax(source, batch),
        *of_file(path, source.name, threads, source.input_size, batch),
        *_torch_module(source, threads, batch),
    ]
    return source.task, timed, source.decoder


def _images(size: tuple[int, int], batch: int) -> np.ndarray:
    return np.asarray(geometry.normalize(images.draw_samples(size, batch)), np.float32)


def _facts(name: str, runtime: str, threads, size, batch: int, path: Path | None = None) -> dict:
    return {
        "model": name,
        "runtime": runtime,
        "precision": "fp32",
        "threads": threads,
        "input": f"{batch}x3x{size[0]}x{size[1]}",
        "file_kb": None if path is None else round(_size(path) / 1024),
    }


def _size(path: Path) -> int:
    return size_of(path)


def _jax(source: Source, batch: int) -> Contestant:
    inputs = jnp.asarray(_images(source.input_size, batch))
    variables = jax.device_put(source.variables)

    def start():
        function = jax.jit(lambda v, x: source.model.apply(v, x, train=False))
        compiled = function.lower(variables, inputs).compile()
        return lambda: jax.block_until_ready(compiled(variables, inputs))

    facts = _facts(
        source.name,
        f"jax {jax.__version__} ({jax.default_backend()})",
        f"all {report.cores()}",
        source.input_size,
        batch,
    )
    height, width = source.input_size
    facts["input"] = f"{batch}x{height}x{width}x3"
    return Contestant(facts, source.input_size, start)


@dataclass(frozen=True)
class _Runtime:
    """A runtime to time: its name and layout, and how it opens a file."""

    name: str
    nchw: bool
    open: Callable[[Path, int], Call]


_RUNTIMES = {  # by export target; torch also runs modules that are not files
    "onnx": _Runtime("onnxruntime", True, onnx_call),
    "litert": _Runtime("litert", False, lambda path, n: open_litert(path, n)[1]),
    "ncnn": _Runtime("ncnn", True, ncnn_call),
    "coreml": _Runtime("coreml", True, coreml_call),
}


def of_file(
    path: Path, name: str, threads: list[int], size, batch: int, precision: str = "fp32"
) -> Iterator[Contestant]:
    """An exported file in its own runtime, once per number of threads."""
    target = kind(path)
    if target == "torch":
        torch = require("torch")
        title = f"torch {torch.__version__} (.pt2)"
        yield from _torch(
            lambda: load_torch(path).module(), name, title, threads, size, batch, path
        )
        return
    runtime, package = _RUNTIMES[target], require(RUNTIMES[target].package)
    inputs = _images(size, batch)
    if runtime.nchw:
        inputs = np.ascontiguousarray(inputs.transpose(0, 3, 1, 2))
    title = f"{runtime.name} {package.__version__}"
    shape = "x".join(map(str, inputs.shape))
    for count in threads:

        def start(count=count):
            run = runtime.open(path, count)
            return lambda: run(inputs)

        facts = _facts(name, title, count, size, batch, path)
        yield Contestant(facts | {"precision": precision, "input": shape}, size, start)


def _torch_module(source: Source, threads: list[int], batch: int) -> Iterator[Contestant]:
    try:
        torch = require("torch")
    except ImportError as error:
        print(f"torch is left out: {error}")
        return

    def build():
        return export.to_torch(source.model, source.variables, source.input_size)

    runtime = f"torch {torch.__version__} (eager, channels_last)"
    yield from _torch(build, source.name, runtime, threads, source.input_size, batch, None)


def _torch(make, name, runtime, threads, size, batch, path) -> Iterator[Contestant]:
    import torch

    inputs = torch.from_numpy(_images(size, batch)).permute(0, 3, 1, 2)  # channels_last in memory
    for count in threads:

        def start(count=count):
            module = make().to(memory_format=torch.channels_last)

            def call():
                torch.set_num_threads(count)
                with torch.inference_mode():
                    return module(inputs)

            return call

        yield Contestant(_facts(name, runtime, count, size, batch, path), size, start)


def _around(task: tasks.Task, decoder: tasks.Decoder, size: tuple[int, int]) -> list[Contestant]:
    """Cropping with normalization, and decoding, for networks of this task and input size."""
    image = images.draw_samples((480, 640), 1)[0]

    def crop():
        center, scale = task.view(image.shape[:2], size)
        matrix = task.crop_matrix(center, scale, size, decoder)
        return geometry.normalize(geometry.crop(image, matrix, size))

    description, decode = task.sample_decoding(size, decoder)
    rest = {"precision": "fp32", "threads": "default", "file_kb": None, "input": description}
    before = {"model": f"{task.EXAMPLE} + normalize", "runtime": "numpy, OpenCV"} | rest
    after = {"model": "decode", "runtime": f"jax {jax.__version__}"} | rest
    return [Contestant(before, size, lambda: crop), Contestant(after, size, lambda: decode)]
