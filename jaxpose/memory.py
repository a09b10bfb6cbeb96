"""What the C library does with memory that is free again."""

import ctypes
import os


def keep_freed() -> None:
    """On Linux with glibc, keeps freed memory in the process instead of unmapping it.

    XLA's CPU client allocates buffers anew each time; above a threshold glibc maps and unmaps them,
    and the page faults cost a third of the time of a training step and two thirds of merging the
    maps of a bottom-up network. Does nothing where the C library has no `mallopt`, or where the
    user has set MALLOC_ variables.
    """
    if any(name.startswith("MALLOC_") for name in os.environ):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    trim_threshold, mmap_max, arena_max = -1, -4, -8  # names of malloc.h
    mallopt(trim_threshold, -1)
    mallopt(mmap_max, 0)
    # Each arena keeps what was freed in it, so few; but the threads of XLA's compiler wait for each
    # other where they share one (46 s instead of 32 for a step of WLitePose-S on two cores).
    mallopt(arena_max, 1 + (os.cpu_count() or 1))
