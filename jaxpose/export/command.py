"""`jaxpose export`: a run folder as ONNX and PyTorch files, verified before they get a name."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from jaxpose import export, geometry, images
from jaxpose.choices import choose_from
from jaxpose.export.source import Source, from_run, untrained
from jaxpose.models.sizes import parse_size
from jaxpose.runtimes import SUFFIXES
from jaxpose.tasks import Agreement

TARGETS = tuple(SUFFIXES)
PRECISIONS = ("fp32",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument(
        "checkpoint",
        metavar="CHECKPOINT",
        help="run folder or one checkpoint in it; with --init random, a model name or "
        "package.module:ClassName",
    )
    parser.add_argument(
        "--to",
        default="onnx",
        metavar="TARGET[,TARGET]",
        help=f"any of {', '.join(TARGETS)} (default onnx)",
    )
    parser.add_argument("--precision", default="fp32", help="fp32 (the only one so far)")
    parser.add_argument("--size", metavar="HxW", help="input size; default that of the run")
    parser.add_argument(
        "--task", help="with --init random, of a network that states none, e.g. topdown"
    )
    parser.add_argument("--step", help="last (the default), best or a step of the run")
    parser.add_argument(
        "--init",
        choices=("random",),
        help="random weights instead of a checkpoint, to measure latency",
    )
    parser.add_argument(
        "--images",
        "--pictures",
        nargs="+",
        metavar="FILE",
        default=(),
        help="photographs to verify on, in addition to drawn images; for a top-down network, of "
        "one person each",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        help="default: RUN/export, or the current folder with --init random",
    )


def run(args: argparse.Namespace) -> int:
    """Writes one verified file for each target and prints how well it agrees."""
    targets = [_known("target", target, TARGETS) for target in args.to.split(",")]
    _known("precision", args.precision, PRECISIONS)
    size = parse_size(args.size) if args.size else None
    if args.init == "random":
        source, folder = untrained(args.checkpoint, size, task_name=args.task), Path(".")
    else:
        from jaxpose import runs  # orbax: a second that --help need not wait for

        source = from_run(args.checkpoint, size, runs.parse_step(args.step))
        folder = runs.run_folder(args.checkpoint) / "export"
    folder = Path(args.output) if args.output else folder
    crops = _crops(args.images, source)
    for target in targets:
        path, agreement = export_file(source, target, folder, crops)
        print(f"{path} ({path.stat().st_size / 1024:.0f} KB): {agreement}", flush=True)
    return 0


def export_file(
    source: Source, target: str, folder: Path, crops: np.ndarray | None = None
) -> tuple[Path, Agreement]:
    """Writes `folder/<model>_<H>x<W>.<suffix>` and verifies it on uint8 `crops`.

    Of a model `package.module:ClassName` the file name has the class alone.

    Raises MismatchError, leaving no file, when it does not agree with the model.
    """
    size = source.input_size
    model = source.name.rpartition(":")[2]
    path = folder / f"{model}_{size[0]}x{size[1]}{SUFFIXES[target]}"

    def write(where: Path) -> None:
        if target == "onnx":
            export.to_onnx(source.model, source.variables, size, where, metadata=source.metadata())
        else:
            module = export.to_torch(source.model, source.variables, size)
            export.save_torch(module, size, where, metadata=source.metadata())

    def check(where: Path) -> Agreement:
        return export.verify(
            source.model,
            source.variables,
            where,
            size,
            source.task,
            source.decoder,
            skeleton=source.skeleton,
            images=crops,
        )

    return path, export.write_verified(write, check, path)


def _crops(files: Iterable[str], source: Source) -> np.ndarray | None:
    """Each image as the network sees it in evaluation, and drawn ones."""
    crops, size = [], source.input_size
    for name in files:
        try:
            image = images.decode(Path(name).read_bytes())
        except images.ImageError as error:
            raise ValueError(f"{name}: {error}") from None
        center, scale = source.task.view(image.shape[:2], size)
        crops.append(geometry.crop(image, geometry.affine(center, scale, 0.0, size), size))
    if not crops:
        return None
    return np.concatenate([np.stack(crops), images.draw_samples(size)])


def _known(what: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ValueError(f"{what} {value!r} is not available; {choose_from(value, known)}")
    return value
