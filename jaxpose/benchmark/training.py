"""`jaxpose benchmark train`: the training step of train.py, alone or compared with others.

`--vs lax` adds the same step with XLA's native convolutions instead of the fast implementation.
`--vs torch` adds the exported network (batch norms kept) trained by PyTorch: eager, channels_last,
Adam, the same loss and targets. All steps are timed in turn in one process.

A run folder is timed with the loss of the run. A model is timed with the default loss of its task:
weighted heatmaps for topdown, the mean squared error of both outputs with the tag losses for
associative_embedding, squared errors of heatmaps and fields for part_affinity.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass

import jax

from jaxpose import jax_api, ops
from jaxpose.benchmark import report
from jaxpose.benchmark.workload import Workload, make_workload
from jaxpose.mesh import make_mesh, replicate, shard_batch
from jaxpose.models.sizes import parse_size
from jaxpose.runtimes import require
from jaxpose.runtimes.peak_memory import peak_mb
from jaxpose.training.schedule import make_optimizer, make_schedule
from jaxpose.training.state import create_state
from jaxpose.training.step import make_train_step

RIVALS = ("lax", "torch")
COLUMNS = (
    "step first_step_s cached_first_s runs examples_per_s min_ms mean_ms median_ms p90_ms std_ms "
    "program_mb"
).split()


@dataclass
class Contestant:
    """A training step to time; `call` runs one step and returns its loss."""

    facts: dict
    call: Callable[[], float]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `jaxpose benchmark train`."""
    parser.add_argument(
        "model",
        metavar="MODEL|RUN",
        help="a name from `jaxpose models`, package.module:ClassName, or a run folder",
    )
    parser.add_argument(
        "--size", metavar="HxW", help="input size (default: that of the model or run)"
    )
    parser.add_argument(
        "--task", metavar="NAME", help="task of a network that does not declare one, e.g. topdown"
    )
    parser.add_argument(
        "--batch", type=int, default=8, help="people (bottom-up: images) per step (default: 8)"
    )
    parser.add_argument(
        "--vs",
        action="append",
        default=[],
        choices=RIVALS,
        help="also measure XLA's native convolutions (lax) or PyTorch (torch); may be repeated",
    )
    report.add_timing_arguments(parser, runs=10, seconds=5.0)


def run(args: argparse.Namespace) -> int:
    """Measures and prints one row per step, the ratios, and the conditions."""
    if args.batch < 1 or args.runs < 1:
        raise ValueError("--batch and --runs must be at least 1")
    size = parse_size(args.size) if args.size else None
    workload = make_workload(args.model, size, args.batch, args.task)
    load = report.load()
    rows = measure(workload, vs=args.vs, runs=args.runs, seconds=args.seconds)
    terms = describe_terms(workload) | {"load average before": load}
    ratios = [
        f"{row['step']} takes {row['ratio']:.2f} times as long as {rows[0]['step']} (medians)"
        for row in rows[1:]
    ]
    report.publish(rows, COLUMNS, terms, args.json, notes="\n".join(ratios))
    return 0


def describe_terms(workload: Workload) -> dict[str, str | float]:
    """The conditions of the measurement; call this after measuring."""
    batch, *_, keypoints, _ = workload.batch["keypoints"].shape
    height, width = workload.size
    dtype = jax.numpy.dtype(getattr(workload.model, "dtype", "float32")).name
    return {
        "model": f"{workload.name}, {height}x{width}, {keypoints} keypoints, batch {batch}, "
        f"{dtype}, Adam",
        "loss": workload.loss,
        "host": f"{report.host_cpu()}; JAX on {jax.devices()[0].device_kind}",
        "times": "wall-clock ms per step, all in turn in one process",
        "first step": "model, weights, tracing, compilation and one step, with an empty and with a "
        "filled compilation cache; imports not included",
        "jax": "the step of train.py, including normalization of uint8 images and targets",
        "torch": "the exported network, eager, channels_last, without normalization and targets",
        "not included": "reading and decoding image files",
        "program MB": "arguments and temporaries of the step in XLA",
        "peak RSS MB": round(peak_mb(), 1),
        "peak RSS": "of the one process that holds all candidates",
    }


def measure(
    workload: Workload,
    *,
    vs: list[str] | tuple[str, ...] = (),
    runs: int = 10,
    seconds: float = 5.0,
) -> list[dict]:
    """One row for the training step and one per rival in `vs`; `ratio` is relative to the first."""
    batch_size, (height, width) = len(workload.batch["image"]), workload.size
    report.progress(f"compiling the step of {workload.name}, {height}x{width}, batch {batch_size}")
    contestants = [jax_step(workload, ops.get_implementation())]
    if "lax" in vs:
        report.progress("compiling it with XLA's native convolutions")
        contestants.append(jax_step(workload, "lax", cached=False))
    if "torch" in vs:
        report.progress("building the torch module")
        contestants.append(torch_step(workload))
    calls = [contestant.call for contestant in contestants]
    report.progress("timing all steps in turn")
    times = report.in_turns(calls, warmup=1, runs=runs, seconds=seconds)
    rows = [
        contestant.facts | {"runs": len(t)} | report.statistics(t)
        for contestant, t in zip(contestants, times, strict=True)
    ]
    for row in rows:
        row["examples_per_s"] = batch_size / row["median_ms"] * 1e3
        row["ratio"] = row["median_ms"] / rows[0]["median_ms"]
    return rows


def jax_step(workload: Workload, implementation: str, *, cached: bool = True) -> Contestant:
    """The step of train.py on one device.

    Args:
      workload: what to train.
      implementation: of the named operators.
      cached: whether to compile a second time, with a filled compilation cache.
    """

    def first_step():
        """Compiles and runs the first step: (seconds, step, state, batch, loss)."""
        start = time.perf_counter()
        step, state, data = _compile(workload, implementation)
        state, metrics = step(state, data)
        loss = float(jax.block_until_ready((state, metrics))[1]["loss"])
        return time.perf_counter() - start, step, state, data, loss

    warm = None
    with tempfile.TemporaryDirectory() as folder, _cache(folder):
        cold, step, state, device_batch, first_loss = first_step()
        if cached:
            del step, state, device_batch
            jax.clear_caches()
            warm, step, state, device_batch, _ = first_step()
    held = [state]

    def call() -> float:
        held[0], metrics = step(held[0], device_batch)
        return float(jax.block_until_ready((held[0], metrics))[1]["loss"])

    memory = step.memory_analysis()
    program = memory and (memory.argument_size_in_bytes + memory.temp_size_in_bytes) / 2**20
    facts = {
        "step": f"jax {jax.__version__} ({implementation})",
        "first_step_s": cold,
        "cached_first_s": warm,
        "program_mb": program,
        "first_loss": first_loss,
    }
    return Contestant(facts, call)


def _compile(workload: Workload, implementation: str):
    """Compiled step, fresh state and batch, on the first device."""
    config, model = workload.config, workload.model
    schedule = make_schedule(config.schedule, config.optimizer.learning_rate, 1.0, 1)
    optimizer = make_optimizer(config.optimizer, schedule)
    objective = workload.task.make_objective(model, config)
    mesh = make_mesh(jax.devices()[:1])
    with ops.implementation(implementation):
        state = create_state(
            model, optimizer, workload.size, ema=False, seed=0, parts=objective.terms
        )
        state = replicate(state, mesh)
        data = shard_batch({key: workload.batch[key] for key in objective.inputs}, mesh)
        step = make_train_step(objective.loss, optimizer, schedule, mesh, log_every=1)
        return step.lower(state, data).compile(), state, data


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


def torch_step(workload: Workload) -> Contestant:
    """The training step of the exported network: eager, channels_last, Adam, same loss."""
    torch = require("torch")
    from jaxpose.benchmark import torch_training

    call = torch_training.make_step(workload)
    start = time.perf_counter()
    first_loss = call()
    facts = {
        "step": f"torch {torch.__version__} (eager, channels_last)",
        "first_step_s": time.perf_counter() - start,
        "cached_first_s": None,
        "program_mb": None,
        "first_loss": first_loss,
    }
    return Contestant(facts, call)
