"""Paths that users give, atomic writing, and the check that no input is overwritten.

`location` decides what a path is: local, or on an object store. Run folders and reports may be
either; all other files are local, and `expand` refuses a URL.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pathlib
import socket
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from jaxpose.remote import RemotePath, is_url

Location = pathlib.Path | RemotePath


def expand(path: str | os.PathLike[str]) -> pathlib.Path:
    """The path with `~` and `~user` expanded.

    Shells do not expand `~` after "=", as in --workdir=~/runs/a.

    Raises:
      ValueError: the path is a URL.

    >>> expand("~/runs") == pathlib.Path.home() / "runs"
    True
    """
    if is_url(path):
        raise ValueError(f"{path}: give a local path; only run folders and reports can be URLs")
    try:
        return pathlib.Path(path).expanduser()
    except RuntimeError:  # no such user: a file may have that name
        return pathlib.Path(path)


def location(path: str | os.PathLike[str] | RemotePath) -> Location:
    """The path of a run folder or a report: local with `~` expanded, or remote if it is a URL.

    Raises:
      ValueError: a URL that is not supported.

    >>> location("gs://bucket/runs/")
    RemotePath(url='gs://bucket/runs')
    """
    if isinstance(path, RemotePath):
        return path
    return RemotePath.parse(str(path)) if is_url(path) else expand(path)


def is_folder(path: str | os.PathLike[str] | RemotePath) -> bool:
    """Whether a path is a folder; a URL always counts as one, and its store is not asked.

    It tells a run folder from a file or the name of a model. What reads the folder says whether it
    is a run folder.
    """
    place = location(path)
    return isinstance(place, RemotePath) or place.is_dir()


def path_argument(text: str) -> pathlib.Path:
    """A path on the command line; the `type` of an argument of argparse.

    Raises:
      argparse.ArgumentTypeError: the text is empty, as with `-o ""`, or a URL.
    """
    if not text.strip():
        raise argparse.ArgumentTypeError("the path is empty")
    try:
        return expand(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def write_atomic(path: Location, content: str | bytes) -> None:
    """Writes a file atomically: it is complete or absent, even if the process is killed."""
    data = content.encode("utf-8") if isinstance(content, str) else content
    if isinstance(path, RemotePath):
        path.write_bytes(data)  # object stores show a file only when it is complete
        return
    with open_atomic(path) as file:
        file.write(data)


@contextlib.contextmanager
def open_atomic(path: pathlib.Path) -> Iterator[BinaryIO]:
    """A file to write, which appears under its name at the end of the `with` block, complete.

    Several processes, also on different hosts, may write the same file; the last one stays.
    """
    part = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:  # also a signal that ends the program
        part.unlink(missing_ok=True)
        raise


def overwritten(
    outputs: Iterable[Location], inputs: Iterable[Location]
) -> tuple[Location, Location] | None:
    """The first output that is also an input, and that input; their paths may differ by links.

    Args:
      outputs: files that will be written; one that does not exist overwrites nothing.
      inputs: files or folders that are read; a remote one is never a local output.
    """
    written = {identity: path for path in outputs if (identity := _identity(path))}
    if not written:
        return None
    for path in inputs:
        identity = _identity(path)
        if identity in written:
            return written[identity], path
    return None


def check_outputs(outputs: Iterable[Location], inputs: Iterable[Location]) -> None:
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


def _identity(path: Location) -> tuple[int, int] | None:
    """Device and inode of a file or folder, links followed; None if there is none."""
    if isinstance(path, RemotePath):
        return None
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
