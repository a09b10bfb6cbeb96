"""Runs exported files and reads their metadata.

A file contains the network and, as metadata, all that is needed to get keypoints from an image:
input size, normalization, color order, box padding, heatmap stride, codec and skeleton. There is
one module per format, which says where the metadata are.

JAX is not imported here: a file needs only its own runtime.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxpose.config.tree import with_task
from jaxpose.runtimes.coreml_file import AVAILABLE as HAS_COREML
from jaxpose.runtimes.coreml_file import open_coreml
from jaxpose.runtimes.errors import FileError
from jaxpose.runtimes.layout import Call
from jaxpose.runtimes.litert_file import open_litert
from jaxpose.runtimes.ncnn_file import SUFFIXES as NCNN_SUFFIXES
from jaxpose.runtimes.ncnn_file import open_ncnn
from jaxpose.runtimes.onnx_file import open_onnx
from jaxpose.runtimes.packages import require
from jaxpose.runtimes.torch_file import open_torch

__all__ = [
    "RUNTIMES",
    "SUFFIXES",
    "ExportedFile",
    "FileError",
    "Runtime",
    "files_of",
    "kind",
    "open_file",
    "read_metadata",
    "require",
    "run_file",
    "size_of",
]


@dataclass(frozen=True)
class Runtime:
    """A program that runs files of one format.

    Attributes:
      suffixes: of the files of one network; the first is that of the path which names them.
      package: that must be installed.
      open: a function of a path and a number of threads (None for the runtime's default). It
        returns the metadata, {} if there are none, and a function of NHWC images.
      folder: whether a "file" of this format is a folder.
      available: whether the program exists for this operating system.
    """

    suffixes: tuple[str, ...]
    package: str
    open: Callable[[str | os.PathLike, int | None], tuple[dict[str, Any], Call]]
    folder: bool = False
    available: bool = True


RUNTIMES = {  # by export target
    "onnx": Runtime((".onnx",), "onnxruntime", open_onnx),
    "torch": Runtime((".pt2",), "torch", open_torch),
    "litert": Runtime((".tflite",), "ai_edge_litert", open_litert),
    "ncnn": Runtime(NCNN_SUFFIXES, "ncnn", open_ncnn),
    "coreml": Runtime((".mlpackage",), "coremltools", open_coreml, True, HAS_COREML),
}
SUFFIXES = {target: runtime.suffixes[0] for target, runtime in RUNTIMES.items()}


@dataclass(frozen=True)
class ExportedFile:
    """An exported file that is ready to run.

    Attributes:
      path: path of the file.
      metadata: metadata written by the exporter.
      run: normalized images float32 [B, H, W, 3] -> heatmaps [B, h, w, K] (numpy), or a tuple of
        outputs for networks with several.
    """

    path: Path
    metadata: dict[str, Any]
    run: Callable[[np.ndarray], Any]


def open_file(path: str | os.PathLike, *, threads: int | None = None) -> ExportedFile:
    """Opens an exported file to run on the CPU.

    Args:
      path: .onnx (run by ONNX Runtime), .pt2 (run by PyTorch), .tflite (run by LiteRT), .param
        (run by ncnn, with the .bin and .json file beside it) or .mlpackage (a folder, run by Core
        ML on macOS).
      threads: number of threads of the runtime; None for its default.

    Raises:
      ValueError: the file is of another type, damaged, not written by jaxpose, or its runtime does
        not exist for this operating system.
      FileNotFoundError: the file does not exist.
      ImportError: the runtime is not installed.
    """
    metadata, run = RUNTIMES[kind(path)].open(path, threads)
    if "jaxpose" not in metadata:
        raise FileError(f"{path}: not written by `jaxpose export` (its metadata is missing)")
    return ExportedFile(Path(path), with_task(metadata), _one_or_several(run))


def read_metadata(path: str | os.PathLike) -> dict[str, Any]:
    """Returns the metadata of an exported file; errors as for `open_file`."""
    return open_file(path).metadata


def run_file(
    path: str | os.PathLike, *, threads: int | None = None, vulkan: bool = False
) -> Callable[[np.ndarray], Any]:
    """Returns the `run` of `open_file`; the file needs no metadata.

    With `vulkan`, an ncnn file runs on the first Vulkan device. Raises ValueError for other files
    and without a device.
    """
    target = kind(path)
    if not vulkan:
        return _one_or_several(RUNTIMES[target].open(path, threads)[1])
    if target != "ncnn":
        raise ValueError(f"{path}: only ncnn runs on Vulkan devices")
    return _one_or_several(open_ncnn(path, threads, vulkan=True)[1])


def _one_or_several(run: Call) -> Callable[[np.ndarray], Any]:
    """`run` of images of any type, with a single output as it is and several as a tuple."""

    def outputs_of(images):
        outputs = run(np.ascontiguousarray(images, np.float32))
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    return outputs_of


def kind(path: str | os.PathLike) -> str:
    """Returns the export target of a file, a key of `RUNTIMES`.

    Raises:
      ValueError: the suffix is unknown.
      FileNotFoundError: the file does not exist.
    """
    path = Path(path)
    for target, suffix in SUFFIXES.items():
        if path.suffix == suffix:
            folder = RUNTIMES[target].folder
            if not (path.is_dir() if folder else path.is_file()):
                raise FileNotFoundError(f"{path}: no such {'folder' if folder else 'file'}")
            return target
    hint = ""
    for runtime in RUNTIMES.values():
        first = path.with_suffix(runtime.suffixes[0])
        if path.suffix in runtime.suffixes and first.is_file():
            hint = f"; give {first.name}, the file beside it"
    raise ValueError(f"{path}: not an exported file ({', '.join(SUFFIXES.values())}){hint}")


def files_of(path: str | os.PathLike) -> tuple[Path, ...]:
    """All files of the exported file at `path`: several for ncnn, otherwise one.

    A .mlpackage is one folder.
    """
    path = Path(path)
    suffixes = next(r.suffixes for r in RUNTIMES.values() if r.suffixes[0] == path.suffix)
    return tuple(path.with_suffix(suffix) for suffix in suffixes)


def size_of(path: str | os.PathLike) -> int:
    """Size of the exported file at `path` in bytes, all of its files together."""
    parts = [part for file in files_of(path) for part in (file, *file.rglob("*"))]
    return sum(part.stat().st_size for part in parts if part.is_file())
