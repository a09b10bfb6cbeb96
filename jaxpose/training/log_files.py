"""The files of a run's logs: lines of JSON and TensorBoard events, local or remote.

Nothing can be appended to a file on an object store. There, each `sync` writes the
whole file again.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any, Protocol

from jaxpose.files import Location, write_atomic
from jaxpose.remote import RemoteError, RemotePath

_FLUSH = 30.0  # seconds after which events are written to disk


class Lines(Protocol):
    """A file to which lines of JSON are appended. All methods raise OSError with its path."""

    def append(self, values: dict[str, Any]) -> None: ...

    def sync(self) -> None:
        """Writes to the disk or the store what was appended."""
        ...

    def close(self) -> None: ...


def open_lines(path: Location) -> Lines:
    """Opens a JSONL file for appending."""
    return _RemoteLines(path) if isinstance(path, RemotePath) else _LocalLines(path)


class _LocalLines:
    def __init__(self, path: pathlib.Path):
        self._path = path
        with _named(path):
            self._file = open(path, "a", encoding="utf-8")

    def append(self, values: dict[str, Any]) -> None:
        with _named(self._path):
            # One write per line: a kill leaves at most one incomplete line, which `cut_back`
            # removes.
            self._file.write(json.dumps(values) + "\n")
            self._file.flush()

    def sync(self) -> None:
        with _named(self._path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        with _named(self._path):
            self._file.close()


class _RemoteLines:
    def __init__(self, path: RemotePath):
        self._path = path
        self._text = path.read_text() if path.exists() else ""
        self._written = len(self._text)

    def append(self, values: dict[str, Any]) -> None:
        self._text += json.dumps(values) + "\n"

    def sync(self) -> None:
        if len(self._text) > self._written:
            write_atomic(self._path, self._text)
            self._written = len(self._text)

    def close(self) -> None:
        self.sync()


def cut_back(path: Location, step: float) -> None:
    """Removes the lines of a JSONL file after `step`, and an incomplete last line.

    Args:
      path: the file.
      step: infinity keeps all complete lines.
    """
    if not path.exists():
        return
    text = path.read_text(encoding="utf-8")
    kept = []
    for line in text.splitlines(keepends=True):
        try:
            if json.loads(line)["step"] > step or not line.endswith("\n"):
                break
        except (ValueError, KeyError, TypeError):
            break
        kept.append(line)
    if len("".join(kept)) != len(text):
        with _named(path):
            write_atomic(path, "".join(kept))


class Events:
    """A new file of TensorBoard events.

    The writer of tensorboardX with a thread of its own waits for ever once its disk is full, so
    events are written here by the caller's thread.

    Args:
      folder: the folder of the event files; those of a remote one are written to a temporary
        folder first.
      step: later steps of earlier files are not shown, so a resumed run is one curve.
    """

    def __init__(self, folder: Location, step: int):
        with _absent("torch", "boto3"):  # imported where installed, in seconds, and not needed
            from tensorboardX.event_file_writer import EventsWriter
            from tensorboardX.proto.event_pb2 import Event, SessionLog
            from tensorboardX.summary import scalar

        self._event, self._scalar = Event, scalar
        self._folder, self._temporary = folder, None
        if isinstance(folder, RemotePath):
            self._temporary = tempfile.TemporaryDirectory(prefix="jaxpose-")
            self._local = pathlib.Path(self._temporary.name)
        else:
            self._local = folder
        with _named(folder):
            self._local.mkdir(exist_ok=True)
            self._writer = EventsWriter(str(self._local / "events"))
            start = SessionLog(status=SessionLog.START)
            self._write(Event(step=step + 1, file_version="brain.Event:2"))
            self._write(Event(step=step + 1, session_log=start))
        self._flushed = time.monotonic()

    def _write(self, event: Any) -> None:
        event.wall_time = time.time()
        self._writer.write_event(event)

    def add(self, step: int, values: dict[str, Any]) -> None:
        """Adds scalars of a step."""
        with _named(self._folder):
            for name, value in values.items():
                self._write(self._event(step=step, summary=self._scalar(name, value)))
            if time.monotonic() - self._flushed > _FLUSH:
                self._writer.flush()
                self._flushed = time.monotonic()

    def sync(self) -> None:
        """Writes to the disk or the store what was added."""
        with _named(self._folder):
            self._writer.flush()
            if isinstance(self._folder, RemotePath):
                self._folder.upload(self._local)

    def close(self) -> None:
        with _named(self._folder), contextlib.ExitStack() as cleanup:
            if self._temporary is not None:
                cleanup.callback(self._temporary.cleanup)
            cleanup.callback(self._writer.close)
            self.sync()


@contextlib.contextmanager
def _absent(*packages: str) -> Iterator[None]:
    """Packages that are not yet imported cannot be imported, as if they were not installed."""
    hidden = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


@contextlib.contextmanager
def _named(path: Location) -> Iterator[None]:
    """Adds the path to an error of the file system, e.g. that the disk is full."""
    try:
        yield
    except RemoteError:
        raise
    except OSError as error:
        raise OSError(f"{path}: cannot be written: {error.strerror or error}") from error
