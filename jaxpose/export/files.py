"""Exported files: writing them, what they say about themselves, and running them.

A file holds the network and, as metadata, everything that is needed from a photograph to joints:
input size, normalisation, colour order, box padding, heatmap stride, codec and skeleton. ONNX keeps
it in `metadata_props`, one JSON value per key. The PyTorch file is a `torch.export` archive (.pt2)
with the same JSON as an extra file: it loads with torch alone, keeps the batch size open, and is
what ExecuTorch and the other torch converters start from. (TorchScript is deprecated, and a pickled
module is code, so it would need the same library versions to load and trust to run.)
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jaxpose.export.graph import ExportError

_EXTRA = "jaxpose.json"
SUFFIXES = {"onnx": ".onnx", "torch": ".pt2"}
# The default Linux wheel of torch brings gigabytes of CUDA libraries; the CPU build is enough here.
_INSTALLED_BY = {"torch": "pip install torch --index-url https://download.pytorch.org/whl/cpu"}


def require(package: str):
    """Imports an optional package; the error names the line that installs it."""
    import importlib

    try:
        return importlib.import_module(package)
    except ImportError as error:
        line = _INSTALLED_BY.get(package, 'pip install "jaxpose[export]"')
        raise ImportError(f"{package} is not installed: {line}") from error


def save_torch(
    module, input_size: tuple[int, int], path: str | os.PathLike, *, metadata: dict
) -> None:
    """Writes a `torch.fx.GraphModule` made by `to_torch` as a .pt2 file."""
    torch = require("torch")
    # Traced with a batch of 2: torch.export would fix a batch of 1.
    example = (torch.zeros(2, 3, *input_size),)
    dynamic = ({0: torch.export.Dim("batch", min=1, max=1 << 16)},)
    program = torch.export.export(module.eval(), example, dynamic_shapes=dynamic)
    torch.export.save(program, os.fspath(path), extra_files={_EXTRA: json.dumps(metadata)})


def read_metadata(path: str | os.PathLike) -> dict[str, Any]:
    """What the exporter wrote into a .onnx or .pt2 file.

    Raises ValueError when the file is neither, is damaged, or was not written by jaxpose.
    """
    if _kind(path) == "onnx":
        onnx = require("onnx")
        try:
            model = onnx.load(os.fspath(path), load_external_data=False)
        except Exception as error:  # protobuf's, which is no dependency of ours
            raise _unreadable(path, error) from error
        raw = {entry.key: entry.value for entry in model.metadata_props}
    else:
        extra = {_EXTRA: ""}
        load_torch(path, extra)
        raw = json.loads(extra[_EXTRA] or "{}")
    if "jaxpose" not in raw:
        raise ValueError(f"{path}: not written by `jaxpose export` (its metadata is missing)")
    return {key: json.loads(v) for key, v in raw.items()} if _kind(path) == "onnx" else raw


def run_file(path: str | os.PathLike, *, threads: int | None = None) -> Callable:
    """A function that runs an exported file on the CPU.

    Args:
      path: .onnx (run by ONNX Runtime) or .pt2 (run by PyTorch).
      threads: of the runtime; None leaves its default.

    Returns:
      images float32 [B,H,W,3], normalised -> heatmaps [B,h,w,K] (numpy), or a tuple of maps for
      networks with several outputs.
    """
    run = _onnx_runner(path, threads) if _kind(path) == "onnx" else _torch_runner(path, threads)

    def heatmaps(images):
        image = np.ascontiguousarray(np.asarray(images, np.float32).transpose(0, 3, 1, 2))
        outputs = [np.asarray(out).transpose(0, 2, 3, 1) for out in run(image)]
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    return heatmaps


def _kind(path: str | os.PathLike) -> str:
    path = Path(path)
    for kind, suffix in SUFFIXES.items():
        if path.suffix == suffix:
            if not path.is_file():
                raise FileNotFoundError(f"{path}: no such file")
            return kind
    raise ValueError(f"{path}: not an exported file; known are {', '.join(SUFFIXES.values())}")


def _onnx_runner(path: str | os.PathLike, threads: int | None) -> Callable:
    session = onnx_session(path, threads)
    name = session.get_inputs()[0].name
    return lambda image: session.run(None, {name: image})


def onnx_session(path: str | os.PathLike, threads: int | None = None):
    """An `onnxruntime.InferenceSession` on the CPU, its threads not spinning between calls."""
    ort = require("onnxruntime")
    options = ort.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        return ort.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's exceptions share no public base class
        raise ExportError(f"{path}: ONNX Runtime cannot load it: {error}") from error


def load_torch(path: str | os.PathLike, extra: dict[str, str] | None = None):
    """The `torch.export.ExportedProgram` of a .pt2 file; fills `extra`, texts by name.

    Raises ExportError when it cannot be read.
    """
    torch = require("torch")
    # torch logs a whole traceback of a file that was cut off: it lacks the last record of a zip, of
    # 22 bytes. `zipfile.is_zipfile` would take that of the weights, which are a zip within.
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - 22))
        record = file.read(4)
    if record != b"PK\x05\x06":
        raise ExportError(f"{path}: cannot be read: it is cut off, or no .pt2 file")
    try:
        return torch.export.load(os.fspath(path), extra_files=extra)
    except Exception as error:  # of torch, of zipfile, or of the archive's own json
        raise _unreadable(path, error) from error


def _unreadable(path: str | os.PathLike, error: Exception) -> ExportError:
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return ExportError(f"{path}: cannot be read: {first}")


def _torch_runner(path: str | os.PathLike, threads: int | None) -> Callable:
    torch = require("torch")
    if threads is not None:
        torch.set_num_threads(threads)
    module = load_torch(path).module()

    def run(image):
        with torch.inference_mode():
            out = module(torch.from_numpy(image))
        return [part.numpy() for part in (out if isinstance(out, (tuple, list)) else (out,))]

    return run
