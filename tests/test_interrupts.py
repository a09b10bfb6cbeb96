"""Signals end a program with one line, wherever they come."""

import signal
import subprocess
import sys

import pytest

# The signal comes within a callback of the garbage collector, once or three times.
IN_A_CALLBACK = """
import gc, os, sys, time
from jaxpose.interrupts import report_interrupts

report_interrupts("program")
number, left = int(sys.argv[1]), int(sys.argv[2])

def callback(phase, info):
    global left
    if phase == "start" and left:
        left -= 1
        os.kill(os.getpid(), number)
        for _ in range(1000):
            pass

gc.callbacks.append(callback)
{body}
print("went on to the end")
"""
SIGNALS = pytest.mark.parametrize(
    ("number", "status", "line"),
    [
        (signal.SIGTERM, 143, "program: terminated"),
        (signal.SIGINT, -signal.SIGINT, "program: interrupted"),
    ],
    ids=["SIGTERM", "SIGINT"],
)


def run(body, repository, number, times=1):
    words = [sys.executable, "-c", IN_A_CALLBACK.replace("{body}", body)]
    return subprocess.run(
        [*words, str(int(number)), str(times)], capture_output=True, text=True, cwd=repository,
        timeout=60, check=False,
        # A shell starts jobs in the background with SIGINT ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


@SIGNALS
def test_a_signal_in_a_callback_is_not_lost(number, status, line, repository):
    done = run("gc.collect()\ntime.sleep(50)", repository, number)
    assert (done.returncode, done.stderr, done.stdout) == (status, f"{line}\n", "")


@SIGNALS
def test_a_signal_in_several_callbacks_is_not_lost(number, status, line, repository):
    body = "while True:\n    gc.collect()\n    time.sleep(0.01)"
    done = run(body, repository, number, times=3)
    assert (done.returncode, done.stderr, done.stdout) == (status, f"{line}\n", "")


@SIGNALS
def test_a_signal_elsewhere(number, status, line, repository):
    done = run("os.kill(os.getpid(), number)\ntime.sleep(50)", repository, number, times=0)
    assert (done.returncode, done.stderr, done.stdout) == (status, f"{line}\n", "")


def test_other_errors_of_callbacks_are_still_printed(repository):
    body = "gc.callbacks.append(lambda *_: [][0])\ngc.collect()"
    done = run(body, repository, signal.SIGTERM, times=0)
    assert done.returncode == 0 and done.stdout == "went on to the end\n"
    assert "IndexError" in done.stderr
