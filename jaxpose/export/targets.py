"""The export targets: who writes and runs their files, and which options apply to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import flax.linen as nn
import numpy as np

from jaxpose import export
from jaxpose.export.source import Source
from jaxpose.runtimes import RUNTIMES, Runtime, require

# Name of the input of an ONNX file, by the program whose files it replaces. mmdeploy's outputs have
# the names of ours (its configs/mmpose/pose-detection_simcc_onnxruntime_dynamic.py).
INPUT_NAMES = {None: "image", "mmdeploy": "input"}
PROGRAMS = tuple(program for program in INPUT_NAMES if program)
# Precisions whose ranges of values come from images.
CALIBRATED = ("int8-static",)


@dataclass(frozen=True)
class Options:
    """What can be chosen about a file besides its network.

    Attributes:
      precision: one of the target's.
      calibration: uint8 RGB [N, H, W, 3], images that precisions in `CALIBRATED` need.
      batch: fixed number of images per call, if the target has a choice; None leaves it open.
      vulkan: verify the file on the first Vulkan device too, if the target runs on one.
      like: program whose files the file can replace, one of `PROGRAMS`, if the target has the
        choice; None for none.
    """

    precision: str = "fp32"
    batch: int | None = None
    vulkan: bool = False
    like: str | None = None
    calibration: np.ndarray | None = field(default=None, repr=False, compare=False)


DEFAULT = Options()
_FLOAT: dict[str, tuple[str, ...]] = {"fp32": (), "fp16": ()}
_QUANTIZER = ("ai_edge_quantizer",)


@dataclass(frozen=True)
class Target:
    """A format that networks are exported to.

    Attributes:
      runtime: what runs its files, with their suffixes and the package that verification needs.
      write: writes the network of a `Source` to a path.
      precisions: names, each with the packages that it needs besides `packages`.
      packages: that writing needs besides the runtime's.
      batch: whether the number of images per call can be fixed.
      vulkan: whether its files run on Vulkan devices.
      like: whether its files can replace those of other programs (`Options.like`).
      decodes: whether its files can decode (`Source.decoded`).
      check_structure: compares a file with the network without running it; raises MismatchError.
    """

    runtime: Runtime
    write: Callable[[Source, Path, Options], None]
    precisions: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {"fp32": ()})
    packages: tuple[str, ...] = ()
    batch: bool = False
    vulkan: bool = False
    like: bool = False
    decodes: bool = False
    check_structure: Callable[[Source, Path, Options], None] | None = None

    def require_packages(self, precision: str) -> None:
        """Raises ImportError if a package is missing that writes or verifies a file."""
        for package in (*self.packages, self.runtime.package, *self.precisions[precision]):
            require(package)

    def path(self, source: Source, folder: Path, options: Options) -> Path:
        """Path of the file in `folder`: the model, its input size and what is not the default."""
        height, width = source.input_size
        name = f"{source.name.rpartition(':')[2]}_{height}x{width}"
        if options.batch is not None and self.batch:
            name += f"_batch{options.batch}"
        if source.decoded:
            name += "_decoded"
        if options.like and self.like:
            name += f"_{options.like}"
        if options.precision != "fp32":
            name += f"_{options.precision}"
        return folder / f"{name}{self.runtime.suffixes[0]}"


def _write_onnx(source: Source, path: Path, options: Options) -> None:
    export.to_onnx(
        *_network(source),
        path,
        metadata=source.metadata(),
        batch=options.batch,
        precision=options.precision,
        calibration=options.calibration,
        input_name=INPUT_NAMES[options.like],
        decode=source.file_decode,
    )


def _write_torch(source: Source, path: Path, options: Options) -> None:
    module = export.to_torch(*_network(source), decode=source.file_decode)
    export.save_torch(module, source.input_size, path, metadata=source.metadata())


def _write_litert(source: Source, path: Path, options: Options) -> None:
    export.to_litert(
        *_network(source),
        path,
        metadata=source.metadata(),
        precision=options.precision,
        calibration=options.calibration,
    )


def _write_ncnn(source: Source, path: Path, options: Options) -> None:
    metadata = source.metadata()
    export.to_ncnn(*_network(source), path, metadata=metadata, precision=options.precision)


def _write_coreml(source: Source, path: Path, options: Options) -> None:
    metadata = source.metadata()
    export.to_coreml(*_network(source), path, metadata=metadata, precision=options.precision)


def _check_coreml(source: Source, path: Path, options: Options) -> None:
    metadata = source.metadata()
    export.check_coreml(*_network(source), path, metadata=metadata, precision=options.precision)


def _network(source: Source) -> tuple[nn.Module, dict, tuple[int, int]]:
    return source.model, source.variables, source.input_size


TARGETS = {
    "onnx": Target(
        RUNTIMES["onnx"],
        _write_onnx,
        _FLOAT | {"int8-static": ()},
        packages=("onnx",),
        batch=True,
        like=True,
        decodes=True,
    ),
    "torch": Target(RUNTIMES["torch"], _write_torch, decodes=True),
    "litert": Target(
        RUNTIMES["litert"],
        _write_litert,
        _FLOAT
        | {
            "int8-weight-only": _QUANTIZER,
            "int8-dynamic": _QUANTIZER,
            "int8-static": _QUANTIZER,
        },
    ),
    "ncnn": Target(RUNTIMES["ncnn"], _write_ncnn, _FLOAT, vulkan=True),
    "coreml": Target(
        RUNTIMES["coreml"],
        _write_coreml,
        _FLOAT,
        packages=("torch",),
        check_structure=_check_coreml,
    ),
}
