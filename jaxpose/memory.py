"""What the C library does with memory that is free again, and which thread runs programs on CPU."""

import ctypes
import os
import sys


def keep_freed() -> None:
    """On Linux with glibc, keeps freed memory in the process instead of unmapping it.

    XLA's CPU client allocates buffers anew each time; above a threshold glibc maps and unmaps them,
    and the page faults cost a third of the time of a training step and two thirds of merging the
    maps of a bottom-up network. Does nothing where the C library has no `mallopt`, or where the
    user has set MALLOC_ variables. Call it before anything touches JAX's devices.
    """
    _run_where_called()
    if any(name.startswith("MALLOC_") for name in os.environ):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    trim_threshold, mmap_max, arena_max = -1, -4, -8  # names of malloc.h
    mallopt(trim_threshold, -1)
    mallopt(mmap_max, 0)
    # Each arena keeps what was freed in it, and only the main thread's keeps blocks above 64 MB, so
    # few; but the threads of XLA's compiler wait for each other where they share one (46 s instead
    # of 32 for a step of WLitePose-S on two cores).
    mallopt(arena_max, 1 + (os.cpu_count() or 1))


def _run_where_called() -> None:
    """Lets the CPU client run programs in the thread that calls them, the main one.

    In a thread of its own, large buffers come from mappings that are undone each time: a sixth of a
    training step of HWL, and a quarter more memory. JAX_CPU_ENABLE_ASYNC_DISPATCH has precedence.
    """
    name = "jax_cpu_enable_async_dispatch"
    if name.upper() in os.environ:
        return
    if "jax" in sys.modules:
        sys.modules["jax"].config.update(name, False)
    else:
        os.environ[name.upper()] = "false"
