"""What is timed against each other: exported files in their runtimes, networks in JAX and torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxpose import export, geometry, images, models, tasks
from jaxpose.benchmark import report
from jaxpose.benchmark.turns import Contestant
from jaxpose.export.source import Source, from_run, untrained
from jaxpose.files import expand, is_folder
from jaxpose.runtimes import RUNTIMES, SUFFIXES, kind, require, size_of
from jaxpose.runtimes.coreml_file import coreml_call
from jaxpose.runtimes.layout import Call
from jaxpose.runtimes.litert_file import open_litert
from jaxpose.runtimes.ncnn_file import ncnn_call
from jaxpose.runtimes.onnx_file import onnx_call
from jaxpose.runtimes.torch_file import load_torch


@dataclass(frozen=True)
class Entry:
    """One argument of the command line.

    Attributes:
      task: of its network.
      decoder: how the outputs become poses.
      size: (H, W) of its input.
      contestants: everything to time for it.
    """

    task: tasks.Task
    decoder: tasks.Decoder
    size: tuple[int, int]
    contestants: list[Contestant]


def entry_of(
    what: str,
    threads: Sequence[int],
    size: tuple[int, int] | None,
    batch: int,
    folder: Path,
    task_name: str | None = None,
) -> Entry:
    """Everything to time for one argument of the command line.

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
    if Path(what).suffix in SUFFIXES.values():
        path = expand(what)
        metadata = export.read_metadata(path)
        size = tuple(metadata["input_size"])
        timed = list(of_file(path, path.name, threads, size, batch, metadata["precision"]))
        task = tasks.get(metadata["task"])
        return Entry(task, task.decoder_from_metadata(metadata), size, timed)
    if is_folder(what):
        source = from_run(what, size)
    elif what in models.list_models() or not Path(what).exists():
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
    return Entry(source.task, source.decoder, source.input_size, timed)


def _images(size: tuple[int, int], batch: int) -> np.ndarray:
    return np.asarray(geometry.normalize(images.draw_samples(size, batch)), np.float32)


def _facts(name: str, runtime: str, threads, size, batch: int, path: Path | None = None) -> dict:
    return {
        "model": name,
        "runtime": runtime,
        "precision": "fp32",
        "threads": threads,
        "batch": batch,
        "input": f"{batch}x3x{size[0]}x{size[1]}",
        "file_kb": None if path is None else round(size_of(path) / 1024),
    }


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
    return Contestant(facts, start)


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
    path: Path,
    name: str,
    threads: Sequence[int],
    size: tuple[int, int],
    batch: int,
    precision: str = "fp32",
) -> Iterator[Contestant]:
    """An exported file in its own runtime, once per number of threads.

    Args:
      path: the file.
      name: for the column `model`.
      threads: numbers of threads.
      size: (H, W) of the input.
      batch: images per call.
      precision: of the weights, from the metadata.

    Raises:
      ValueError: no runtime here runs such files.
      ImportError: the runtime is not installed.
    """
    target = kind(path)
    if not RUNTIMES[target].available:
        raise ValueError(f"{path}: {target} files cannot be timed on this machine")
    if target == "torch":
        torch = require("torch")
        title = f"torch {torch.__version__} (.pt2)"
        facts = _facts(name, title, None, size, batch, path) | {"precision": precision}
        yield from _torch(lambda: load_torch(path).module(), facts, threads, size, batch, path)
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
        yield Contestant(facts | {"precision": precision, "input": shape}, start, path)


def _torch_module(source: Source, threads: Sequence[int], batch: int) -> Iterator[Contestant]:
    try:
        torch = require("torch")
    except ImportError as error:
        print(f"torch is left out: {error}")
        return

    def build():
        return export.to_torch(source.model, source.variables, source.input_size)

    title = f"torch {torch.__version__} (eager, channels_last)"
    facts = _facts(source.name, title, None, source.input_size, batch)
    yield from _torch(build, facts, threads, source.input_size, batch, None)


def _torch(make, facts, threads, size, batch, path) -> Iterator[Contestant]:
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

        yield Contestant(facts | {"threads": count}, start, path)
