"""The three files of an exported ncnn network: written, checked, and run.

`hwl.param` lists the layers, `hwl.bin` holds their weights, and `hwl.json` has the metadata, for
which ncnn has no place, with the names of the outputs and the checksums of the other two. ncnn
computes with weights that are damaged or of another network, prints what it cannot read to the
terminal, and in some versions ends the process. So the files are checked here before it gets them.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from jaxpose.runtimes.errors import FileError
from jaxpose.runtimes.layout import Call, channels_last
from jaxpose.runtimes.packages import require

MAGIC = "7767517"
FLOAT16 = 0x01306B47  # first word of a kernel in half precision; 0 for float32
SUFFIXES = (".param", ".bin", ".json")
OWN_KEY = "ncnn"  # of the JSON file; the other keys are the metadata
# The layers that `jaxpose.export.ncnn_builder` writes, without those that have weights.
_PLAIN = frozenset(
    "BinaryOp Clip Concat Crop ELU Erf GELU HardSigmoid HardSwish Input Interp MatMul Padding "
    "Permute Pooling ReLU Reduction Reshape ShuffleChannel Sigmoid Slice Split Swish Tile "
    "UnaryOp".split()
)
# The layers with a kernel, and their parameter that is its size; the one before says whether there
# are biases, one per output (parameter 0).
_KERNEL = {
    "Convolution": 6,
    "ConvolutionDepthWise": 6,
    "Deconvolution": 6,
    "DeconvolutionDepthWise": 6,
    "InnerProduct": 2,
}


def files(path: str | os.PathLike) -> tuple[Path, ...]:
    """The .param, .bin and .json file of the network at `path`, its .param file."""
    return tuple(Path(path).with_suffix(suffix) for suffix in SUFFIXES)


def write(
    path: str | os.PathLike, param: str, weights: bytes, metadata: dict, outputs: list[str]
) -> None:
    """Writes the three files; `outputs` are the names of the network's outputs, in order."""
    network = {"param": param.encode(), "bin": weights}
    sums = {key: hashlib.sha256(data).hexdigest() for key, data in network.items()}
    own = {"outputs": outputs, "sha256": sums}
    document = json.dumps({**metadata, OWN_KEY: own}, indent=1) + "\n"
    for file, data in zip(files(path), (*network.values(), document.encode()), strict=True):
        file.write_bytes(data)


def read(path: str | os.PathLike) -> tuple[dict[str, Any], list[str], tuple[int, int, int]]:
    """Reads and checks the three files.

    Returns:
      The metadata, the names of the outputs, and the shape (C, H, W) of the input.

    Raises:
      FileError: a file is missing, damaged, or belongs to another network.
    """
    file, weights_file, document_file = files(path)
    for other in (weights_file, document_file):
        if not other.is_file():
            raise FileError(
                f"{path}: {other.name} is missing beside it: an ncnn network is three files, "
                ".param, .bin and .json"
            )
    param, weights = file.read_bytes(), weights_file.read_bytes()
    try:
        layers = _layers(param.decode())
        shape = next((int(p[2]), int(p[1]), int(p[0])) for kind, p in layers if kind == "Input")
        size = _weights_size(layers, weights)
    except (ValueError, KeyError, StopIteration) as error:
        reason = error if isinstance(error, _Damaged) else "damaged, or not an ncnn file"
        raise FileError(f"{file}: cannot be read: {reason}") from error
    if size != len(weights):
        raise FileError(
            f"{weights_file}: cannot be read: it has {len(weights)} bytes, but the layers of "
            f"{file.name} need {size}"
        )
    try:
        document = json.loads(document_file.read_bytes())
        own = document.pop(OWN_KEY)
        outputs, sums = list(own["outputs"]), own["sha256"]
        expected = [(file, param, sums["param"]), (weights_file, weights, sums["bin"])]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FileError(
            f"{document_file}: cannot be read: damaged, or not of {file.name}"
        ) from error
    for name, data, digest in expected:
        if hashlib.sha256(data).hexdigest() != digest:
            raise FileError(
                f"{name}: cannot be read: it is not the file that was written with "
                f"{document_file.name}"
            )
    return document, outputs, shape


class _Damaged(ValueError):
    """What is wrong with a .param file."""


def _layers(text: str) -> list[tuple[str, dict[int, str]]]:
    """(kind, parameters) of each layer of a .param file.

    Raises:
      ValueError: not a .param file, or one whose layers and blobs do not fit together.
    """
    magic, *lines = text.split("\n")
    if magic.strip() != MAGIC:
        raise _Damaged(f"not an ncnn file: the first line must be {MAGIC}")
    if not lines or not text.endswith("\n"):
        raise _Damaged("truncated")
    layer_count, blob_count = map(int, lines[0].split())
    lines = [line for line in lines[1:] if line.strip()]
    if len(lines) != layer_count:
        raise _Damaged(f"it has {len(lines)} layers, but {layer_count} in its second line")
    layers: list[tuple[str, dict[int, str]]] = []
    written: set[str] = set()
    unread: set[str] = set()
    for line in lines:
        kind, name, *words = line.split()
        reads, writes = int(words[0]), int(words[1])
        inputs, outputs = words[2 : 2 + reads], words[2 + reads : 2 + reads + writes]
        if len(outputs) < writes or written & set(outputs) or not unread >= set(inputs):
            raise _Damaged(f"the blobs of layer {name} do not fit the layers before it")
        written |= set(outputs)
        unread = (unread - set(inputs)) | set(outputs)
        pairs = (word.split("=") for word in words[2 + reads + writes :])
        layers.append((kind, {int(key): value for key, value in pairs}))
        if kind not in _PLAIN | _KERNEL.keys() | {"BatchNorm", "MemoryData"}:
            raise _Damaged(f"layer {name} is a {kind}, which `jaxpose export` does not write")
    if len(written) != blob_count:
        raise _Damaged(f"it has {len(written)} blobs, but {blob_count} in its second line")
    return layers


def _weights_size(layers: list[tuple[str, dict[int, str]]], weights: bytes) -> int:
    """The size in bytes that the .bin file of the layers has.

    The type of each kernel is its first word in `weights`; one past the end counts as float32.
    """
    offset = 0
    for kind, p in layers:
        if kind in _KERNEL:
            count = int(p[_KERNEL[kind]])
            half = weights[offset : offset + 4] == FLOAT16.to_bytes(4, "little")
            offset += 4 + (-(-count * 2 // 4) * 4 if half else count * 4)
            offset += 4 * int(p[0]) * int(p[_KERNEL[kind] - 1])  # the biases
        elif kind == "BatchNorm":
            offset += 4 * 4 * int(p[0])
        elif kind == "MemoryData":
            offset += 4 * int(np.prod([int(p[key]) for key in (0, 1, 11, 2) if key in p]))
    return offset


def open_ncnn(
    path: str | os.PathLike, threads: int | None = None, *, vulkan: bool = False
) -> tuple[dict[str, Any], Call]:
    """Opens an ncnn network to run on the CPU or on a Vulkan device.

    Computes in float32, also where ncnn would choose half precision, so that results do not depend
    on the processor.

    Args:
      path: the .param file.
      threads: number of threads; None for ncnn's default.
      vulkan: run on the first Vulkan device instead of the CPU.

    Returns:
      The metadata, and a function of images [B, H, W, 3], which run one after the other.

    Raises:
      FileError: the files are damaged, or this version of ncnn lacks a layer.
      ImportError: ncnn is not installed.
      ValueError: there is no Vulkan device.
    """
    metadata, outputs, shape = read(path)
    return metadata, channels_last(_call(path, outputs, shape, threads, vulkan))


def ncnn_call(path: str | os.PathLike, threads: int | None = None) -> Call:
    """The network on the CPU as a function of images [B, 3, H, W]; errors as for `open_ncnn`."""
    _, outputs, shape = read(path)
    return _call(path, outputs, shape, threads)


def _call(
    path: str | os.PathLike,
    outputs: list[str],
    shape: tuple[int, int, int],
    threads: int | None,
    vulkan: bool = False,
) -> Call:
    ncnn = require("ncnn")
    if vulkan and not devices():
        raise ValueError(
            "no Vulkan device: install a driver, for a software device that of the package "
            "mesa-vulkan-drivers"
        )
    net = ncnn.Net()
    net.opt.use_vulkan_compute = vulkan
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = False
    if threads is not None:
        net.opt.num_threads = threads
    if net.load_param(os.fspath(path)) or net.load_model(os.fspath(files(path)[1])):
        raise FileError(f"{path}: ncnn {ncnn.__version__} cannot read it; try the newest version")

    def one(image: np.ndarray) -> list[np.ndarray]:
        if image.shape != shape:
            raise ValueError(f"{path}: an image must be {list(shape)}, not {list(image.shape)}")
        with net.create_extractor() as extractor:
            extractor.input("image", ncnn.Mat(image).clone())  # a Mat does not keep its array
            results = []
            for name in outputs:
                status, blob = extractor.extract(name)
                if status:
                    raise FileError(f"{path}: ncnn {ncnn.__version__} cannot compute {name!r}")
                results.append(np.array(blob))
            return results

    def run(images: np.ndarray) -> list[np.ndarray]:
        rows = [one(np.ascontiguousarray(image, np.float32)) for image in images]
        return [np.stack(parts) for parts in zip(*rows, strict=True)]

    return run


def devices() -> list[str]:
    """Names of the Vulkan devices, software ones included."""
    ncnn = require("ncnn")
    ncnn.create_gpu_instance()
    return [ncnn.get_gpu_info(i).device_name() for i in range(ncnn.get_gpu_count())]
