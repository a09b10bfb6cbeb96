"""Settings of the C library's allocator, and of the thread that runs programs on CPU."""

import ctypes
import os
import sys


def keep_freed() -> None:
    """Keeps freed memory in the process instead of unmapping it, on Linux with glibc.

    XLA's CPU client allocates new buffers for every call. glibc maps and unmaps large buffers, and
    the page faults take a third of the time of a training step, and two thirds of the time to merge
    the heatmaps of a bottom-up network. Does nothing if the C library has no `mallopt`, or if the
    user has set a MALLOC_ variable. Call it before anything uses JAX's devices.
    """
    _run_where_called()
    if any(name.startswith("MALLOC_") for name in os.environ):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    trim_threshold, mmap_max, arena_max = -1, -4, -8  # constants of malloc.h
    mallopt(trim_threshold, -1)
    mallopt(mmap_max, 0)
    # An arena for every thread. If threads must share arenas, some share that of the main thread,
    # and their small blocks split the large buffers of the last step: on a busy machine, the memory
    # of a training of HWL grew by 70 MB per step, up to 20 GB. Threads of XLA's compiler that share
    # an arena also wait for each other (46 s instead of 32 to compile a step of WLitePose-S).
    mallopt(arena_max, 4096)


def _run_where_called() -> None:
    """Makes the CPU client run programs in the calling thread, usually the main one.

    In a separate thread, large buffers are mapped and unmapped each time, which takes a sixth of a
    training step of HWL and a quarter more memory. JAX_CPU_ENABLE_ASYNC_DISPATCH has precedence.
    """
    name = "jax_cpu_enable_async_dispatch"
    if name.upper() in os.environ:
        return
    if "jax" in sys.modules:
        sys.modules["jax"].config.update(name, False)
    else:
        os.environ[name.upper()] = "false"
