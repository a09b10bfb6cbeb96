"""Export of models to ONNX, PyTorch, LiteRT, ncnn and Core ML, through one walker over the jaxpr.

    module = export.to_torch(model, variables, (256, 192))
    export.to_onnx(model, variables, (256, 192), "hwl.onnx", metadata=source.metadata())
    heatmaps = export.run_file("hwl.onnx")(images)

A file holds the network with all of its outputs. Its metadata describe how to get from an image to
poses (`jaxpose.tasks`).
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import numpy as np

from jaxpose import geometry
from jaxpose.choices import check_choice
from jaxpose.export.folding import fold
from jaxpose.export.graph import ExportError, Graph
from jaxpose.export.litert import quantize
from jaxpose.export.metadata import describe
from jaxpose.export.passes import optimize
from jaxpose.export.torch_file import save_torch
from jaxpose.export.verify import Expected, expected_outputs, verify, write_verified
from jaxpose.export.walker import trace
from jaxpose.runtimes import FileError, read_metadata, require, run_file
from jaxpose.tasks.agreement import MismatchError
from jaxpose.wording import quantity

Decode = Callable[[Any], Any]  # outputs of a network -> outputs of its file

__all__ = [
    "Expected",
    "ExportError",
    "FileError",
    "MismatchError",
    "build_graph",
    "check_coreml",
    "describe",
    "expected_outputs",
    "read_metadata",
    "run_file",
    "save_torch",
    "to_coreml",
    "to_litert",
    "to_ncnn",
    "to_onnx",
    "to_torch",
    "verify",
    "write_verified",
]


def build_graph(
    model: nn.Module,
    variables: dict,
    input_size: tuple[int, int],
    *,
    fold_bn: bool = True,
    decode: Decode | None = None,
) -> Graph:
    """The network as the graph that all builders read.

    `fold_bn` merges batch norms into convolutions and makes the graph as short as
    `jaxpose.export.passes` can; without it, all parameters stay those of the model. With `decode`,
    the graph continues with this function of the outputs (`tasks.FileDecoding`).
    """
    height, width = input_size
    network = fold(trace(model, variables, (height, width), decode), fold_bn=fold_bn)
    return optimize(network) if fold_bn else network


def to_onnx(
    model: nn.Module,
    variables: dict,
    input_size: tuple[int, int],
    path: str | os.PathLike,
    *,
    metadata: dict,
    batch: int | None = None,
    precision: str = "fp32",
    calibration: np.ndarray | None = None,
    input_name: str = "image",
    decode: Decode | None = None,
) -> None:
    """Writes an ONNX file (opset 14): `image` float32 [batch,3,H,W] -> `heatmaps` [batch,K,h,w].

    Several outputs are [batch,C,h,w] each, with the names in `metadata["outputs"]`. The image must
    be normalized with the mean and standard deviation in `metadata`. Only the `onnx` package is
    needed, and ONNX Runtime for other precisions than fp32. The file is not compared with the model
    here; see `verify`, or `write_verified` for both.

    Args:
      model: the network.
      variables: its weights and batch statistics.
      input_size: (H, W).
      path: of the file.
      metadata: JSON values, from `describe`; the file's have its `precision`.
      batch: number of images per call; None leaves it open. Some readers need a fixed number, and
        some are faster with it.
      precision: "fp32"; "fp16", weights and activations in float16; or "int8-static", weights and
        activations in 8 bits. Inputs and outputs are float32 in any case.
      calibration: uint8 RGB [N, H, W, 3], typical images, from which "int8-static" takes the ranges
        of the activations.
      input_name: name of the input, for programs that expect another one.
      decode: function of the outputs that the file computes too; see `tasks.FileDecoding`.

    Raises:
      ExportError: the model uses a primitive or operator that is not supported (the message names
        it and its module), `metadata` names a different number of outputs, or a weight is beyond
        the range of float16.
      ValueError: another precision, or no images where they are needed.
    """
    images = _normalized(precision, ("fp32", "fp16", "int8-static"), calibration)
    onnx = require("onnx")
    from jaxpose.export import onnx_builder, onnx_precision

    network = _with_names(build_graph(model, variables, input_size, decode=decode), metadata)
    stored = metadata | {"precision": precision}
    built = onnx_builder.build(network, stored, batch, input_name=input_name)
    if precision != "fp32":
        built = onnx_precision.convert(built, precision, images)
    onnx.save(built, os.fspath(path))


def to_litert(
    model: nn.Module,
    variables: dict,
    input_size: tuple[int, int],
    path: str | os.PathLike,
    *,
    metadata: dict,
    precision: str = "fp32",
    calibration: np.ndarray | None = None,
) -> None:
    """Writes a LiteRT file (.tflite): `image` float32 [1,H,W,3] -> `heatmaps` [1,h,w,K].

    The batch size is 1. Only operators that LiteRT's GPU delegate takes are written. Needs only the
    package `ai-edge-litert`, and `ai-edge-quantizer` for int8. The file is not compared with the
    model here, as for `to_onnx`.

    Args:
      model: the network.
      variables: its weights and batch statistics.
      input_size: (H, W).
      path: of the file.
      metadata: JSON values, from `describe`; the file's have `layout` and `precision` of the file.
      precision: "fp32", or "fp16" to store the kernels as float16, in half the space. Runtimes on
        the CPU compute in float32 either way; the GPU delegate computes in float16 by default.
        "int8-weight-only" stores the kernels as int8, "int8-dynamic" also lets runtimes round the
        inputs of convolutions to int8, and with "int8-static" activations are int8, in ranges from
        `calibration`. The image and the outputs are float32 in any case.
      calibration: uint8 RGB [N, H, W, 3], typical images, for "int8-static".

    Raises:
      ExportError: as `to_onnx`; or the GPU delegate refuses an operator (the message names it and
        its module).
      ValueError: as `to_onnx`.
    """
    images = _normalized(precision, ("fp32", "fp16", *quantize.RECIPES), calibration)
    require("ai_edge_litert")
    from jaxpose.export import litert

    network = _with_names(build_graph(model, variables, input_size), metadata)
    stored = metadata | {"layout": "NHWC", "precision": precision}
    content = litert.build(
        network,
        stored,
        half=precision == "fp16",
        # The quantizer would leave an operator that reads an output with a float32 input.
        copy_outputs=precision == "int8-static",
        names=precision != "fp16",  # the quantizer needs them, and leaves them out afterwards
    )
    if precision in quantize.RECIPES:
        content = quantize.quantize(content, precision, images)
    Path(path).write_bytes(content)


def to_ncnn(
    model: nn.Module,
    variables: dict,
    input_size: tuple[int, int],
    path: str | os.PathLike,
    *,
    metadata: dict,
    precision: str = "fp32",
) -> None:
    """Writes an ncnn network: the .param file at `path`, and a .bin and a .json file beside it.

    The blob `image` is one normalized image, 3 channels of [H,W]; the outputs have the names of
    `to_onnx`. The .json file has the metadata. No package is needed to write the files. They are
    not compared with the model here, as for `to_onnx`.

    Args:
      model: the network.
      variables: its weights and batch statistics.
      input_size: (H, W).
      path: of the .param file.
      metadata: JSON values, from `describe`; the file's have its `precision`.
      precision: "fp32", or "fp16" to store the kernels as float16, in half the space.

    Raises:
      ExportError: as `to_onnx`; or ncnn does not have an operation, or a kernel is beyond the range
        of float16 (the message names its module).
    """
    from jaxpose.export import ncnn_builder
    from jaxpose.runtimes import ncnn_file

    network = _with_names(build_graph(model, variables, input_size), metadata)
    param, weights = ncnn_builder.build(network, precision)
    stored = metadata | {"precision": precision}
    ncnn_file.write(path, param, weights, stored, [name for name, _ in network.outputs])


def _normalized(
    precision: str, choices: Sequence[str], calibration: np.ndarray | None
) -> np.ndarray | None:
    """The images as float32, normalized; checks the precision, and that it has what it needs."""
    check_choice("precision", precision, choices)
    if precision == "int8-static" and (calibration is None or not len(calibration)):
        raise ValueError("int8-static needs images to calibrate on: give `calibration`")
    return None if calibration is None else np.asarray(geometry.normalize(calibration))


def to_coreml(
    model: nn.Module,
    variables: dict,
    input_size: tuple[int, int],
    path: str | os.PathLike,
    *,
    metadata: dict,
    precision: str = "fp32",
) -> None:
    """Writes a Core ML program (.mlpackage, a folder): `image` float32 [1,3,H,W] -> `heatmaps`.

    The outputs are float32 [1,C,h,w] each, with the names of `to_onnx`. Needs `torch` and
    `coremltools`, but not macOS. The program is not compared with the model here; see
    `check_coreml`.

    Args:
      model: the network.
      variables: its weights and batch statistics.
      input_size: (H, W).
      path: of the folder; an older one is replaced.
      metadata: JSON values, from `describe`; the file's have its `precision`.
      precision: "fp32", or "fp16" to store the weights and to compute in float16.

    Raises:
      ExportError: as `to_onnx`; or coremltools cannot convert the network, or a weight is beyond
        the range of float16 (the message names its module).
    """
    require("torch")
    require("coremltools")
    from jaxpose.export import coreml

    network = _with_names(build_graph(model, variables, input_size), metadata)
    coreml.build(network, metadata | {"precision": precision}, precision).save(os.fspath(path))


def check_coreml(
    model: nn.Module,
    variables: dict,
    input_size: tuple[int, int],
    path: str | os.PathLike,
    *,
    metadata: dict,
    precision: str = "fp32",
) -> None:
    """Compares a file of `to_coreml` with the model, without running it; arguments as there.

    This works on every system and finds wrong names, shapes, weights and metadata, but it is no
    proof that Core ML computes the same poses.

    Raises:
      MismatchError: the first difference.
      FileError: the file cannot be read.
    """
    from jaxpose.export import coreml

    network = _with_names(build_graph(model, variables, input_size), metadata)
    coreml.check(path, network, metadata | {"precision": precision}, precision)


def _with_names(network: Graph, metadata: dict) -> Graph:
    """The network with its outputs named as in `metadata`, if that names them."""
    if "outputs" not in metadata:
        return network
    names = [output["name"] for output in metadata["outputs"]]
    if len(names) != len(network.outputs):
        raise ExportError(
            f"the network has {quantity(len(network.outputs), 'output')}, but the metadata name "
            f"{len(names)}: {', '.join(names)}"
        )
    tensors = [tensor for _, tensor in network.outputs]
    return dataclasses.replace(network, outputs=list(zip(names, tensors, strict=True)))


def to_torch(
    model: nn.Module,
    variables: dict,
    input_size: tuple[int, int],
    *,
    fold_bn: bool = True,
    decode: Decode | None = None,
) -> Any:
    """The network as a `torch.fx.GraphModule` in eval mode, NCHW in and out.

    state_dict keys follow the Flax paths (`backbone/layer1/conv/kernel` ->
    `backbone.layer1.conv.weight`). `fold_bn=False` keeps every batch norm as `nn.BatchNorm2d`
    (momentum 0.1), so that the module can be trained. `decode` is as for `to_onnx`.

    Raises ExportError as `to_onnx` does.
    """
    require("torch")
    from jaxpose.export import torch_builder

    network = build_graph(model, variables, input_size, fold_bn=fold_bn, decode=decode)
    return torch_builder.build(network)
