"""`jaxpose export`: writes a run folder as verified ONNX, PyTorch and ncnn files."""

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
from jaxpose.runtimes import SUFFIXES, files_of, require
from jaxpose.tasks import Agreement

TARGETS = tuple(SUFFIXES)
PRECISIONS = {"onnx": ("fp32",), "torch": ("fp32",), "ncnn": ("fp32", "fp16")}
_RUNTIMES = {"onnx": "onnxruntime", "torch": "torch", "ncnn": "ncnn"}  # for the verification


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
        help="precision of the weights: fp32 or, for ncnn, fp16 (default: fp32)",
    )
    parser.add_argument(
        "--vulkan",
        action="store_true",
        help="verify ncnn files on the first Vulkan device too; mesa-vulkan-drivers has one in "
        "software",
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
    """Writes one verified file per target and prints its differences from the model."""
    targets = [_check_choice("target", target, TARGETS) for target in args.to.split(",")]
    for target in targets:
        _check_choice(f"precision of {target}", args.precision, PRECISIONS[target])
        require(_RUNTIMES[target])
    size = parse_size(args.size) if args.size else None
    if args.init == "random":
        source, folder = untrained(args.checkpoint, size, task_name=args.task), Path(".")
    else:
        from jaxpose import runs  # imports orbax, which takes a second that --help does not need

        source = from_run(args.checkpoint, size, runs.parse_step(args.step))
        folder = runs.run_folder(args.checkpoint) / "export"
    folder = args.output or folder
    paths = [_path(source, target, folder, args.precision) for target in targets]
    files = [file for path in paths for file in files_of(path)]
    check_outputs(files, [Path(args.checkpoint), *args.images])
    inputs = _verification_images(args.images, source)
    for target in targets:
        path, agreement = export_file(
            source, target, folder, inputs, precision=args.precision, vulkan=args.vulkan
        )
        written = sum(file.stat().st_size for file in files_of(path))
        print(f"{path} ({written / 1024:.0f} KB): {agreement}", flush=True)
    return 0


def export_file(
    source: Source,
    target: str,
    folder: Path,
    inputs: np.ndarray | None = None,
    *,
    precision: str = "fp32",
    vulkan: bool = False,
) -> tuple[Path, Agreement]:
    """Writes and verifies one file.

    Args:
      source: the network.
      target: "onnx", "torch" or "ncnn".
      folder: for the file `<model>_<H>x<W>.<suffix>`, or `<model>_<H>x<W>_fp16.<suffix>`; for a
        model `package.module:ClassName`, the file name has the class only.
      inputs: uint8 RGB [N, H, W, 3], the images to verify on; None uses synthetic images.
      precision: of the weights, one of `PRECISIONS[target]`.
      vulkan: verify an ncnn file on the first Vulkan device too.

    Returns:
      Path of the file, and its differences from the model.

    Raises:
      MismatchError: the file does not agree with the model; no file is left behind.
    """
    size, path = source.input_size, _path(source, target, folder, precision)
    metadata = source.metadata(precision)

    def write(file: Path) -> None:
        if target == "torch":
            module = export.to_torch(source.model, source.variables, size)
            export.save_torch(module, size, file, metadata=metadata)
        else:
            writer = {"onnx": export.to_onnx, "ncnn": export.to_ncnn}[target]
            writer(source.model, source.variables, size, file, metadata=metadata)

    def check(file: Path) -> Agreement:
        agreement = compare(file)
        if vulkan and target == "ncnn":
            compare(file, vulkan=True)
        return agreement

    def compare(file: Path, vulkan: bool = False) -> Agreement:
        return export.verify(
            source.model,
            source.variables,
            file,
            size,
            source.task,
            source.decoder,
            skeleton=source.skeleton,
            images=inputs,
            precision=precision,
            vulkan=vulkan,
        )

    return path, export.write_verified(write, check, path)


def _path(source: Source, target: str, folder: Path, precision: str) -> Path:
    height, width = source.input_size
    name = f"{source.name.rpartition(':')[2]}_{height}x{width}"
    return folder / f"{name}{'' if precision == 'fp32' else f'_{precision}'}{SUFFIXES[target]}"


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
