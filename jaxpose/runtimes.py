"""Runs exported files and reads their metadata.

A file contains the network and, as metadata, all that is needed to get keypoints from an image:
input size, normalization, color order, box padding, heatmap stride, codec and skeleton. ONNX stores
it in `metadata_props`, one JSON value per key. The PyTorch file is a `torch.export` archive (.pt2)
with the same JSON as an extra file.

JAX is not imported here: a file needs only its own runtime.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from jaxpose.config.tree import with_task

EXTRA_FILE = "jaxpose.json"  # metadata in a .pt2 archive
SUFFIXES = {"onnx": ".onnx", "torch": ".pt2"}
# The default Linux wheel of torch needs gigabytes of CUDA libraries; the CPU build is enough here.
_INSTALLED_BY = {"torch": "pip install torch --index-url https://download.pytorch.org/whl/cpu"}


class FileError(ValueError):
    """An exported file cannot be read or run."""


def require(package: str) -> ModuleType:
    """Imports an optional package.

    Raises:
      ImportError: it is not installed; the message gives the command that installs it.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        line = _INSTALLED_BY.get(package, f"pip install {package}")
        raise ImportError(f"{package} is not installed: {line}") from error


@dataclasses.dataclass(frozen=True)
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
      path: .onnx (run by ONNX Runtime) or .pt2 (run by PyTorch).
      threads: number of threads of the runtime; None for its default.

    Raises:
      ValueError: the file is of another type, damaged, or not written by jaxpose.
      FileNotFoundError: the file does not exist.
      ImportError: the runtime is not installed.
    """
    entries, run = (_open_onnx if kind(path) == "onnx" else _open_torch)(path, threads)
    if "jaxpose" not in entries:
        raise FileError(f"{path}: not written by `jaxpose export` (its metadata is missing)")
    metadata = {key: json.loads(text) for key, text in entries.items()}
    return ExportedFile(Path(path), with_task(metadata), _channels_last(run))


def read_metadata(path: str | os.PathLike) -> dict[str, Any]:
    """Returns the metadata of an exported file; errors as for `open_file`."""
    return open_file(path).metadata


def run_file(path: str | os.PathLike, *, threads: int | None = None) -> Callable[[np.ndarray], Any]:
    """Returns the `run` of `open_file`; the file needs no metadata."""
    _, run = (_open_onnx if kind(path) == "onnx" else _open_torch)(path, threads)
    return _channels_last(run)


def _channels_last(run: Callable[[np.ndarray], Sequence[Any]]) -> Callable[[np.ndarray], Any]:
    def outputs_of(images):
        image = np.ascontiguousarray(np.asarray(images, np.float32).transpose(0, 3, 1, 2))
        outputs = [np.asarray(out).transpose(0, 2, 3, 1) for out in run(image)]
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    return outputs_of


def kind(path: str | os.PathLike) -> str:
    """Returns the export target of a file, a key of `SUFFIXES`.

    Raises:
      ValueError: the suffix is unknown.
      FileNotFoundError: the file does not exist.
    """
    path = Path(path)
    for target, suffix in SUFFIXES.items():
        if path.suffix == suffix:
            if not path.is_file():
                raise FileNotFoundError(f"{path}: no such file")
            return target
    raise ValueError(f"{path}: not an exported file ({', '.join(SUFFIXES.values())})")


def _open_onnx(path: str | os.PathLike, threads: int | None) -> tuple[dict[str, str], Callable]:
    """Returns the metadata (key -> JSON) and a function of NCHW images."""
    session = onnx_session(path, threads)
    source = session.get_inputs()[0]
    entries = session.get_modelmeta().custom_metadata_map

    def run(image):
        return session.run(None, {source.name: image})

    batch = source.shape[0]
    return entries, _in_batches(run, batch) if isinstance(batch, int) else run


def _in_batches(run: Callable[[np.ndarray], Sequence[Any]], size: int) -> Callable:
    """`run`, which takes `size` images, for any number of images: the last one is repeated."""

    def run_all(image):
        missing = -len(image) % size
        filled = np.concatenate([image, np.repeat(image[-1:], missing, axis=0)])
        parts = [run(filled[i : i + size]) for i in range(0, len(filled), size)]
        return [np.concatenate(outputs)[: len(image)] for outputs in zip(*parts, strict=True)]

    return run_all


def onnx_session(path: str | os.PathLike, threads: int | None = None):
    """Returns an `onnxruntime.InferenceSession` on the CPU, without spinning threads.

    Raises:
      FileError: the file cannot be read.
    """
    ort = require("onnxruntime")
    options = ort.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # fatal only; other errors are raised
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        return ort.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's exceptions share no public base class
        raise _unreadable(path, error) from error


def load_torch(path: str | os.PathLike, extra: dict[str, str] | None = None):
    """Loads the `torch.export.ExportedProgram` of a .pt2 file.

    Args:
      path: the file.
      extra: names of extra files to read; their text is stored in it.

    Raises:
      FileError: the file cannot be read.
    """
    torch = require("torch")
    # torch logs a traceback for a truncated file, so it is checked first: the last 22 bytes must be
    # a zip end record. `zipfile.is_zipfile` would accept that of the weights, a zip in the zip.
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - 22))
        record = file.read(4)
    if record != b"PK\x05\x06":
        raise FileError(f"{path}: cannot be read: truncated, or not a .pt2 file")
    try:
        return torch.export.load(os.fspath(path), extra_files=extra)
    except Exception as error:  # from torch, zipfile or json
        raise _unreadable(path, error) from error


def _unreadable(path: str | os.PathLike, error: Exception) -> FileError:
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return FileError(f"{path}: cannot be read: {first}")


def _open_torch(path: str | os.PathLike, threads: int | None) -> tuple[dict[str, str], Callable]:
    """Returns the metadata (key -> JSON) and a function of NCHW images."""
    torch = require("torch")
    if threads is not None:
        torch.set_num_threads(threads)
    extra = {EXTRA_FILE: ""}
    module = load_torch(path, extra).module()
    metadata = json.loads(extra[EXTRA_FILE] or "{}")

    def run(image):
        with torch.inference_mode():
            out = module(torch.from_numpy(image))
        return [part.numpy() for part in (out if isinstance(out, (tuple, list)) else (out,))]

    return {key: json.dumps(value) for key, value in metadata.items()}, run
