"""The lock of a run folder: only one training at a time writes into it.

lock.json names the host and the process that train. On the same host, a lock is valid as long as
that process is running; the lock of a killed process is replaced. Whether a process on another host
is running cannot be checked. Therefore a thread renews the time of the file, and the lock of
another host expires `STALE` seconds after its last renewal. A new training waits for that, since a
job that was killed is often restarted on another host at once.

A remote folder is not locked. To replace the lock of a killed job, one of several new jobs must win
for certain, and object stores have no common operation for that.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import pathlib
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from jaxpose.files import Location
from jaxpose.remote import RemotePath

NAME = "lock.json"
RENEWAL = 20.0  # seconds between two renewals
STALE = 120.0  # seconds without a renewal after which the lock of another host expires
_POLL = 1.0  # seconds between two looks at the lock of another host
_EMPTY = 2.0  # seconds after which an empty lock is invalid


class LockError(ValueError):
    """Another training is running in the run folder."""


@contextlib.contextmanager
def locked(folder: Location, log_line: Callable[[str], None] | None = None) -> Iterator[str | None]:
    """Holds the lock of a run folder, which is created if it is missing.

    Waits until the lock of another host is released, renewed or `STALE` seconds old.

    Args:
      folder: the run folder.
      log_line: prints a line before it waits; None prints on standard error.

    Yields:
      A line about an old lock that was replaced, or about a remote folder, which is not locked; or
      None.

    Raises:
      LockError: another training is running in the folder.
      OSError: the folder cannot be written.
    """
    if isinstance(folder, RemotePath):
        yield f"{folder} is not locked: make sure that no other training writes to this run folder"
        return
    folder.mkdir(parents=True, exist_ok=True)
    path, own = folder / NAME, _describe_process()
    line = _acquire(path, own, log_line or functools.partial(print, file=sys.stderr, flush=True))
    done = threading.Event()
    threading.Thread(target=_renew, args=(path, done), daemon=True, name="run-lock").start()
    try:
        yield line
    finally:
        done.set()
        if _read(path) == own:
            path.unlink(missing_ok=True)


def holder(folder: pathlib.Path) -> str | None:
    """The process that holds the lock of a run folder, in words; None if it is not locked."""
    record = _read(folder / NAME)
    return None if record is None else _name(record)


def _acquire(
    path: pathlib.Path, own: dict[str, Any], log_line: Callable[[str], None]
) -> str | None:
    """Creates the lock file, or replaces one that is no longer valid."""
    line = None
    while True:
        try:
            _create(path, own)
            return line
        except FileExistsError:
            holder, age = _read(path), _age(path)
            if age is None:  # released in the meantime
                continue
            if holder is None and age < _EMPTY:
                time.sleep(0.1)  # another process has created it and is about to write it
                continue
            who = _name(holder)
            if _counts(holder, age, own):
                if _is_here(holder, own) or _is_renewed(path, who, age, log_line):
                    raise LockError(_refusal(path, holder, who, own)) from None
                continue
            line = f"replaced {path} of {who}, which ended without removing it"
            _take_away(path, holder)


def _create(path: pathlib.Path, own: dict[str, Any]) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(own, file, indent=2)
    except OSError:  # the disk is full
        path.unlink(missing_ok=True)
        raise


def _take_away(path: pathlib.Path, holder: dict[str, Any] | None) -> None:
    """Removes an invalid lock, unless another process has just replaced it."""
    aside = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return
    if _read(aside) != holder and not path.exists():
        aside.rename(path)  # put the lock of the other process back
    aside.unlink(missing_ok=True)


def _counts(holder: dict[str, Any] | None, age: float, own: dict[str, Any]) -> bool:
    """Whether the training that holds a lock may be running."""
    if holder is None:
        return False  # it was not written completely
    if _is_here(holder, own):
        return _alive(holder)
    return age < STALE


def _is_renewed(path: pathlib.Path, who: str, age: float, log_line: Callable[[str], None]) -> bool:
    """Waits for a lock of another host; False if it expires or is removed first."""
    log_line(
        f"{path} of {who} was renewed {max(age, 0):.0f} s ago: waiting for at most "
        f"{STALE - age:.0f} s to see whether that process is still running"
    )
    try:
        renewal = path.stat().st_mtime_ns
        while age < STALE:
            time.sleep(max(0.01, min(_POLL, STALE - age)))
            if path.stat().st_mtime_ns != renewal:
                return True
            current = _age(path)
            if current is None:  # released
                return False
            age = current
    except FileNotFoundError:  # released
        pass
    return False


def _is_here(holder: dict[str, Any] | None, own: dict[str, Any]) -> bool:
    return holder is not None and _place(holder) == _place(own)


def _refusal(
    path: pathlib.Path, holder: dict[str, Any] | None, who: str, own: dict[str, Any]
) -> str:
    renewed = "" if _is_here(holder, own) else f" (it has just renewed {path})"
    return (
        f"{path.parent}: {who} is training in this run folder{renewed}: wait for it to end, stop "
        "it, or use another folder"
    )


def _describe_process() -> dict[str, Any]:
    """Host, process number and start time, which distinguishes processes of the same number."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")  # containers may share a host name, not this
    except OSError:
        namespace = ""
    return {
        "host": socket.gethostname(),
        "namespace": namespace,
        "pid": os.getpid(),
        "process_start": _process_start(os.getpid()),
        "since": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _place(holder: dict[str, Any]) -> tuple[Any, Any]:
    return holder.get("host"), holder.get("namespace")


def _name(holder: dict[str, Any] | None) -> str:
    if holder is None:
        return "an unknown process"
    return f"process {holder.get('pid')} on {holder.get('host')} (since {holder.get('since')})"


def _alive(holder: dict[str, Any]) -> bool:
    """Whether a process of this host is running; a stopped one counts, a zombie does not."""
    pid = holder.get("pid")
    if not isinstance(pid, int) or pid < 1:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is running and belongs to another user
    start = _process_start(pid)
    return start is None or start == holder.get("process_start")


def _process_start(pid: int) -> str | None:
    """The start of a process in clock ticks since boot; "" if it has ended; None without /proc."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may contain spaces
    return "" if fields[0] in "ZX" else fields[19]


def _read(path: pathlib.Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _age(path: pathlib.Path) -> float | None:
    """Seconds since the last renewal by the clock of the file system; None if there is no file."""
    probe = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.now")
    try:
        modified = path.stat().st_mtime
        probe.touch()
        return probe.stat().st_mtime - modified
    except FileNotFoundError:
        return None
    finally:
        probe.unlink(missing_ok=True)


def _renew(path: pathlib.Path, done: threading.Event) -> None:
    while not done.wait(RENEWAL):
        with contextlib.suppress(OSError):
            os.utime(path)
