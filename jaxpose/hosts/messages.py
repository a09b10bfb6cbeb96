"""Filters standard error on several hosts: one line instead of the messages of JAX's C++ runtime.

If a host ends or cannot be reached, the coordination service of JAX ends the process from a thread
of its own, with a stack trace of C++ on standard error. Python cannot catch this. Therefore
standard error is a pipe to a process that runs this file. It outlives the main process, passes all
other text on, and writes one line that says which host ended and what to do.

The process imports only the standard library, and `start` runs it by its path.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator

_SERVICE = re.compile(
    r"[EWIF]\d{4} .*\b(coordination_service|preemption_sync_manager|coordination_client|add_port)"
)
# Lines that belong to a message of the coordination service.
_CONTINUED = re.compile(r"\d+$|$|The tasks have crashed|Additional GRPC error|:UNKNOWN:|RPC: /")
_FATAL = re.compile(r"F\d{4} .*client\.h.*JAX distributed service.*absl::Status: (.*)")
_TRACE = "*** Check failure stack trace"
AGAIN = "run the same command again on every host"
_LONGEST = 200  # characters of an unknown message that are shown


@dataclasses.dataclass(frozen=True)
class Setup:
    """What the messages mention.

    Attributes:
      program: the name that starts each line.
      host: number of this host, or None if it is detected later.
      hosts: number of hosts, or 0 if it is detected later.
      coordinator: HOST:PORT, or "" if it is detected later.
      timeout: seconds to wait for the other hosts at the start.
      heartbeat: seconds without a sign of life after which a host counts as lost.
    """

    program: str
    host: int | None
    hosts: int
    coordinator: str
    timeout: int
    heartbeat: int


def start(setup: Setup) -> None:
    """Sends standard error, also that of C++, through a process that runs `filtered`."""
    sys.stderr.flush()
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, json.dumps(dataclasses.asdict(setup))],
        stdin=subprocess.PIPE,
        stdout=2,
    )
    assert process.stdin is not None
    os.dup2(process.stdin.fileno(), 2)  # inheritable, as standard error must be
    process.stdin.close()
    # It ends when the last process closes its standard error; nobody waits for it.
    process.returncode = 0


def filtered(lines: Iterable[str], setup: Setup) -> Iterator[str]:
    """The lines without messages of the coordination service; a fatal one becomes one line.

    If this process has already written a line of its own, which starts with the name of the
    program, no line is added: the cause is known.
    """
    fatal: list[str] | None = None
    explained = inside = False
    for line in lines:
        if fatal is not None:
            if line.startswith(_TRACE):
                break  # the process ends
            fatal.append(line)
        elif match := _FATAL.match(line):
            fatal = [match[1]]
        elif _SERVICE.match(line):
            inside = True
        elif not (inside and _CONTINUED.match(line)):
            inside = False
            explained = explained or line.startswith(f"{setup.program}: ")
            yield line
    if fatal is not None and not explained:
        yield f"{setup.program}: {explain(fatal, setup)}\n"


def explain(fatal: list[str], setup: Setup) -> str:
    """What a fatal message of the coordination service means, in one line.

    Args:
      fatal: the lines of the message, from its status on.
      setup: settings of the hosts.
    """
    text = "\n".join(line.rstrip("\n") for line in fatal)
    if "RegisterTask" in text:
        return _not_connected(text, setup)
    if "stopped sending heartbeats" in text:
        lost = [int(line) for line in text.split("\n") if line.strip().isdecimal()]
        hosts = " and ".join(f"host {number}" for number in lost) or "a host"
        return (
            f"{hosts} {'have' if len(lost) > 1 else 'has'} ended or cannot be reached: no sign of "
            f"life for {setup.heartbeat} s; {AGAIN}"
        )
    if "different incarnation" in text or "already in error" in text:
        number = re.search(r"\b(\d+) unexpectedly tried", text)
        host = number[1] if number else "N"
        return (
            f"a second process joined as host {host}: each host needs a different "
            f"config.distributed.host_id, and if one host restarts, all must; {AGAIN}"
        )
    if "Failed to send RPC" in text or "Socket closed" in text:
        return f"host 0, the coordinator, has ended or cannot be reached; {AGAIN}"
    first = text.split("\n")[0].strip()
    return f"the hosts lost their connection ({first[:_LONGEST]}); {AGAIN}"


def _not_connected(text: str, setup: Setup) -> str:
    if match := re.search(r"Unexpected task registered with task=(\d+)", text):
        return (
            f"this is host {match[1]}, but host 0 expects fewer hosts: give the same "
            "config.distributed.hosts on all hosts, and a host_id from 0 to hosts - 1"
        )
    if "more recent barrier call" in text:
        return (
            "two processes joined with the same number: each host needs a different "
            "config.distributed.host_id, from 0 to hosts - 1"
        )
    hosts = f"{setup.hosts} hosts" if setup.hosts else "hosts"
    if setup.host == 0:
        return (
            f"not all {hosts} connected to {setup.coordinator or 'host 0'} within "
            f"{setup.timeout} s: start the same command on every host, and allow connections to "
            "this address"
        )
    return (
        f"the coordinator {setup.coordinator or '(host 0)'} did not start the {hosts} within "
        f"{setup.timeout} s: check that the same command runs on every host, that each has a "
        "different host_id, and that this address is that of host 0"
    )


def main() -> None:
    """Filters standard input to standard output; ends when the input is closed.

    It goes on reading when nobody reads its output any more, e.g. after a lost SSH connection: else
    the next line that the main process writes would end the training.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the main process may still have to say something
    setup = Setup(**json.loads(sys.argv[1]))
    lines = (line.decode(errors="replace") for line in iter(sys.stdin.buffer.readline, b""))
    for line in filtered(lines, setup):
        try:
            sys.stdout.write(line)
            sys.stdout.flush()
        except OSError:  # a closed pipe or terminal
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    for _ in iter(sys.stdin.buffer.readline, b""):  # the rest of the stack trace
        pass


if __name__ == "__main__":
    main()
