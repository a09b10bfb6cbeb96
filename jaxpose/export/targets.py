"""The export targets: who writes and runs their files, and which options apply to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jaxpose import export
from jaxpose.export.source import Source
from jaxpose.runtimes import RUNTIMES, Runtime, require


@dataclass(frozen=True)
class Options:
    """What can be chosen about a file besides its network.

    Attributes:
      precision: of the weights, one of the target's.
      batch: fixed number of images per call, if the target has a choice; None leaves it open.
      vulkan: verify the file on the first Vulkan device too, if the target runs on one.
    """

    precision: str = "fp32"
    batch: int | None = None
    vulkan: bool = False


DEFAULT = Options()


@dataclass(frozen=True)
class Target:
    """A format that networks are exported to.

    Attributes:
      runtime: what runs its files, with their suffixes and the package that verification needs.
      write: writes the network of a `Source` to a path.
      precisions: of the weights.
      packages: that writing needs besides the runtime's.
      batch: whether the number of images per call can be fixed.
      vulkan: whether its files run on Vulkan devices.
      check_structure: compares a file with the network without running it; raises MismatchError.
    """

    runtime: Runtime
    write: Callable[[Source, Path, Options], None]
    precisions: tuple[str, ...] = ("fp32",)
    packages: tuple[str, ...] = ()
    batch: bool = False
    vulkan: bool = False
    check_structure: Callable[[Source, Path, Options], None] | None = None

    def require_packages(self) -> None:
        """Raises ImportError if a package is missing that writes or verifies a file."""
        for package in (*self.packages, self.runtime.package):
            require(package)

    def path(self, source: Source, folder: Path, options: Options) -> Path:
        """Path of the file in `folder`: the model, its input size and what is not the default."""
        height, width = source.input_size
        name = f"{source.name.rpartition(':')[2]}_{height}x{width}"
        if options.batch is not None and self.batch:
            name += f"_batch{options.batch}"
        if options.precision != "fp32":
            name += f"_{options.precision}"
        return folder / f"{name}{self.runtime.suffixes[0]}"


def _write_onnx(source: Source, path: Path, options: Options) -> None:
    export.to_onnx(*_network(source), path, metadata=source.metadata(), batch=options.batch)


def _write_torch(source: Source, path: Path, options: Options) -> None:
    module = export.to_torch(*_network(source))
    export.save_torch(module, source.input_size, path, metadata=source.metadata())


def _write_litert(source: Source, path: Path, options: Options) -> None:
    metadata = source.metadata()
    export.to_litert(*_network(source), path, metadata=metadata, precision=options.precision)


def _write_ncnn(source: Source, path: Path, options: Options) -> None:
    metadata = source.metadata()
    export.to_ncnn(*_network(source), path, metadata=metadata, precision=options.precision)


def _write_coreml(source: Source, path: Path, options: Options) -> None:
    metadata = source.metadata()
    export.to_coreml(*_network(source), path, metadata=metadata, precision=options.precision)


def _check_coreml(source: Source, path: Path, options: Options) -> None:
    metadata = source.metadata()
    export.check_coreml(*_network(source), path, metadata=metadata, precision=options.precision)


def _network(source: Source) -> tuple:
    return source.model, source.variables, source.input_size


TARGETS = {
    "onnx": Target(RUNTIMES["onnx"], _write_onnx, packages=("onnx",), batch=True),
    "torch": Target(RUNTIMES["torch"], _write_torch),
    "litert": Target(RUNTIMES["litert"], _write_litert, precisions=("fp32", "fp16")),
    "ncnn": Target(RUNTIMES["ncnn"], _write_ncnn, precisions=("fp32", "fp16"), vulkan=True),
    "coreml": Target(
        RUNTIMES["coreml"],
        _write_coreml,
        precisions=("fp32", "fp16"),
        packages=("torch",),
        check_structure=_check_coreml,
    ),
}
