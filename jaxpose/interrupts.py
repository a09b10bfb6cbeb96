"""Ends an interrupted program with one line instead of a traceback."""

import _thread
import os
import signal
import sys
import time
from types import FrameType, TracebackType

TERMINATED = 128 + signal.SIGTERM  # exit status, as in shells
_AGAIN = 0.5  # seconds


def report_interrupts(program: str) -> None:
    """Makes Ctrl-C and SIGTERM end the program with one line, after its cleanup.

    Call it before slow imports.

    Args:
      program: the name that starts the line.
    """

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            print(f"{program}: interrupted", file=sys.stderr)
        else:
            sys.__excepthook__(kind, error, trace)

    terminated = False

    def terminate(_number: int, _frame: FrameType | None) -> None:
        nonlocal terminated
        if not terminated:  # it may be sent again, see below
            print(f"{program}: terminated", file=sys.stderr)
        terminated = True
        sys.exit(TERMINATED)

    sys.excepthook = show
    signal.signal(signal.SIGTERM, terminate)
    _repeat_ignored()


def _repeat_ignored() -> None:
    """Sends a signal again if Python ignores the exception that it raised.

    That happens if the signal comes during a callback, e.g. the one of JAX after each garbage
    collection, or during a destructor. Python prints the traceback and goes on.
    """
    before = sys.unraisablehook

    def hook(unraisable: "sys.UnraisableHookArgs", /) -> None:
        number = _signal_of(unraisable.exc_value)
        if number is None:
            before(unraisable)
            return
        # From a thread and later, because an exception in this hook would be ignored, too. Starting
        # a threading.Timer would wait here for the thread.
        _thread.start_new_thread(_send_later, (number,))

    sys.unraisablehook = hook


def _send_later(number: int) -> None:
    time.sleep(_AGAIN)
    os.kill(os.getpid(), number)


def _signal_of(error: BaseException | None) -> int | None:
    if isinstance(error, KeyboardInterrupt):
        return signal.SIGINT
    if isinstance(error, SystemExit) and error.code == TERMINATED:
        return signal.SIGTERM
    return None
