"""`jaxpose plan`: what a training step needs on a TPU slice, from the compiler alone."""

from __future__ import annotations

import argparse
import json
import math
import pathlib
from collections.abc import Callable

from ml_collections import ConfigDict

from jaxpose.benchmark.report import progress
from jaxpose.config.flags import read_settings
from jaxpose.files import expand, path_argument, write_atomic
from jaxpose.plan.chips import CHIPS
from jaxpose.plan.compilation import CACHE, Compiled, compile_step
from jaxpose.plan.report import as_text, make_plan
from jaxpose.plan.search import LANES, MOST, largest, largest_filled
from jaxpose.plan.step import argument_bytes, check_settings, keypoints_of, lower_step
from jaxpose.plan.topology import Target, find_target
from jaxpose.wording import quantity

_EIGHT = 8  # rows of a TPU tile; batches that do not fill the lanes are multiples of it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `jaxpose plan`; --config.key=value are left over for the settings."""
    parser.add_argument(
        "--config",
        metavar="RECIPE",
        required=True,
        help="FILE.py or FILE.py:VARIANT; --config.KEY=VALUE changes a setting",
    )
    parser.add_argument(
        "--topology",
        metavar="NAME",
        required=True,
        help=f"TPU slice ({', '.join(f'{c.name}:{c.slices[-1]}' for c in CHIPS.values())}, ...), "
        "cpu, cpu:N or gpu",
    )
    parser.add_argument(
        "--batch-per-chip",
        metavar="N",
        type=int,
        help="examples per chip and step (default: config.batch_size over the chips)",
    )
    parser.add_argument(
        "--largest-batch",
        action="store_true",
        help="find the largest batch per chip that fits: on a TPU a multiple of 128 for each "
        "micro-batch, or of 8 if 128 do not fit; else a multiple of 8",
    )
    parser.add_argument(
        "--keypoints",
        metavar="N",
        type=int,
        help="keypoints of the dataset (default: 17; CrowdPose 14, MPII 16)",
    )
    parser.add_argument(
        "--cache",
        metavar="DIR",
        type=path_argument,
        default=CACHE,
        help=f"folder of earlier results (default: {CACHE})",
    )
    parser.add_argument(
        "--json", metavar="FILE", type=path_argument, help="also write all figures to this file"
    )
    parser.add_argument(
        "--hlo", metavar="FILE", type=path_argument, help="also write the compiled program"
    )
    parser.set_defaults(overrides=[])


def run(args: argparse.Namespace) -> int:
    """Prints the plan; returns 1 if the step does not fit."""
    for name in ("batch_per_chip", "keypoints"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise ValueError(f"--{name.replace('_', '-')}={value} must be at least 1")
    for file in (args.json, args.hlo):
        if file and not file.parent.is_dir():
            raise ValueError(f"{file.parent}: no such folder")
    config = read_settings("jaxpose plan", args.config, args.overrides)
    target = find_target(args.topology)
    keypoints = args.keypoints or keypoints_of(config)
    folder = expand(args.cache) if config.compilation_cache else None

    def compile_for(batch_per_chip: int | None) -> tuple[int, Compiled]:
        return _compile(config, target, batch_per_chip, keypoints, folder)

    batch = args.batch_per_chip
    if args.largest_batch:
        if target.capacity is None:
            raise ValueError(f"--largest-batch: the memory of {target.name} is not limited")
        batch = _largest(lambda batch: compile_for(batch)[1].fits(target), config, target, batch)
    arguments, compiled = compile_for(batch)
    plan = make_plan(config, args.config, target, keypoints, arguments, compiled)
    if args.json:
        write_atomic(args.json, json.dumps(plan, indent=2) + "\n")
    if args.hlo and compiled.text:
        write_atomic(args.hlo, compiled.text)
    print(as_text(plan))
    return 0 if plan["memory"]["fits"] else 1


def _compile(
    config: ConfigDict,
    target: Target,
    batch_per_chip: int | None,
    keypoints: int,
    folder: pathlib.Path | None,
) -> tuple[int, Compiled]:
    """The bytes of the arguments, and what the compiler says."""
    per_chip = check_settings(config, target, batch_per_chip)
    progress(f"tracing {config.model}, {quantity(per_chip, 'example')} per chip")
    lowered = lower_step(config, target, keypoints)
    progress(f"compiling for {target.name}; minutes for a large network")
    return argument_bytes(lowered, len(target.devices)), compile_step(lowered, target, folder)


def _largest(
    fits: Callable[[int], bool], config: ConfigDict, target: Target, start: int | None
) -> int:
    """The largest batch per chip that fits, or the smallest of the search if none does."""

    def tried(batch: int) -> bool:
        answer = fits(batch)
        progress(f"{batch} per chip: {'fits' if answer else 'does not fit'}")
        return answer

    unit = step = math.lcm(_EIGHT, config.accumulate)
    if target.chip is None:
        found = largest(tried, unit, start or unit)
    else:
        found = largest_filled(tried, unit, config.accumulate, start or unit)
        step = LANES * config.accumulate if found >= LANES * config.accumulate else unit
    if found + step > MOST:
        progress(f"the search ends at {MOST} per chip")
    return found or unit
