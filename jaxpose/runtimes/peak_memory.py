"""The memory that one exported file needs, measured in a process of its own.

The peak of a process that holds several networks says nothing about one of them. So a fresh process
imports the runtime, notes its memory, loads the file, runs it a few times, and the difference of
the peak is the file's: `python -m jaxpose.runtimes.peak_memory FILE`.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np

from jaxpose.runtimes import RUNTIMES, kind, open_file, require

RUNS = 5  # of the network in the process
_RESET = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


def own_memory_mb(path: str | os.PathLike, threads: int, batch: int = 1) -> float:
    """Peak memory that loading and running a file adds to its runtime, in MB.

    Args:
      path: an exported file.
      threads: of the runtime.
      batch: images per call.

    Raises:
      ValueError: the process failed; the message has its last line.
    """
    command = [sys.executable, "-m", __name__, os.fspath(path)]
    command += ["--threads", str(threads), "--batch", str(batch)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise ValueError(f"{path}: its memory could not be measured: {lines[-1]}")
    return float(done.stdout.split()[-1])


def measure(path: str | os.PathLike, threads: int, batch: int) -> float:
    """As `own_memory_mb`, in this process, which must have loaded no network before."""
    require(RUNTIMES[kind(path)].package)
    before = _start_peak()
    file = open_file(path, threads=threads)
    image = np.zeros((batch, *file.metadata["input_size"], 3), np.float32)
    for _ in range(RUNS):
        file.run(image)
    return max(peak_mb() - before, 0.0)


def _start_peak() -> float:
    """Memory of this process in MB; the peak counts from here where the system can do that."""
    try:
        _RESET.write_text("5")
    except OSError:  # not Linux: the peak of the imports is the start
        pass
    return peak_mb()


def peak_mb() -> float:
    """Peak resident memory of this process so far, in MB."""
    if _STATUS.is_file():  # `ru_maxrss` of a new process begins with the size of its parent
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if platform.system() == "Darwin" else 2**10)


def main() -> None:
    """Prints the memory of the file on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    args = parser.parse_args()
    print(measure(args.file, args.threads, args.batch))


if __name__ == "__main__":
    main()
