"""Stopping a run by a signal, after the same step on all hosts."""

import signal
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding

from jaxpose.mesh import EVERYWHERE, shard_batch


class StopSignal:
    """Context manager that records SIGTERM or SIGINT, so that the run can save and stop.

    A second signal ends the process immediately. On several hosts, the devices add up the hosts
    that received a signal, so that all hosts stop after the same step, even if only one received
    it. Each sum is read one step late, so no host waits for it.

    Attributes:
      signal: number of the signal, SIGTERM if only another host received one; or None.

    Args:
      mesh: the mesh over the devices of all hosts.
    """

    def __init__(self, mesh: Mesh):
        self.signal: int | None = None
        self._received_here: int | None = None
        self._before: dict[int, Any] = {}
        self._sum: jax.Array | None = None
        if jax.process_count() > 1:
            devices = jax.local_device_count()
            self._flags = [
                shard_batch({"flag": np.full(devices, value, np.int32)}, mesh)["flag"]
                for value in (0, 1)
            ]
            self._add = jax.jit(jnp.sum, out_shardings=NamedSharding(mesh, EVERYWHERE))

    def __enter__(self) -> "StopSignal":
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: Any) -> None:
        if self.signal is not None and self._received_here is None:
            return  # all hosts may get it; here it may come while the run is saved
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, _frame: Any) -> None:
        self._received_here = number
        signal.signal(number, signal.SIG_DFL)

    def requested(self) -> bool:
        """Whether to stop after this step; call it once per step. The same on every host."""
        if jax.process_count() == 1:
            self.signal = self._received_here
            return self.signal is not None
        before, self._sum = self._sum, self._add(self._flags[self._received_here is not None])
        if before is None or not int(before):
            return False
        self.signal = self._received_here or signal.SIGTERM
        return True
