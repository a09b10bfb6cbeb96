"""Runs .onnx files with ONNX Runtime.

The metadata are in `metadata_props`, one JSON value per key.
"""

from __future__ import annotations

import json
import os
from typing import Any

from jaxpose.runtimes.errors import unreadable
from jaxpose.runtimes.layout import Call, channels_last, in_batches
from jaxpose.runtimes.packages import require


def open_onnx(path: str | os.PathLike, threads: int | None = None) -> tuple[dict[str, Any], Call]:
    """Opens an .onnx file to run on the CPU.

    Args:
      path: the file.
      threads: number of threads; None for ONNX Runtime's default.

    Returns:
      The metadata, {} for a file of another program, and a function of images [B, H, W, 3].

    Raises:
      FileError: the file cannot be read.
      ImportError: `onnxruntime` is not installed.
    """
    session = _session(path, threads)
    entries = session.get_modelmeta().custom_metadata_map
    ours = "jaxpose" in entries  # values of other programs need not be JSON
    metadata = {key: json.loads(text) for key, text in entries.items()} if ours else {}
    return metadata, channels_last(_call(session))


def onnx_call(path: str | os.PathLike, threads: int | None = None) -> Call:
    """The network of an .onnx file as a function of images [B, 3, H, W], for any B."""
    return _call(_session(path, threads))


def _session(path: str | os.PathLike, threads: int | None):
    """An `onnxruntime.InferenceSession` on the CPU, without spinning threads."""
    ort = require("onnxruntime")
    options = ort.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # fatal only; other errors are raised
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        return ort.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's exceptions share no public base class
        raise unreadable(path, error) from error


def _call(session) -> Call:
    source = session.get_inputs()[0]
    batch = source.shape[0]

    def run(image):
        return session.run(None, {source.name: image})

    return in_batches(run, batch) if isinstance(batch, int) else run
