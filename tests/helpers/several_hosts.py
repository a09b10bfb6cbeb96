"""Runs train.py or eval.py on several hosts: processes of this machine that use Gloo."""

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import threading
import time

from tests.helpers import tiny_runs

TIMEOUT = 240.0


def free_address() -> str:
    """An address that a coordinator can use."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return f"localhost:{probe.getsockname()[1]}"


@dataclasses.dataclass
class Host:
    """One process and what it has printed so far, standard output and standard error together."""

    process: subprocess.Popen
    lines: list[tuple[float, str]] = dataclasses.field(default_factory=list)

    def __post_init__(self):
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append((time.monotonic(), line.rstrip("\n")))

    @property
    def text(self) -> str:
        return "\n".join(line for _, line in self.lines)

    def errors(self, program: str = "train.py") -> list[str]:
        """The lines that name the program."""
        return [line for _, line in self.lines if line.startswith(f"{program}: ")]

    def wait_for(self, text: str, timeout: float = TIMEOUT) -> None:
        """Waits until a line contains the text."""
        end = time.monotonic() + timeout
        while text not in self.text:
            assert time.monotonic() < end and self.process.poll() is None, self.text[-3000:]
            time.sleep(0.05)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, timeout: float = TIMEOUT) -> int:
        """Waits for the process and the end of its output; returns the exit status."""
        status = self.process.wait(timeout)
        self._reader.join(20)
        return status


@contextlib.contextmanager
def started(*per_host, program: str = "train.py", devices: int = 1, **options):
    """Starts one process per list of arguments; ends all that are left.

    Args:
      *per_host: arguments of each host; their settings `distributed` replace those made here.
      program: train.py or eval.py.
      devices: simulated devices of each host.
      **options: settings `distributed`; also for tests of wrong ones.
    """
    address = free_address()
    hosts = []
    try:
        for number, arguments in enumerate(per_host):
            settings = {
                "initialize": True, "coordinator": address, "hosts": len(per_host),
                "host_id": number, "timeout": 60, "heartbeat": 10,
            } | options  # fmt: skip
            flags = [f"--config.distributed.{key}={value}" for key, value in settings.items()]
            given = {argument.partition("=")[0] for argument in arguments}
            flags = [flag for flag in flags if flag.partition("=")[0] not in given]
            hosts.append(Host(subprocess.Popen(
                tiny_runs.command(program, *arguments, *flags), cwd=tiny_runs.ROOT,
                env=tiny_runs.environment(devices), stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, start_new_session=True,
            )))  # fmt: skip
        yield hosts
    finally:
        for host in hosts:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(host.process.pid, signal.SIGKILL)
            host.process.wait()
