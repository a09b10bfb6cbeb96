"""`jaxpose export`: writes a run folder as verified files for other programs."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from jaxpose import export, images, tables
from jaxpose.choices import choose_from
from jaxpose.export import crops
from jaxpose.export.source import Source, from_run, untrained
from jaxpose.export.targets import CALIBRATED, DEFAULT, TARGETS, Options
from jaxpose.files import check_outputs, path_argument
from jaxpose.models.sizes import parse_size
from jaxpose.runtimes import files_of
from jaxpose.tasks import Agreement

Written = tuple[Path, Agreement]  # a file and its differences from the model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `jaxpose export`."""
    parser.add_argument(
        "checkpoint",
        metavar="CHECKPOINT",
        type=os.path.expanduser,
        help="run folder or one of its checkpoints; with --init random, a model name or "
        "package.module:ClassName",
    )
    parser.add_argument(
        "--to",
        default="onnx",
        metavar="TARGET[,TARGET]",
        help=f"comma-separated list of {', '.join(TARGETS)} (default: onnx)",
    )
    parser.add_argument(
        "--precision",
        default="fp32",
        help=f"precision of the files (default: fp32): {_precisions()}",
    )
    parser.add_argument(
        "--calibrate",
        nargs="+",
        metavar="FILE",
        type=path_argument,
        default=(),
        help="images from which int8-static takes the ranges of the activations; for a top-down "
        f"network, with one person each (default: {crops.CALIBRATION_IMAGES} random ones of the "
        "run's training data)",
    )
    parser.add_argument(
        "--vulkan",
        action="store_true",
        help="verify ncnn files on the first Vulkan device too; mesa-vulkan-drivers has one in "
        "software",
    )
    parser.add_argument(
        "--batch",
        type=int,
        metavar="N",
        help="fixed number of images per call of an ONNX file (default: any number)",
    )
    parser.add_argument("--size", metavar="HxW", help="input size (default: that of the run)")
    parser.add_argument(
        "--task",
        metavar="NAME",
        help="with --init random, task of a network that does not declare one, e.g. topdown",
    )
    parser.add_argument("--step", help="last, best or a step number (default: last)")
    parser.add_argument(
        "--init",
        choices=("random",),
        help="use random weights instead of a checkpoint, to measure latency",
    )
    parser.add_argument(
        "--images",
        "--pictures",
        nargs="+",
        metavar="FILE",
        type=path_argument,
        default=(),
        help="images to verify on, besides synthetic ones; for a top-down network, with one person "
        "each",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        type=path_argument,
        help="output folder (default: RUN/export, or the current folder with --init random)",
    )


def run(args: argparse.Namespace) -> int:
    """Writes one verified file per target and prints their differences from the model."""
    options = Options(args.precision, args.batch, args.vulkan)
    targets = args.to.split(",")
    _check(targets, options)
    calibrated = options.precision in CALIBRATED
    if args.calibrate and not calibrated:
        raise ValueError(f"--calibrate is for --precision {' and '.join(CALIBRATED)}")
    if calibrated and args.init == "random" and not args.calibrate:
        raise ValueError(
            f"--precision {options.precision} needs images to calibrate on, and --init random has "
            "no training data: give images with --calibrate FILE..."
        )
    size = parse_size(args.size) if args.size else None
    if args.init == "random":
        source, folder = untrained(args.checkpoint, size, task_name=args.task), Path(".")
    else:
        from jaxpose import runs  # imports orbax, which takes a second that --help does not need

        source = from_run(args.checkpoint, size, runs.parse_step(args.step))
        folder = runs.run_folder(args.checkpoint) / "export"
    folder = args.output or folder
    paths = [TARGETS[target].path(source, folder, options) for target in targets]
    files = [file for path in paths for file in files_of(path)]
    check_outputs(files, [Path(args.checkpoint), *args.images, *args.calibrate])
    if calibrated:
        options = dataclasses.replace(options, calibration=_calibration(args.calibrate, source))
    inputs = _verification_images(args.images, source)
    written: list[Written] = []
    try:
        for target in targets:
            written.append(export_file(source, target, folder, inputs, options))
    finally:  # if one fails, the files before it stay
        if written:
            print(_table(written, options.precision), flush=True)
    return 0


def export_file(
    source: Source,
    target: str,
    folder: Path,
    inputs: np.ndarray | None = None,
    options: Options = DEFAULT,
) -> Written:
    """Writes and verifies one file.

    Args:
      source: the network.
      target: one of `TARGETS`.
      folder: for the file `<model>_<H>x<W>.<suffix>`, with `_batch<N>` before the suffix if the
        batch is fixed, and `_<precision>` if that is not fp32; for a model
        `package.module:ClassName`, the file name has the class only.
      inputs: uint8 RGB [N, H, W, 3], the images to verify on; None uses synthetic images.
      options: of the file.

    Returns:
      Path of the file, and its differences from the model. If it was verified on a Vulkan device
      too, the larger ones of the two.

    Raises:
      MismatchError: the file does not agree with the model; no file is left behind.
    """
    form = TARGETS[target]
    path = form.path(source, folder, options)

    def write(file: Path) -> None:
        form.write(source, file, options)

    def compare(file: Path, vulkan: bool) -> Agreement:
        return export.verify(
            source.model,
            source.variables,
            file,
            source.input_size,
            source.task,
            source.decoder,
            skeleton=source.skeleton,
            images=inputs,
            precision=options.precision,
            vulkan=vulkan,
        )

    def check(file: Path) -> Agreement:
        devices = (False, True) if options.vulkan and form.vulkan else (False,)
        return max((compare(file, vulkan) for vulkan in devices), key=lambda a: a.error)

    return path, export.write_verified(write, check, path)


def _table(written: Sequence[Written], precision: str) -> str:
    rows = [("file", "KB", "precision", "output error", "keypoint error (px)", "keypoints")]
    for path, agreement in written:
        size = sum(file.stat().st_size for file in files_of(path))
        row = (f"{size / 1024:.0f}", precision, f"{100 * agreement.error:.5f}%")
        rows.append((str(path), *row, f"{agreement.keypoint:.4f}", str(agreement.keypoints)))
    return (
        f"{tables.text(rows)}\nErrors are the largest differences from the model, of the outputs "
        "as a fraction of the largest value."
    )


def _verification_images(files: Sequence[Path], source: Source) -> np.ndarray | None:
    """The image files, cropped as in evaluation, and synthetic images; None without files."""
    if not files:
        return None
    return np.concatenate([crops.of_files(files, source), images.draw_samples(source.input_size)])


def _calibration(files: Sequence[Path], source: Source) -> np.ndarray:
    """The image files, or images of the training data."""
    inputs = crops.of_files(files, source) if files else crops.of_training(source)
    origin = "--calibrate" if files else f"random {source.task.EXAMPLE}s of the training data"
    print(f"calibration images: {len(inputs)} ({origin})", flush=True)
    return inputs


def _check(targets: Sequence[str], options: Options) -> None:
    """Refuses choices that do not fit together, and targets whose packages are missing."""
    for target in targets:
        _check_choice("target", target, TARGETS)
    for target in targets:
        _check_choice(f"precision of {target}", options.precision, TARGETS[target].precisions)
    if options.batch is not None and options.batch < 1:
        raise ValueError(f"--batch {options.batch}: a file takes at least 1 image")
    if options.batch is not None and not any(TARGETS[target].batch for target in targets):
        raise ValueError("--batch is for ONNX files; add onnx to --to")
    if options.vulkan and not any(TARGETS[target].vulkan for target in targets):
        raise ValueError("--vulkan is for ncnn files; add ncnn to --to")
    for target in targets:
        TARGETS[target].require_packages(options.precision)


def _check_choice(what: str, value: str, choices: Iterable[str]) -> None:
    if value not in choices:
        raise ValueError(f"{what} {value!r} is not available; {choose_from(value, choices)}")


def _precisions() -> str:
    return "; ".join(f"{name}: {', '.join(target.precisions)}" for name, target in TARGETS.items())
