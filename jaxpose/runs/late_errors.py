"""Keeps the output free of tracebacks of reads and writes that end after one of them has failed.

Orbax reads or writes all arrays of a checkpoint at the same time, in an event loop. When one fails,
it closes the loop at once, and each that ends later fails to report to it. Python prints such
errors, a traceback per array, through `sys.unraisablehook`. The first error is raised as usual.
"""

import sys
from typing import Any

from absl import logging


def ignore_late_errors() -> None:
    """Installs the filter, once; other errors are passed to the hook that was there before.

    With --verbosity=0 or higher, all are printed.
    """
    if getattr(sys.unraisablehook, "ignores_late_errors", False):
        return
    before = sys.unraisablehook

    def hook(unraisable: "sys.UnraisableHookArgs", /) -> Any:
        if not _is_late(unraisable) or logging.get_verbosity() >= logging.INFO:
            before(unraisable)

    hook.ignores_late_errors = True  # type: ignore[attr-defined]
    sys.unraisablehook = hook


def _is_late(unraisable: "sys.UnraisableHookArgs") -> bool:
    trace = unraisable.exc_traceback
    return (
        isinstance(unraisable.exc_value, RuntimeError)
        and str(unraisable.exc_value) == "Event loop is closed"
        and trace is not None
        and trace.tb_frame.f_code.co_name == "call_soon_threadsafe"
    )
