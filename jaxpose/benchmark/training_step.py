"""The training step of train.py as a contestant: compiled, run once, and ready to be timed."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass

import jax

from jaxpose import jax_api, ops
from jaxpose.benchmark.workload import Workload
from jaxpose.mesh import make_mesh, replicate, shard_batch
from jaxpose.plan.compilation import memory_figures, needed_memory
from jaxpose.plan.utilization import peak_bandwidth, peak_flops, step_bytes, step_flops


@dataclass
class Contestant:
    """A training step to time.

    Attributes:
      facts: cells of its row; a `note` other than None says why it cannot run.
      call: runs `steps` steps, waits for the last, and returns its loss.
      steps: number of steps per call.
    """

    facts: dict
    call: Callable[[], float]
    steps: int = 1

    @property
    def runs(self) -> bool:
        """Whether it can be timed."""
        return self.facts["note"] is None


def jax_step(
    workload: Workload, implementation: str, *, cached: bool = True, steps: int = 1
) -> Contestant:
    """The step of train.py on the first device.

    Args:
      workload: what to train.
      implementation: of the named operators.
      cached: whether to compile a second time, with a filled compilation cache.
      steps: number of steps per call.
    """

    def first_step():
        """Compiles and runs the first step: (seconds of all, of the compilation; the rest)."""
        start = time.perf_counter()
        lowered, state, data = _lower(workload, implementation)
        before = time.perf_counter()
        step = lowered.compile()
        compilation = time.perf_counter() - before
        state, metrics = step(state, data)
        loss = float(jax.block_until_ready((state, metrics))[1]["loss"])
        return time.perf_counter() - start, compilation, lowered, step, state, data, loss

    warm = None
    with tempfile.TemporaryDirectory() as folder, _cache(folder):
        cold, compilation, lowered, step, state, batch, first_loss = first_step()
        if cached:
            del lowered, step, state, batch
            jax.clear_caches()
            warm, _, lowered, step, state, batch, _ = first_step()
    held = [state]
    del state

    def call() -> float:
        for _ in range(steps):
            held[0], metrics = step(held[0], batch)
        return float(jax.block_until_ready((held[0], metrics))[1]["loss"])

    memory = memory_figures(step)
    facts = {
        "step": f"jax {jax.__version__} ({implementation})",
        "first_step_s": cold,
        "compile_s": compilation,
        "cached_first_s": warm,
        "memory_mb": needed_memory(memory) / 2**20 if memory else None,
        "first_loss": first_loss,
        "note": None,
    }
    kind = jax.devices()[0].device_kind
    if peak_flops(kind):  # elsewhere, operators are not lowered to convolutions
        facts["flops"] = step_flops(lowered)
    if peak_bandwidth(kind):
        facts["bytes"] = step_bytes(step)
    return Contestant(facts, call, steps)


def _lower(workload: Workload, implementation: str):
    """The lowered step, a fresh state and the batch, on the first device."""
    setup = workload.setup
    mesh = make_mesh(jax.devices()[:1])
    with ops.implementation(implementation):
        state = replicate(setup.create_state(setup.config.seed), mesh)
        data = shard_batch({key: workload.batch[key] for key in setup.objective.inputs}, mesh)
        return setup.make_step(mesh).lower(state, data), state, data


class _cache:
    """A context in which compiled programs are cached in `folder` only."""

    def __init__(self, folder: str):
        self._values = {
            "jax_compilation_cache_dir": folder,
            "jax_persistent_cache_min_compile_time_secs": 0,
        }

    def __enter__(self) -> None:
        self._before = {key: getattr(jax.config, key) for key in self._values}
        self._set(self._values)

    def __exit__(self, *_) -> None:
        self._set(self._before)

    def _set(self, values: dict) -> None:
        for key, value in values.items():
            jax.config.update(key, value)
        jax_api.forget_compilation_cache()
        jax.clear_caches()
