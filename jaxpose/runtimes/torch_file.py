"""Runs .pt2 files, `torch.export` archives, with PyTorch.

The metadata are JSON in an extra file of the archive.
"""

from __future__ import annotations

import json
import os
from typing import Any

from jaxpose.runtimes.errors import FileError, unreadable
from jaxpose.runtimes.layout import Call, channels_last
from jaxpose.runtimes.packages import require

EXTRA_FILE = "jaxpose.json"  # metadata in a .pt2 archive


def open_torch(path: str | os.PathLike, threads: int | None = None) -> tuple[dict[str, Any], Call]:
    """Opens a .pt2 file to run on the CPU.

    Args:
      path: the file.
      threads: number of threads, set for all of PyTorch; None leaves it as it is.

    Returns:
      The metadata, {} for a file of another program, and a function of images [B, H, W, 3].

    Raises:
      FileError: the file cannot be read.
      ImportError: `torch` is not installed.
    """
    torch = require("torch")
    if threads is not None:
        torch.set_num_threads(threads)
    extra = {EXTRA_FILE: ""}
    module = load_torch(path, extra).module()

    def run(image):
        with torch.inference_mode():
            out = module(torch.from_numpy(image))
        return [part.numpy() for part in (out if isinstance(out, (tuple, list)) else (out,))]

    return json.loads(extra[EXTRA_FILE] or "{}"), channels_last(run)


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
        raise unreadable(path, error) from error
