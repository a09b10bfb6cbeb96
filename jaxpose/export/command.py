"""`jaxpose export`: writes a run folder as verified files for other programs."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jaxpose import export, images, tensor_file
from jaxpose.export import checks, crops
from jaxpose.export.source import Source, from_run, untrained
from jaxpose.export.table import Entry, as_text
from jaxpose.export.targets import CALIBRATED, DEFAULT, PROGRAMS, TARGETS, Options
from jaxpose.export.verify import Expected
from jaxpose.files import check_outputs, location, path_argument, write_atomic
from jaxpose.models.sizes import parse_size
from jaxpose.runtimes import files_of
from jaxpose.tasks import Agreement
from jaxpose.tasks.agreement import TOLERANCES, tolerance_of

if TYPE_CHECKING:
    from jaxpose.export.scores import Score, Scorer

# A file and its differences from the model, None if it was not run.
Written = tuple[Path, Agreement | None]
WEIGHTS = "weights"  # the target that is not a network to run
VALIDATION = 32  # validation or calibration images that files are verified on


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
        help=f"comma-separated list of {', '.join(TARGETS)} (default: onnx), or {WEIGHTS}: one "
        "safetensors file to share a trained network",
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
    parser.add_argument(
        "--like",
        choices=PROGRAMS,
        help="write an ONNX file with the names of this program, for what loads its files "
        "(mmdeploy: RTMPose for rtmlib and mmdeploy)",
    )
    parser.add_argument(
        "--decode",
        action="store_true",
        help="write files that return keypoints and scores; ONNX and PyTorch, fp32, RTMPose",
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
        help="images to verify on, besides synthetic ones (int8-static: instead of the calibration "
        "images); for a top-down network, with one person each",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        type=path_argument,
        help="output folder (default: RUN/export, or the current folder with --init random)",
    )
    limits = ", ".join(f"{name} {limit.drop:g}" for name, limit in TOLERANCES.items())
    parser.add_argument(
        "--eval",
        action="store_true",
        help="evaluate the model and every file on the validation data of the run, as eval.py does",
    )
    parser.add_argument(
        "--data",
        metavar="DIR",
        type=path_argument,
        help="folder of the data for --eval and int8-static (default: config.data.root of the run)",
    )
    parser.add_argument(
        "--max-drop",
        type=float,
        metavar="POINTS",
        help="with --eval, points of AP (for MPII, PCKh) that a file may lose; beyond it the "
        f"command fails and leaves no file (default: {limits})",
    )
    parser.add_argument(
        "--json", metavar="FILE", type=path_argument, help="also write the table to this file"
    )


def run(args: argparse.Namespace) -> int:
    """Writes one verified file per target and prints their differences from the model.

    If one target fails, the files before it stay and are in the table.
    """
    options = Options(args.precision, args.batch, args.vulkan, args.like)
    targets = args.to.split(",")
    if WEIGHTS in targets:
        targets.remove(WEIGHTS)
        _write_weights(args)
        if not targets:
            return 0
    checks.check_targets(targets, options)
    checks.check_decode(args, targets)
    checks.check_calibration(args)
    checks.check_evaluation(args)
    source, folder = _source(args)
    source = dataclasses.replace(source, decoded=args.decode)
    checks.check_task(source, options)
    paths = [TARGETS[target].path(source, folder, options) for target in targets]
    files = [file for path in paths for file in files_of(path)]
    outputs = [*files, *([args.json] if args.json else [])]
    check_outputs(outputs, [location(args.checkpoint), *args.images, *args.calibrate])
    if options.precision in CALIBRATED:
        calibration = _calibration(args.calibrate, source, args.data)
        options = dataclasses.replace(options, calibration=calibration)
    scorer = None
    if args.eval:
        from jaxpose.export.scores import Scorer  # imports orbax and TensorFlow

        scorer = Scorer(source, args.checkpoint, args.data)
    inputs = _verification_images(args.images, source, options.calibration, scorer)
    run_here = any(TARGETS[target].runtime.available for target in targets)
    expected = source.expected_outputs(inputs) if run_here else None
    limit = tolerance_of(options.precision).drop if args.max_drop is None else args.max_drop
    entries: list[Entry] = []
    try:
        for target in targets:
            entries.append(_entry(source, target, folder, expected, options, scorer, limit))
    finally:
        if entries:
            _publish(entries, scorer, args.json)
    return 0


def _write_weights(args: argparse.Namespace) -> None:
    """Writes the weights themselves as one file, reads it back, and prints its SHA-256.

    Raises:
      ValueError: random weights, another precision, or a file that exists and is read here.
    """
    from jaxpose import runs  # imports orbax, which takes a second that --help does not need

    if args.init == "random" or args.precision != "fp32":
        raise ValueError(f"--to {WEIGHTS} writes the weights of a run as they are, in fp32")
    source, folder = _source(args)
    assert source.config is not None
    path = folder / f"{source.name.rpartition(':')[2]}{tensor_file.SUFFIX}"
    check_outputs([path], [location(args.checkpoint)])
    digest = runs.write_weights(path, source.config, source.skeleton, source.variables)
    runs.read_weights(path)
    print(f"{path}: {path.stat().st_size} bytes, SHA-256 {digest}", flush=True)


def _entry(
    source: Source,
    target: str,
    folder: Path,
    expected: Expected | None,
    options: Options,
    scorer: Scorer | None,
    limit: float,
) -> Entry:
    """Writes, verifies and scores one file, which may lose `limit` points."""
    scores: list[Score] = []

    def judge(file: Path) -> None:
        if scorer:
            scores.append(scorer.score(file, limit))

    path, agreement = export_file(source, target, folder, expected, options, judge)
    fp32 = TARGETS[target].path(source, folder, dataclasses.replace(options, precision="fp32"))
    score = scores[0] if scores else None
    return Entry(path, target, options.precision, agreement, fp32, score)


def _publish(entries: Sequence[Entry], scorer: Scorer | None, file: Path | None) -> None:
    """Prints the table, and writes it to `file` as JSON."""
    print(as_text(entries), flush=True)
    counts = [entry.agreement.images for entry in entries if entry.agreement]
    terms: dict[str, str | int] = {"images": max(counts, default=0)}
    if scorer:
        for line in scorer.data.bad_files.lines():
            print(line)
        terms |= {"evaluated": scorer.describe()}
        print(f"evaluated: {scorer.describe()}", flush=True)
    if file:
        rows = [entry.as_json() for entry in entries]
        write_atomic(file, json.dumps({"terms": terms, "rows": rows}, indent=2) + "\n")


def export_file(
    source: Source,
    target: str,
    folder: Path,
    expected: Expected | None = None,
    options: Options = DEFAULT,
    judge: Callable[[Path], None] | None = None,
) -> Written:
    """Writes and verifies one file.

    Args:
      source: the network.
      target: one of `TARGETS`.
      folder: for the file `<model>_<H>x<W>.<suffix>`; for a model `package.module:ClassName`, the
        file name has the class only. Before the suffix are `_batch<N>` if the batch is fixed,
        `_decoded` if the file decodes, `_<program>` if it is like that program's files, and
        `_<precision>` if that is not fp32.
      expected: what the network makes of the images to verify on, from
        `source.expected_outputs`; None uses synthetic images.
      options: of the file.
      judge: called with the path of the verified file before it gets its name; raises
        `MismatchError` to refuse it.

    Returns:
      Path of the file, and its differences from the model. If it was verified on a Vulkan device
      too, the larger ones of the two. None instead of differences if its runtime does not exist
      for this operating system, so that only the structure of the file was checked.

    Raises:
      MismatchError: the file does not agree with the model; no file is left behind.
    """
    form = TARGETS[target]
    path = form.path(source, folder, options)

    def write(file: Path) -> None:
        form.write(source, file, options)

    def check(file: Path) -> Agreement | None:
        if form.check_structure:
            form.check_structure(source, file, options)
        if not form.runtime.available:
            return None
        reference = expected or source.expected_outputs()
        devices = (False, True) if options.vulkan and form.vulkan else (False,)
        found = [reference.verify(file, options.precision, vulkan=device) for device in devices]
        if judge:
            judge(file)
        return max(found, key=lambda agreement: agreement.error)

    return path, export.write_verified(write, check, path)


def _source(args: argparse.Namespace) -> tuple[Source, Path]:
    """The network, and the folder for its files."""
    size = parse_size(args.size) if args.size else None
    if args.init == "random":
        source, folder = untrained(args.checkpoint, size, task_name=args.task), Path(".")
    else:
        from jaxpose import runs  # imports orbax, which takes a second that --help does not need

        source = from_run(args.checkpoint, size, runs.parse_step(args.step))
        run = runs.run_folder(args.checkpoint)
        if isinstance(run, Path):
            folder = run / "export"
        elif args.output is None:
            raise ValueError(f"{run} is remote and files are written locally: give -o DIR")
    return source, args.output or folder


def _verification_images(
    files: Sequence[Path],
    source: Source,
    calibration: np.ndarray | None = None,
    scorer: Scorer | None = None,
) -> np.ndarray | None:
    """The image files, cropped as in evaluation, and validation images; None for synthetic ones.

    Synthetic images are added to the files. If the file is calibrated, there are no synthetic
    images, because its activations are cut off beyond their ranges: without any other images, it
    gets some of its calibration.
    """
    parts = [crops.of_files(files, source)] if files else []
    if scorer:
        parts.append(scorer.images(VALIDATION))
    if calibration is not None:
        parts += [] if parts else [calibration[:VALIDATION]]
    elif files:
        parts.append(images.draw_samples(source.input_size))
    return np.concatenate(parts) if parts else None


def _calibration(files: Sequence[Path], source: Source, data: Path | None) -> np.ndarray:
    """The image files, or images of the training data in the folder `data`."""
    inputs = crops.of_files(files, source) if files else crops.of_training(source, data=data)
    origin = "--calibrate" if files else f"random {source.task.EXAMPLE}s of the training data"
    print(f"calibration images: {len(inputs)} ({origin})", flush=True)
    return inputs


def _precisions() -> str:
    return "; ".join(f"{name}: {', '.join(target.precisions)}" for name, target in TARGETS.items())
