"""Runs .tflite files written by `jaxpose export` with LiteRT, and reads their metadata.

The metadata are JSON in a metadata buffer of the file named `METADATA`. A file takes one NHWC image
per call.
"""

from __future__ import annotations

import importlib
import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np

from jaxpose.runtimes.errors import FileError, unreadable
from jaxpose.runtimes.layout import Call
from jaxpose.runtimes.packages import require

METADATA = "jaxpose"
IDENTIFIER = b"TFL3"


def open_litert(path: str | os.PathLike, threads: int | None = None) -> tuple[dict[str, Any], Call]:
    """Opens a .tflite file to run on the CPU.

    Args:
      path: the file.
      threads: number of threads; None for LiteRT's default, one.

    Returns:
      The metadata, and a function of images [B, H, W, 3] that returns outputs [B, h, w, C].

    Raises:
      FileError: the file cannot be read.
      ImportError: `ai-edge-litert` is not installed.
    """
    data = Path(path).read_bytes()
    metadata = _metadata(path, data)
    interpreter = importlib.import_module("ai_edge_litert.interpreter")
    try:
        network = interpreter.Interpreter(model_content=data, num_threads=threads)
        network.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise unreadable(path, error) from error
    image = network.get_input_details()[0]["index"]
    outputs = [detail["index"] for detail in network.get_output_details()]

    def run(images: np.ndarray) -> list[np.ndarray]:
        rows = []
        for row in images:
            network.set_tensor(image, row[None])
            network.invoke()
            rows.append([network.get_tensor(index) for index in outputs])
        return [np.concatenate(parts) for parts in zip(*rows, strict=True)]

    return metadata, run


def read_litert_metadata(path: str | os.PathLike) -> dict[str, Any]:
    """The metadata of a .tflite file, {} if it has none; the file is read, but not run.

    Raises:
      FileError: the file is damaged, or not a .tflite file.
      ImportError: `ai-edge-litert` is not installed.
    """
    return _metadata(path, Path(path).read_bytes())


def _metadata(path: str | os.PathLike, data: bytes) -> dict[str, Any]:
    """The metadata. All of the file is read, because LiteRT does not check it for damage."""
    require("ai_edge_litert")
    schema = importlib.import_module("ai_edge_litert.schema_py_generated")
    if data[4:8] != IDENTIFIER:
        raise FileError(f"{path}: cannot be read: not a .tflite file")
    try:
        model = schema.ModelT.InitFromPackedBuf(data, 0)
        buffers = [contents(data, buffer) for buffer in model.buffers]
        entries = {entry.name: buffers[entry.buffer] for entry in model.metadata or []}
        for graph in model.subgraphs:
            for tensor in graph.tensors:
                buffers[tensor.buffer]
    except (struct.error, ValueError, TypeError, IndexError) as error:
        raise FileError(f"{path}: cannot be read: truncated or damaged") from error
    text = entries.get(METADATA.encode())
    try:
        return {} if text is None else json.loads(bytes(text))
    except ValueError as error:
        raise FileError(f"{path}: cannot be read: its metadata are damaged") from error


def contents(data: bytes, buffer: Any) -> Any:
    """The contents of a buffer: inside the flatbuffer, or behind it as in quantized files.

    Raises IndexError if the file ends before them.
    """
    if buffer.offset <= 1:  # 0, or 1 for a writer that had not filled it in
        return buffer.data
    end = buffer.offset + buffer.size
    if end > len(data):
        raise IndexError(end)
    return data[buffer.offset : end]
