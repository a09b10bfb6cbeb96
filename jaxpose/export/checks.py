"""Refuses options of `jaxpose export` that do not fit together, before anything is computed."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from jaxpose.choices import check_choice
from jaxpose.export.source import Source
from jaxpose.export.targets import CALIBRATED, TARGETS, Options
from jaxpose.tasks import TASKS


def check_targets(targets: Sequence[str], options: Options) -> None:
    """Refuses choices that do not fit together, and targets whose packages are missing."""
    for target in targets:
        check_choice("target", target, TARGETS)
    for target in targets:
        check_choice(f"precision of {target}", options.precision, TARGETS[target].precisions)
    if options.batch is not None and options.batch < 1:
        raise ValueError(f"--batch {options.batch}: a file takes at least 1 image")
    if options.batch is not None and not any(TARGETS[target].batch for target in targets):
        raise ValueError("--batch is for ONNX files; add onnx to --to")
    if options.vulkan and not any(TARGETS[target].vulkan for target in targets):
        raise ValueError("--vulkan is for ncnn files; add ncnn to --to")
    if options.like and not all(TARGETS[target].like for target in targets):
        raise ValueError(f"--like {options.like} is for ONNX files: give --to onnx alone")
    for target in targets:
        TARGETS[target].require_packages(options.precision)


def check_task(source: Source, options: Options) -> None:
    """Refuses options that the task does not have."""
    if options.like and options.like not in source.task.LIKE:
        names = [task.NAME for task in TASKS.values() if options.like in task.LIKE]
        raise ValueError(
            f"--like {options.like} is for networks of the task {' or '.join(names)}, but "
            f"{source.name} has the task {source.task.NAME}: omit --like"
        )
    if source.decoded and not source.task.FILE_DECODING:
        names = [task.NAME for task in TASKS.values() if task.FILE_DECODING]
        raise ValueError(
            f"--decode is for networks of the task {' or '.join(names)}, but {source.name} has the "
            f"task {source.task.NAME}: omit --decode"
        )


def check_decode(args: argparse.Namespace, targets: Sequence[str]) -> None:
    """Refuses --decode with formats, precisions and programs that it is not for."""
    if not args.decode:
        return
    others = [target for target in targets if not TARGETS[target].decodes]
    if others:
        able = [name for name, target in TARGETS.items() if target.decodes]
        raise ValueError(
            f"--decode is for {' and '.join(able)} files: leave {others[0]} out of --to"
        )
    if args.precision != "fp32":
        raise ValueError(
            f"--decode is for fp32: --precision {args.precision} would round keypoints"
        )
    if args.like:
        raise ValueError(f"--decode: {args.like} expects vectors, not keypoints; omit --like")


def check_calibration(args: argparse.Namespace) -> None:
    """Refuses images to calibrate on where none are needed, and the lack of them."""
    calibrated = args.precision in CALIBRATED
    if args.calibrate and not calibrated:
        raise ValueError(f"--calibrate is for --precision {' and '.join(CALIBRATED)}")
    if calibrated and args.init == "random" and not args.calibrate:
        raise ValueError(
            f"--precision {args.precision} needs images to calibrate on, and --init random has "
            "no training data: give images with --calibrate FILE..."
        )


def check_evaluation(args: argparse.Namespace) -> None:
    """Refuses options of the evaluation that do not fit together."""
    if args.eval and args.init == "random":
        raise ValueError("--eval needs a run folder: random weights have no validation data")
    if args.max_drop is not None and not args.eval:
        raise ValueError("--max-drop is for the evaluation; add --eval")
    calibrated = args.precision in CALIBRATED and not args.calibrate
    if args.data is not None and not (args.eval or calibrated):
        raise ValueError(
            "--data names the data of --eval, and of --precision "
            f"{' or '.join(CALIBRATED)} without --calibrate: add --eval or leave out --data"
        )
    if args.max_drop is not None and not args.max_drop >= 0:
        raise ValueError(f"--max-drop {args.max_drop:g} must be at least 0 points")
