"""`jaxpose export`: writes a run folder as verified files for other programs."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from jaxpose import export, geometry, images, tables
from jaxpose.choices import choose_from
from jaxpose.export.source import Source, from_run, untrained
from jaxpose.export.targets import DEFAULT, TARGETS, Options
from jaxpose.files import check_outputs, path_argument
from jaxpose.models.sizes import parse_size
from jaxpose.runtimes import files_of, size_of
from jaxpose.tasks import Agreement

# A file and its differences from the model, None if it was not run.
Written = tuple[Path, Agreement | None]


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
        help=f"precision of the weights: fp32, or for {_targets_with_fp16()} also fp16 "
        "(default: fp32)",
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
    check_outputs(files, [Path(args.checkpoint), *args.images])
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
      too, the larger ones of the two. None instead of differences if its runtime does not exist
      for this operating system, so that only the structure of the file was checked.

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

    def check(file: Path) -> Agreement | None:
        if form.check_structure:
            form.check_structure(source, file, options)
        if not form.runtime.available:
            return None
        devices = (False, True) if options.vulkan and form.vulkan else (False,)
        return max((compare(file, vulkan) for vulkan in devices), key=lambda a: a.error)

    return path, export.write_verified(write, check, path)


def _table(written: Sequence[Written], precision: str) -> str:
    rows = [("file", "KB", "precision", "output error", "keypoint error (px)", "keypoints")]
    for path, agreement in written:
        row = (str(path), f"{size_of(path) / 1024:.0f}", precision)
        if agreement is None:
            rows.append((*row, "not run", "not run", "not run"))
            continue
        error = (f"{100 * agreement.error:.5f}%", f"{agreement.keypoint:.4f}")
        rows.append((*row, *error, str(agreement.keypoints)))
    lines = [
        f"{tables.text(rows)}\nErrors are the largest differences from the model, of the outputs "
        "as a fraction of the largest value."
    ]
    lines += [
        f"{path.name} was not run, because Core ML runs on macOS only. Its inputs, outputs, "
        "operations, weights and metadata were read back and compared with the model."
        for path, agreement in written
        if agreement is None
    ]
    return "\n".join(lines)


def _verification_images(files: Iterable[Path], source: Source) -> np.ndarray | None:
    """The image files, cropped as in evaluation, and synthetic images; None without files."""
    inputs, size = [], source.input_size
    for name in files:
        try:
            image = images.decode(name.read_bytes())
        except images.ImageError as error:
            raise ValueError(f"{name}: {error}") from None
        center, scale = source.task.view(image.shape[:2], size)
        matrix = source.task.crop_matrix(center, scale, size, source.decoder)
        inputs.append(geometry.crop(image, matrix, size))
    if not inputs:
        return None
    return np.concatenate([np.stack(inputs), images.draw_samples(size)])


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
        TARGETS[target].require_packages()


def _check_choice(what: str, value: str, choices: Iterable[str]) -> None:
    if value not in choices:
        raise ValueError(f"{what} {value!r} is not available; {choose_from(value, choices)}")


def _targets_with_fp16() -> str:
    return " and ".join(name for name, target in TARGETS.items() if "fp16" in target.precisions)
