"""`jaxpose benchmark grouping`: a bottom-up network, and from its maps to people, step by step.

How long people take depends on how many there are, not on the weights: the maps are drawn. The
steps are those of evaluation: `network` (with its mirror image unless --no-flip), `merge` (both
outputs and both passes, at the size of the input), `peaks` (the highest of every joint) and
`people` (matching by tags, and filling in what is missing).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxpose import geometry, images, tasks
from jaxpose.benchmark import report
from jaxpose.export.source import Source, from_run, untrained
from jaxpose.models.sizes import parse_size
from jaxpose.tasks.whole_images import scenes

COLUMNS = "step on people found runs min_ms mean_ms median_ms p90_ms std_ms".split()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the sub-verb."""
    parser.add_argument(
        "model",
        nargs="?",
        default="litepose_s",
        metavar="MODEL|RUN",
        help="a bottom-up model or run folder (default litepose_s)",
    )
    parser.add_argument("--size", metavar="HxW", help="input size; default that of the model")
    parser.add_argument("--task", help="of a network that states none, e.g. associative_embedding")
    parser.add_argument(
        "--people", default="1,5,10,30", help="people in the pictures (default 1,5,10,30)"
    )
    parser.add_argument(
        "--missing", type=float, default=0.1, help="share of joints that are not there (0.1)"
    )
    parser.add_argument("--no-flip", action="store_true", help="without the mirror image")
    parser.add_argument("--no-network", action="store_true", help="leave out the network")
    report.add_timing_arguments(parser, runs=20, seconds=0.5, warmup=3)


def run(args: argparse.Namespace) -> int:
    """Measures all steps in turns and prints one row each, and the terms."""
    size = parse_size(args.size) if args.size else None
    try:
        counts = [int(n) for n in args.people.split(",")]
    except ValueError:
        raise ValueError(f"--people {args.people!r}: numbers such as 1,5,10,30") from None
    if min(counts) < 0 or args.runs < 1 or not 0 <= args.missing < 1:
        raise ValueError("--people must not be negative, --runs at least 1, --missing in 0..1")
    if Path(args.model).is_dir():
        source = from_run(args.model, size)
    else:
        source = untrained(args.model, size, task_name=args.task)
    if source.task is not tasks.get("associative_embedding"):
        raise ValueError(
            f"{args.model} has no tags ({source.task.TITLE}): this times the steps of grouping by "
            "tags"
        )
    flip = not args.no_flip
    load = report.load()
    rows = measure(
        source,
        counts,
        missing=args.missing,
        flip=flip,
        network=not args.no_network,
        warmup=args.warmup,
        runs=args.runs,
        seconds=args.seconds,
    )
    terms = describe_terms(source, args.missing, flip) | {"load average before": load}
    report.publish(rows, COLUMNS, terms, args.json)
    return 0


def describe_terms(source: Source, missing: float, flip: bool) -> dict[str, str | float]:
    """What the figures rest on; call it after measuring."""
    height, width = source.input_size
    return {
        "model": f"{source.name}, {height}x{width}, {source.skeleton.num_joints} joints, float32",
        "options": str(source.decoder.grouping),
        "people": f"drawn maps, {missing:.0%} of the joints missing; `found` is what came out",
        "host": f"{report.host_cpu()}; JAX {jax.__version__} on {jax.devices()[0].device_kind}",
        "times": "ms of wall clock for one picture, all steps in turns in one process, after "
        "compiling",
        "network, merge": f"{'both passes of the flip test' if flip else 'one pass'}; they do not "
        "depend on the people",
        "a picture takes": "network + merge + peaks + people",
        "not included": "reading the picture, bringing it to size, and copies between device and "
        "host",
        "JAX threads": "XLA uses all cores given to the process; restrict it with taskset",
        "peak RSS MB": round(report.peak_rss_mb(), 1),
    }


def measure(
    source: Source,
    counts: Sequence[int],
    *,
    missing: float = 0.1,
    flip: bool = True,
    network: bool = True,
    warmup: int = 3,
    runs: int = 20,
    seconds: float = 0.5,
) -> list[dict]:
    """One row of facts and statistics for each step: peaks and people for each count of people."""
    options, device = source.decoder.grouping, jax.devices()[0].platform
    rows, calls = [], []

    def add(step: str, on: str, call: Callable[[], object], **facts) -> None:
        rows.append({"step": step, "on": on} | facts)
        calls.append(call)

    if network:
        report.progress(f"compiling {source.name}")
        add("network", device, _network(source, flip))
    for number, count in enumerate(counts):
        scene = scenes.draw(
            count, source.input_size, skeleton=source.skeleton, missing=missing, flip=flip
        ).on_device()
        maps = scenes.merge(scene)
        if number == 0:
            add("merge", device, partial(_until_ready, scenes.merge, scene))
        found = scenes.peaks(maps, options)
        found_on_host, maps_on_host = jax.device_get((found, maps))
        group = partial(scenes.people, found_on_host, maps_on_host, options)
        facts = {"people": count, "found": len(group())}
        add("peaks", device, partial(_until_ready, scenes.peaks, maps, options), **facts)
        add("people", "host", group, **facts)
    report.progress("timing all in turns")
    times = report.in_turns(calls, warmup=warmup, runs=runs, seconds=seconds)
    return [
        row | {"runs": len(t)} | report.statistics(t) for row, t in zip(rows, times, strict=True)
    ]


def _until_ready(function: Callable[..., Any], *arguments: Any) -> Any:
    """The result of a function on the device, once it is computed."""
    return jax.block_until_ready(function(*arguments))


def _network(source: Source, flip: bool) -> Callable[[], object]:
    """One call of the compiled network on a drawn picture, and on its mirror image."""
    image = images.draw_samples(source.input_size, 1)
    inputs = np.concatenate([image, image[:, :, ::-1]]) if flip else image
    inputs = jax.device_put(np.asarray(geometry.normalize(inputs), np.float32))
    variables = jax.device_put(source.variables)
    function = jax.jit(lambda v, x: source.model.apply(v, x, train=False))
    compiled = function.lower(variables, inputs).compile()
    return lambda: jax.block_until_ready(compiled(variables, inputs))
