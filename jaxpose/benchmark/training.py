"""`jaxpose benchmark train`: the training step of train.py, alone or compared with others.

`--vs lax` adds the same step with XLA's native convolutions instead of the fast implementation.
`--vs torch` adds the exported network (batch norms kept) trained by PyTorch: eager, channels_last,
Adam, the same loss and targets, AMP with bfloat16; `--vs torch-compile` the same by torch.compile.
The steps of a network are timed in turn in one process. `--input` also trains with train.py and
tells how long its steps wait for their input.

A run folder or recipe is timed with its own settings, a model with the default loss of its task,
which the conditions below the table name.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import jax

from jaxpose.benchmark import devices, input_wait, report
from jaxpose.benchmark.training_rows import RIVALS, measure, steps_per_call
from jaxpose.benchmark.workload import PAPERS, Workload, make_workload, paper_recipes
from jaxpose.models.sizes import parse_size
from jaxpose.runtimes.peak_memory import peak_mb
from jaxpose.wording import quantity

COLUMNS = (
    "network step first_step_s cached_first_s runs examples_per_s median_ms p90_ms ratio mfu_% "
    "bandwidth_% memory_mb input_wait_% fed_examples_per_s note"
).split()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `jaxpose benchmark train`."""
    parser.add_argument(
        "networks",
        metavar="NETWORK",
        nargs="+",
        help="a recipe, FILE.py or FILE.py:VARIANT; a name from `jaxpose models`, "
        "package.module:ClassName, or a run folder; papers: the recipes of the five papers",
    )
    parser.add_argument(
        "--size", metavar="HxW", help="input size (default: that of the model, run or recipe)"
    )
    parser.add_argument(
        "--task", metavar="NAME", help="task of networks that do not declare one, e.g. topdown"
    )
    parser.add_argument(
        "--batch",
        type=int,
        default=8,
        help="people (bottom-up: images) per device and step (default: 8)",
    )
    parser.add_argument(
        "--device", choices=devices.CHOICES, help="what to measure on (default: what JAX has)"
    )
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16"),
        help="of the activations (default: that of the run or recipe, or float32)",
    )
    parser.add_argument(
        "--vs",
        action="append",
        default=[],
        choices=RIVALS,
        help="also measure XLA's native convolutions (lax), PyTorch (torch) or torch.compile; may "
        "be repeated",
    )
    parser.add_argument(
        "--cached-first",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also measure the first step with a filled compilation cache (default: yes)",
    )
    parser.add_argument(
        "--input",
        metavar="generated|DIR",
        help="also train with train.py on generated people or on the recipe's data in DIR, and "
        "measure how long steps wait for input",
    )
    parser.add_argument(
        "--input-steps",
        type=int,
        default=20,
        help="steps that --input measures, after as many others (default: 20)",
    )
    report.add_timing_arguments(parser, runs=10, seconds=5.0)
    parser.set_defaults(overrides=[])  # --config.key=value of recipes: `cli.main`


def run(args: argparse.Namespace) -> int:
    """Measures and prints one row per step, and the conditions."""
    if min(args.batch, args.runs, args.input_steps) < 1:
        raise ValueError("--batch, --runs and --input-steps must be at least 1")
    size = parse_size(args.size) if args.size else None
    device = devices.open_device(args.device)
    line = devices.describe(device, args.device)
    print(f"device: {line}", flush=True)
    load = report.load()
    sources = [each for what in args.networks for each in _sources(what)]
    workloads = [
        make_workload(
            source, size, args.batch, args.task, dtype=args.dtype, overrides=args.overrides
        )
        for source in sources
    ]
    rows: list[dict] = []
    for workload in workloads:
        waited = _input_of(workload, args) if args.input else {}
        measured = measure(
            workload, vs=args.vs, runs=args.runs, seconds=args.seconds, cached=args.cached_first
        )
        notes = [measured[0]["note"], waited.get("note")]
        measured[0] |= waited | {"note": "; ".join(filter(None, notes)) or None}
        rows += measured
        for row in measured:
            time = f"{row['median_ms']:.2f} ms per step" if row["runs"] else row["note"]
            report.progress(f"{workload.name}, {row['step']}: {time}")
        if args.json:  # what is measured is kept if the command is stopped
            report.save(rows, {"device": line}, args.json)
    terms = {"device": line} | describe_terms(workloads) | {"load average before": load}
    report.publish(rows, COLUMNS, terms, args.json)
    return 0


def _sources(what: str) -> list[str]:
    return paper_recipes() if what == PAPERS else [what]


def _input_of(workload: Workload, args: argparse.Namespace) -> dict[str, Any]:
    """Cells about the input of the training, or a `note` that says why there are none."""
    report.progress(f"training {workload.name} with train.py, for its input wait")
    try:
        speed = input_wait.measure(workload, args.input, args.input_steps)
    except input_wait.NotMeasuredError as error:
        return {"note": f"no input wait: {error}"}
    return {
        "input_wait_%": 100 * speed["input_wait"],
        "fed_examples_per_s": speed["examples_per_second"],
    }


def describe_terms(workloads: Sequence[Workload]) -> dict[str, str | float]:
    """The conditions of the measurement; call this after measuring."""
    terms: dict[str, str | float] = {}
    for workload in workloads:
        batch, *_, keypoints, _ = workload.batch["keypoints"].shape
        height, width = workload.size
        terms[workload.source] = (
            f"{workload.name}, {height}x{width}, {quantity(keypoints, 'keypoint')}, batch {batch}, "
            f"{workload.config.dtype}, {workload.config.optimizer.name}, loss {workload.loss}"
        )
    return terms | {
        "host": f"{report.host_cpu()}; JAX on {jax.devices()[0].device_kind}",
        "times": "wall-clock ms per step, the steps of a network in turn in one process; "
        f"{steps_per_call()} at a time, then the device is waited for",
        "ratio": "how many times as long as the first step of this network: median of up to five "
        "ratios of medians",
        "first step": "jax: model, weights, tracing, compilation and one step, with an empty and "
        "with a filled compilation cache; torch: one step with an empty cache of torch.compile; "
        "imports not included",
        "jax": "the step of train.py, including normalization of uint8 images and targets",
        "torch": "the exported network, channels_last, without normalization and targets; with "
        "bfloat16 under AMP, the loss in float32",
        "not included": "reading and decoding image files; the batch is on the device",
        "mfu %": "FLOPs of the convolutions and matrix products of the jax step, per second, by "
        "the peak of the device in bfloat16; - if the peak is not known",
        "bandwidth %": "bytes that the compiled jax step moves, by the bandwidth of the device's "
        "memory, in % of the time of a step; - if either is not known",
        "memory MB": "jax: what the compiled step needs, by XLA; torch on a GPU: peak of its "
        "allocator",
        "input wait %": "share of the time in which train.py waits for a batch, on all devices of "
        "this machine; fed_examples_per_s: its speed",
        "peak RSS MB": round(peak_mb(), 1),
        "peak RSS": "of the one process that holds all candidates",
    }
