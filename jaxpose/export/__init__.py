"""Export of models to ONNX and PyTorch, through one walker over the jaxpr.

    module = export.to_torch(model, variables, (256, 192))
    export.to_onnx(model, variables, (256, 192), "hwl.onnx", metadata=source.metadata())
    heatmaps = export.run_file("hwl.onnx")(images)

A file holds the network with all of its outputs. Its metadata describe how to get from an image to
poses (`jaxpose.tasks`).
"""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import flax.linen as nn

from jaxpose.export.folding import fold
from jaxpose.export.graph import ExportError, Graph
from jaxpose.export.metadata import describe
from jaxpose.export.passes import optimize
from jaxpose.export.torch_file import save_torch
from jaxpose.export.verify import verify, write_verified
from jaxpose.export.walker import trace
from jaxpose.runtimes import FileError, read_metadata, require, run_file
from jaxpose.tasks.agreement import MismatchError

__all__ = [
    "ExportError",
    "FileError",
    "MismatchError",
    "build_graph",
    "describe",
    "read_metadata",
    "run_file",
    "save_torch",
    "to_onnx",
    "to_torch",
    "verify",
    "write_verified",
]


def build_graph(
    model: nn.Module, variables: dict, input_size: tuple[int, int], *, fold_bn: bool = True
) -> Graph:
    """The network as the graph that the builders read.

    `fold_bn` merges batch norms into convolutions and makes the graph as short as
    `jaxpose.export.passes` can; without it, all parameters stay those of the model.
    """
    height, width = input_size
    network = fold(trace(model, variables, (height, width)), fold_bn=fold_bn)
    return optimize(network) if fold_bn else network


def to_onnx(
    model: nn.Module,
    variables: dict,
    input_size: tuple[int, int],
    path: str | os.PathLike,
    *,
    metadata: dict,
    batch: int | None = None,
) -> None:
    """Writes an ONNX file (opset 14): `image` float32 [batch,3,H,W] -> `heatmaps` [batch,K,h,w].

    Several outputs are [batch,C,h,w] each, with the names in `metadata["outputs"]`. The image must
    be normalized with the mean and standard deviation in `metadata`. Only the `onnx` package is
    needed. The file is not compared with the model here; see `verify`, or `write_verified` for
    both.

    Args:
      model: the network.
      variables: its weights and batch statistics.
      input_size: (H, W).
      path: of the file.
      metadata: JSON values, from `describe`.
      batch: number of images per call; None leaves it open. Some readers need a fixed number, and
        some are faster with it.

    Raises:
      ExportError: the model uses a primitive or operator that is not supported (the message names
        it and its module), or `metadata` names a different number of outputs.
    """
    onnx = require("onnx")
    from jaxpose.export import onnx_builder

    network = build_graph(model, variables, input_size)
    if "outputs" in metadata:
        names = [output["name"] for output in metadata["outputs"]]
        if len(names) != len(network.outputs):
            raise ExportError(
                f"the network has {len(network.outputs)} outputs, but the metadata name "
                f"{len(names)}: {', '.join(names)}"
            )
        tensors = [tensor for _, tensor in network.outputs]
        network = dataclasses.replace(network, outputs=list(zip(names, tensors, strict=True)))
    onnx.save(onnx_builder.build(network, metadata, batch), os.fspath(path))


def to_torch(
    model: nn.Module, variables: dict, input_size: tuple[int, int], *, fold_bn: bool = True
) -> Any:
    """The network as a `torch.fx.GraphModule` in eval mode, NCHW in and out.

    state_dict keys follow the Flax paths (`backbone/layer1/conv/kernel` ->
    `backbone.layer1.conv.weight`). `fold_bn=False` keeps every batch norm as `nn.BatchNorm2d`
    (momentum 0.1), so that the module can be trained.

    Raises ExportError as `to_onnx` does.
    """
    require("torch")
    from jaxpose.export import torch_builder

    return torch_builder.build(build_graph(model, variables, input_size, fold_bn=fold_bn))
