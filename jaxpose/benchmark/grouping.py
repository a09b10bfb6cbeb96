"""`jaxpose benchmark grouping`: a bottom-up network and the grouping of its outputs, step by step.

The time for grouping depends on the number of people, not on the weights, so outputs are synthetic.
The steps are those of evaluation: `network` (with the mirror image unless --no-flip), `merge` (all
outputs at the size of the input), `peaks` (the highest peaks of every keypoint) and `people`
(matching by tags, and filling in missing keypoints).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from jaxpose import geometry, images, tasks
from jaxpose.benchmark import report
from jaxpose.export.source import Source, from_run, untrained
from jaxpose.files import is_folder
from jaxpose.models.sizes import parse_size
from jaxpose.runtimes.peak_memory import peak_mb
from jaxpose.tasks.whole_images import scenes
from jaxpose.wording import quantity

COLUMNS = "step on people found runs min_ms mean_ms median_ms p90_ms std_ms".split()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `jaxpose benchmark grouping`."""
    parser.add_argument(
        "model",
        nargs="?",
        default="litepose_s",
        metavar="MODEL|RUN",
        help="bottom-up model or run folder (default: litepose_s)",
    )
    parser.add_argument("--size", metavar="HxW", help="input size (default: that of the model)")
    parser.add_argument(
        "--task",
        metavar="NAME",
        help="task of a network that does not declare one, e.g. associative_embedding",
    )
    parser.add_argument(
        "--people", default="1,5,10,30", help="numbers of people per image (default: 1,5,10,30)"
    )
    parser.add_argument(
        "--missing", type=float, default=0.1, help="fraction of missing keypoints (default: 0.1)"
    )
    parser.add_argument("--no-flip", action="store_true", help="skip the flip test")
    parser.add_argument("--no-network", action="store_true", help="do not time the network")
    report.add_timing_arguments(parser, runs=20, seconds=0.5, warmup=3)


def run(args: argparse.Namespace) -> int:
    """Measures all steps in turn and prints one row each, and the conditions."""
    size = parse_size(args.size) if args.size else None
    try:
        counts = [int(n) for n in args.people.split(",")]
    except ValueError:
        raise ValueError(f"--people {args.people!r} must be numbers such as 1,5,10,30") from None
    if min(counts) < 0 or args.runs < 1 or not 0 <= args.missing < 1:
        raise ValueError(
            "--people must not be negative, --runs at least 1, --missing at least 0 and below 1"
        )
    if is_folder(args.model):
        source = from_run(args.model, size)
    else:
        source = untrained(args.model, size, task_name=args.task)
    if source.task is not tasks.get("associative_embedding"):
        raise ValueError(
            f"{args.model} has no tags ({source.task.TITLE}); only networks with associative "
            "embedding can be timed here"
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
    """The conditions of the measurement; call this after measuring."""
    height, width = source.input_size
    return {
        "model": f"{source.name}, {height}x{width}, "
        f"{quantity(source.skeleton.num_joints, 'keypoint')}, float32",
        "options": str(source.decoder.grouping),
        "people": f"synthetic outputs, {missing:.0%} of the keypoints missing; `found` is the "
        "number of people found",
        "host": f"{report.host_cpu()}; JAX {jax.__version__} on {jax.devices()[0].device_kind}",
        "times": "wall-clock ms per image after compilation, all in turn in one process",
        "network, merge": f"{'both passes of the flip test' if flip else 'one pass'}; independent "
        "of the number of people",
        "total per image": "network + merge + peaks + people",
        "not included": "reading and resizing the image, copies between device and host",
        "JAX threads": "XLA uses all cores of the process; restrict them with taskset",
        "peak RSS MB": round(peak_mb(), 1),
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
    """One row per step; `peaks` and `people` have one row per number of people."""
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
        candidates = scenes.peaks(maps, options)
        candidates_on_host, maps_on_host = jax.device_get((candidates, maps))
        group = partial(scenes.people, candidates_on_host, maps_on_host, options)
        facts = {"people": count, "found": len(group())}
        add("peaks", device, partial(_until_ready, scenes.peaks, maps, options), **facts)
        add("people", "host", group, **facts)
    report.progress("timing all steps in turn")
    times = report.in_turns(calls, warmup=warmup, runs=runs, seconds=seconds)
    return [
        row | {"runs": len(t)} | report.statistics(t) for row, t in zip(rows, times, strict=True)
    ]


def _until_ready(function: Callable[..., Any], *arguments: Any) -> Any:
    """The result of a function on the device, once it is computed."""
    return jax.block_until_ready(function(*arguments))


def _network(source: Source, flip: bool) -> Callable[[], object]:
    """One call of the compiled network on a synthetic image and, with `flip`, its mirror image."""
    image = images.draw_samples(source.input_size, 1)
    inputs = np.concatenate([image, image[:, :, ::-1]]) if flip else image
    inputs = jax.device_put(np.asarray(geometry.normalize(inputs), np.float32))
    variables = jax.device_put(source.variables)
    function = jax.jit(lambda v, x: source.model.apply(v, x, train=False))
    compiled = function.lower(variables, inputs).compile()
    return lambda: jax.block_until_ready(compiled(variables, inputs))
