"""Keeps the output free of tracebacks of reads that end after one of them has failed.

Orbax reads all arrays of a checkpoint at the same time, in an event loop. When one cannot be read,
it closes the loop at once, and each read that ends later fails to report to it. Python prints such
errors, a traceback per array, through `sys.unraisablehook`. The first error is raised as usual.
"""

import sys
from typing import Any


def ignore_late_reads() -> None:
    """Installs the filter, once; other errors are passed to the hook that was there before."""
    if getattr(sys.unraisablehook, "ignores_late_reads", False):
        return
    before = sys.unraisablehook

    def hook(unraisable: "sys.UnraisableHookArgs", /) -> Any:
        if not _is_late_read(unraisable):
            before(unraisable)

    hook.ignores_late_reads = True  # type: ignore[attr-defined]
    sys.unraisablehook = hook


def _is_late_read(unraisable: "sys.UnraisableHookArgs") -> bool:
    trace = unraisable.exc_traceback
    return (
        isinstance(unraisable.exc_value, RuntimeError)
        and str(unraisable.exc_value) == "Event loop is closed"
        and trace is not None
        and trace.tb_frame.f_code.co_name == "call_soon_threadsafe"
    )
