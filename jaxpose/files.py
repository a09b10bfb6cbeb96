"""Paths that users give, atomic writing, and the check that no input is overwritten."""

from __future__ import annotations

import argparse
import os
import pathlib
from collections.abc import Iterable


def expand(path: str | os.PathLike[str]) -> pathlib.Path:
    """The path with `~` and `~user` expanded.

    Shells do not expand `~` after "=", as in --workdir=~/runs/a.

    >>> expand("~/runs") == pathlib.Path.home() / "runs"
    True
    """
    try:
        return pathlib.Path(path).expanduser()
    except RuntimeError:  # no such user: a file may have that name
        return pathlib.Path(path)


def path_argument(text: str) -> pathlib.Path:
    """A path on the command line; the `type` of an argument of argparse.

    Raises:
      argparse.ArgumentTypeError: the text is empty, as with `-o ""`.
    """
    if not text.strip():
        raise argparse.ArgumentTypeError("the path is empty")
    return expand(text)


def write_atomic(path: pathlib.Path, content: str | bytes) -> None:
    """Writes a file atomically: it is complete or absent, even if the process is killed."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def overwritten(
    outputs: Iterable[pathlib.Path], inputs: Iterable[pathlib.Path]
) -> tuple[pathlib.Path, pathlib.Path] | None:
    """The first output that is also an input, and that input; their paths may differ by links.

    Args:
      outputs: files that will be written; one that does not exist overwrites nothing.
      inputs: files or folders that are read.
    """
    written = {identity: path for path in outputs if (identity := _identity(path))}
    if not written:
        return None
    for path in inputs:
        identity = _identity(path)
        if identity in written:
            return written[identity], path
    return None


def check_outputs(outputs: Iterable[pathlib.Path], inputs: Iterable[pathlib.Path]) -> None:
    """Checks that no output is an input.

    Args:
      outputs: files that will be written.
      inputs: files or folders that are read.

    Raises:
      ValueError: the first output that would overwrite an input.
    """
    pair = overwritten(outputs, inputs)
    if pair:
        output, source = pair
        by = "" if output == source else f" (the same file as {source})"
        raise ValueError(f"{output} is an input{by} and would be overwritten: choose another name")


def _identity(path: pathlib.Path) -> tuple[int, int] | None:
    """Device and inode of a file or folder, links followed; None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
