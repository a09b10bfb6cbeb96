"""If one host fails, all hosts end, and each says why in one line.

A host that fails with an error writes it into the key-value store of the coordination service. A
thread of every other host waits for it, since their main threads may be in a computation that never
ends. A host that is killed writes nothing. If a computation of another host fails because of that,
this host asks all hosts for an answer, and all name those that gave none. If not, the coordination
service notices that the signs of life stop, and `messages` puts that into words.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

import jax

from jaxpose import jax_api
from jaxpose.hosts.messages import AGAIN
from jaxpose.wording import agree

_FAILED = "jaxpose/failed"  # the key of the first failure
_HEARD = "jaxpose/heard/"  # keys of the hosts that know of it
_LEFT = "jaxpose/left/"  # keys of the hosts that ended after it
_LOST = "connection lost: "  # instead of an error, if a host may be lost
_POLL = 1.0  # seconds
_GRACE = 3.0  # seconds for a host to answer, or to end with an error of its own
_LINGER = 10.0  # seconds for which host 0 waits for the others, and for the cleanup of a host
# Errors of computations in which another host does not take part any more. JAX raises them as
# JaxRuntimeError or, from a step that was compiled ahead, as ValueError.
_CONNECTION = re.compile(
    r"(UNKNOWN|UNAVAILABLE|INTERNAL|ABORTED|CANCELLED|DEADLINE_EXCEEDED|FAILED_PRECONDITION): .*"
    r"(?i:gloo|nccl|connect|socket|peer|unavailable|deadline|coordination|barrier)"
)
_parted = threading.Event()
_leaving = threading.Lock()  # only one thread ends the process
_program, _heartbeat = "", 0.0  # set by `watch`

Statuses = Sequence[tuple[type[Exception] | tuple[type[Exception], ...], int]]


class HostsDifferError(ValueError):
    """Two hosts have different settings, code or data; the message names them."""


def several() -> bool:
    """Whether this process is one of several hosts."""
    return jax_api.coordination_client() is not None and jax_api.host_numbers()[1] > 1


def watch(program: str, heartbeat: float) -> None:
    """Starts the thread that ends this host, with one line, when another host fails.

    Args:
      program: the name that starts the line.
      heartbeat: seconds without a sign of life after which the coordination service gives up a
        host.
    """
    global _program, _heartbeat
    _program, _heartbeat = program, heartbeat
    thread = threading.Thread(target=_watch, daemon=True, name="host-failures")
    thread.start()
    atexit.register(part, thread)


def part(thread: threading.Thread | None = None) -> None:
    """Ends the connection once all hosts are done; does nothing on one host."""
    jax.distributed.shutdown()  # waits for the other hosts
    _parted.set()
    if thread is not None:
        thread.join()  # a thread inside the runtime must not outlive the interpreter


def _watch() -> None:
    client = jax_api.coordination_client()
    assert client is not None
    while not _parted.wait(_POLL):
        try:
            record = client.key_value_try_get(_FAILED)
        except jax.errors.JaxRuntimeError as error:
            if "NOT_FOUND" in str(error):
                continue
            return  # the hosts have parted
        host, _, line = record.partition(" ")
        lost = line.startswith(_LOST)
        if int(host) == jax_api.host_numbers()[0] and not lost:
            return
        missing: list[int] = []
        with contextlib.suppress(jax.errors.JaxRuntimeError):
            client.key_value_set(f"{_HEARD}{jax_api.host_numbers()[0]}", "")
            time.sleep(_GRACE)
            if lost:
                missing = missing_hosts(client, _HEARD)
                line = describe_lost(missing, line.removeprefix(_LOST))
        _leave(f"{_program}: {line}", 1, missing)


def missing_hosts(client: Any, folder: str) -> list[int]:
    """The hosts without a key in a folder of the key-value store."""
    there = {int(key.rpartition("/")[2]) for key, _ in client.key_value_dir_get(folder)}
    return [host for host in range(jax_api.host_numbers()[1]) if host not in there]


def describe_lost(missing: Sequence[int], error: str) -> str:
    """The line about hosts that gave no answer; about the error if all answered."""
    if not missing:
        return f"the connection between hosts was lost ({error}); {AGAIN}"
    names = " and ".join(f"host {host}" for host in missing)
    return f"{names} {agree(len(missing), 'has', 'have')} ended or cannot be reached; {AGAIN}"


def run_program(program: str, main: Callable[[], int], statuses: Statuses) -> int:
    """Runs a program on one or several hosts; prints expected errors in one line.

    On several hosts, an error ends this process without further cleanup, and all other hosts.

    Args:
      program: the name that starts the line.
      main: the program; returns the exit status.
      statuses: (errors, exit status) of the expected errors; the first match applies.

    Returns:
      The exit status.
    """
    # Otherwise Python searches all objects of JAX and TensorFlow when it ends, for a second.
    atexit.register(gc.freeze)
    try:
        with announced():
            status = main()
    except BaseException as error:
        known = next((status for kinds, status in statuses if isinstance(error, kinds)), None)
        if several():
            _end(program, error, known)
        if known is None:
            raise
        print(f"{program}: {error}", file=sys.stderr)
        return known
    part()
    return status


@contextlib.contextmanager
def announced() -> Iterator[None]:
    """Tells the other hosts about an error before the cleanup of this one, which may wait for them.

    If the cleanup does not end, it is cut short.
    """
    try:
        yield
    except BaseException as error:
        if several() and not getattr(error, "announced", False):
            error.announced = True  # type: ignore[attr-defined]
            _announce(error)
            if _is_lost_connection(error):
                time.sleep(_heartbeat + _LINGER)  # the thread, or JAX, ends the process sooner
            timer = threading.Timer(_LINGER, _leave, (f"{_program}: {_summary(error)}", 1))
            timer.daemon = True
            timer.start()
        raise


def _is_lost_connection(error: BaseException | None) -> bool:
    """Whether an error, or one that caused it, is that of a lost connection to another host."""
    if error is None:
        return False
    before = None if error.__suppress_context__ else error.__context__
    return bool(_CONNECTION.search(str(error))) or _is_lost_connection(error.__cause__ or before)


def _announce(error: BaseException) -> None:
    host = jax_api.host_numbers()[0]
    line = _summary(error)
    if _is_lost_connection(error):
        line = f"{_LOST}{line}"
    elif not isinstance(error, HostsDifferError):
        line = f"host {host} ended: {line}"
    client = jax_api.coordination_client()
    assert client is not None
    with contextlib.suppress(jax.errors.JaxRuntimeError):  # another host failed first
        client.key_value_set(_FAILED, f"{host} {line}")


def _summary(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, SystemExit):
        return f"terminated (exit status {error.code})"
    text = str(error).split("\n")[0]
    if isinstance(error, (ValueError, OSError)):
        return text
    return f"{type(error).__name__}: {text}"


def _end(program: str, error: BaseException, status: int | None) -> NoReturn:
    if isinstance(error, SystemExit):  # the handler of the signal has printed a line
        _leave("", error.code if isinstance(error.code, int) else 1)
    if isinstance(error, KeyboardInterrupt):
        _leave(f"{program}: interrupted", 130)
    if status is None:
        traceback.print_exception(error)
        _leave("", 1)
    _leave(f"{program}: {error}", status)


def _leave(line: str, status: int, lost: Sequence[int] = ()) -> NoReturn:
    """Ends the process. Host 0 waits for the others: the coordination service ends with it."""
    with _leaving:
        if line:
            print(line, file=sys.stderr)
        sys.stderr.flush()
        sys.stdout.flush()
        client = jax_api.coordination_client()
        assert client is not None
        with contextlib.suppress(Exception):
            if jax_api.host_numbers()[0] > 0:
                client.key_value_set(f"{_LEFT}{jax_api.host_numbers()[0]}", "")
            else:
                _wait_for_the_others(client, {0, *lost})
        os._exit(status)


def _wait_for_the_others(client: Any, without: set[int]) -> None:
    end = time.monotonic() + _LINGER
    while time.monotonic() < end and set(missing_hosts(client, _LEFT)) - without:
        time.sleep(0.1)
