"""Runs .mlpackage folders written by `jaxpose export` with Core ML, and reads their metadata.

The metadata are in the user-defined metadata of the model, one JSON value per key. Core ML exists
for Apple's operating systems only; the metadata can be read anywhere.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import numpy as np

from jaxpose.runtimes.errors import FileError, unreadable
from jaxpose.runtimes.layout import Call, channels_last
from jaxpose.runtimes.packages import require

AVAILABLE = sys.platform == "darwin"  # whether Core ML exists for this operating system


def open_coreml(path: str | os.PathLike, threads: int | None = None) -> tuple[dict[str, Any], Call]:
    """Opens a .mlpackage to run on the CPU; macOS only.

    Args:
      path: the folder.
      threads: must be None; Core ML chooses the number of threads.

    Returns:
      The metadata, {} for a model of another program, and a function of images [B, H, W, 3], which
      run one after the other.

    Raises:
      FileError: the folder cannot be read, or the operating system is not macOS.
      ImportError: `coremltools` is not installed.
      ValueError: `threads` is a number.
    """
    metadata, call = _open(path, threads)
    return metadata, channels_last(call)


def coreml_call(path: str | os.PathLike, threads: int | None = None) -> Call:
    """The network as a function of images [B, 3, H, W]; arguments and errors as `open_coreml`."""
    return _open(path, threads)[1]


def _open(path: str | os.PathLike, threads: int | None) -> tuple[dict[str, Any], Call]:
    # The metadata are read on every system; this part was never run, for want of a Mac.
    if not AVAILABLE:
        raise FileError(
            f"{path}: Core ML runs on macOS only: to run the network here, export it to another "
            "format"
        )
    if threads is not None:
        raise ValueError(f"{path}: Core ML chooses the number of threads, {threads} cannot be set")
    coremltools = require("coremltools")
    model = read_spec(path)
    try:
        network = coremltools.models.MLModel(
            os.fspath(path), compute_units=coremltools.ComputeUnit.CPU_ONLY
        )
    except Exception as error:  # from Core ML or coremltools
        raise unreadable(path, error) from error
    outputs = [output.name for output in model.description.output]

    def run(images: np.ndarray) -> list[np.ndarray]:
        rows = []
        for image in images:
            results = network.predict({"image": image[None]})
            rows.append([results[name] for name in outputs])
        return [np.concatenate(parts) for parts in zip(*rows, strict=True)]

    return _metadata(path, model), run


def read_coreml_metadata(path: str | os.PathLike) -> dict[str, Any]:
    """The metadata of a .mlpackage, {} for a model of another program; works on every system.

    Raises:
      FileError: the folder cannot be read.
      ImportError: `coremltools` is not installed.
    """
    return _metadata(path, read_spec(path))


def read_spec(path: str | os.PathLike):
    """The specification of a .mlpackage, a `Model` of coremltools' protocol buffers.

    Raises:
      FileError: the folder cannot be read.
      ImportError: `coremltools` is not installed.
    """
    coremltools = require("coremltools")
    try:
        return coremltools.utils.load_spec(os.fspath(path))
    except Exception as error:  # from protobuf or from coremltools' own library
        raise unreadable(path, error) from error


def _metadata(path: str | os.PathLike, model) -> dict[str, Any]:
    entries = model.description.metadata.userDefined
    if "jaxpose" not in entries:  # values of other programs need not be JSON
        return {}
    try:  # coremltools adds versions and a date, with names that have dots
        return {key: json.loads(text) for key, text in entries.items() if "." not in key}
    except ValueError as error:
        raise FileError(f"{path}: cannot be read: its metadata are damaged") from error
