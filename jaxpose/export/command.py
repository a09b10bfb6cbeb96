"""`jaxpose export`: writes a run folder as verified ONNX and PyTorch files."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from jaxpose import export, geometry, images
from jaxpose.choices import choose_from
from jaxpose.export.source import Source, from_run, untrained
from jaxpose.files import check_outputs, path_argument
from jaxpose.models.sizes import parse_size
from jaxpose.runtimes import SUFFIXES
from jaxpose.tasks import Agreement

TARGETS = tuple(SUFFIXES)
PRECISIONS = ("fp32",)


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
        "--precision", default="fp32", help="precision of the weights; only fp32 is supported"
    )
    parser.add_argument("--size", metavar="HxW", help="input size (default: that of the run)")
    parser.add_argument(
        "--batch",
        type=int,
        metavar="N",
        help="fixed number of images per call of an ONNX file (default: any number)",
    )
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
    """Writes one verified file per target and prints its differences from the model."""
    targets = [_check_choice("target", target, TARGETS) for target in args.to.split(",")]
    _check_choice("precision", args.precision, PRECISIONS)
    _check_batch(args.batch, targets)
    size = parse_size(args.size) if args.size else None
    if args.init == "random":
        source, folder = untrained(args.checkpoint, size, task_name=args.task), Path(".")
    else:
        from jaxpose import runs  # imports orbax, which takes a second that --help does not need

        source = from_run(args.checkpoint, size, runs.parse_step(args.step))
        folder = runs.run_folder(args.checkpoint) / "export"
    folder = args.output or folder
    files = [_path(source, target, folder, args.batch) for target in targets]
    check_outputs(files, [Path(args.checkpoint), *args.images])
    inputs = _verification_images(args.images, source)
    for target in targets:
        path, agreement = export_file(source, target, folder, inputs, batch=args.batch)
        print(f"{path} ({path.stat().st_size / 1024:.0f} KB): {agreement}", flush=True)
    return 0


def export_file(
    source: Source,
    target: str,
    folder: Path,
    inputs: np.ndarray | None = None,
    *,
    batch: int | None = None,
) -> tuple[Path, Agreement]:
    """Writes and verifies one file.

    Args:
      source: the network.
      target: "onnx" or "torch".
      folder: for the file `<model>_<H>x<W>.<suffix>`; for a model `package.module:ClassName`, the
        file name has the class only.
      inputs: uint8 RGB [N, H, W, 3], the images to verify on; None uses synthetic images.
      batch: fixed number of images per call of an ONNX file, `<model>_<H>x<W>_batch<N>.onnx`; None
        leaves it open.

    Returns:
      Path of the file, and its differences from the model.

    Raises:
      MismatchError: the file does not agree with the model; no file is left behind.
    """
    size, path = source.input_size, _path(source, target, folder, batch)

    def write(file: Path) -> None:
        if target == "onnx":
            export.to_onnx(
                source.model,
                source.variables,
                size,
                file,
                metadata=source.metadata(),
                batch=batch,
            )
        else:
            module = export.to_torch(source.model, source.variables, size)
            export.save_torch(module, size, file, metadata=source.metadata())

    def check(file: Path) -> Agreement:
        return export.verify(
            source.model,
            source.variables,
            file,
            size,
            source.task,
            source.decoder,
            skeleton=source.skeleton,
            images=inputs,
        )

    return path, export.write_verified(write, check, path)


def _path(source: Source, target: str, folder: Path, batch: int | None) -> Path:
    height, width = source.input_size
    fixed = f"_batch{batch}" if batch and target == "onnx" else ""
    return folder / f"{source.name.rpartition(':')[2]}_{height}x{width}{fixed}{SUFFIXES[target]}"


def _check_batch(batch: int | None, targets: Iterable[str]) -> None:
    if batch is not None and batch < 1:
        raise ValueError(f"--batch {batch}: a file takes at least 1 image")
    if batch is not None and "onnx" not in targets:
        raise ValueError("--batch is for ONNX files; add onnx to --to")


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


def _check_choice(what: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ValueError(f"{what} {value!r} is not available; {choose_from(value, choices)}")
    return value
