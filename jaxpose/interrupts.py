"""Ends an interrupted program with one line instead of a traceback."""

import signal
import sys
from types import FrameType, TracebackType

TERMINATED = 128 + signal.SIGTERM  # exit status, as in shells


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

    def terminate(_number: int, _frame: FrameType | None) -> None:
        print(f"{program}: terminated", file=sys.stderr)
        sys.exit(TERMINATED)

    sys.excepthook = show
    signal.signal(signal.SIGTERM, terminate)
