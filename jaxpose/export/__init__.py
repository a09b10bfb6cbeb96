"""Models as files for other runtimes: ONNX and PyTorch, through one walker over the jaxpr.

    module = export.to_torch(model, variables, (256, 192))
    export.to_onnx(model, variables, (256, 192), "hwl.onnx", metadata=source.metadata())
    heatmaps = export.run_file("hwl.onnx")(images)

A file holds the network alone, with all of its outputs, and as metadata what leads from an image to
poses (`jaxpose.tasks`).
"""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import flax.linen as nn

from jaxpose.export.graph import ExportError, Graph, fold
from jaxpose.export.metadata import describe
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
    """The network as the small graph both builders read."""
    height, width = input_size
    return fold(trace(model, variables, (height, width)), fold_bn=fold_bn)


def to_onnx(
    model: nn.Module,
    variables: dict,
    input_size: tuple[int, int],
    path: str | os.PathLike,
    *,
    metadata: dict,
) -> None:
    """Writes an ONNX file (opset 18): `image` float32 [batch,3,H,W] -> `heatmaps` [batch,K,h,w].

    Several outputs are [batch,C,h,w] each, under the names of `metadata["outputs"]`. The image is
    normalized as `metadata` says. Needs the `onnx` package only. The file is not compared with the
    model here: see `verify`, or `write_verified` for both at once.

    Raises:
      ExportError: the model uses what the exporter does not know; names the primitive or operator
        and the module it stands in. Or `metadata` names another number of outputs.
    """
    onnx = require("onnx")
    from jaxpose.export import onnx_builder

    network = build_graph(model, variables, input_size)
    if "outputs" in metadata:
        names = [output["name"] for output in metadata["outputs"]]
        if len(names) != len(network.outputs):
            raise ExportError(
                f"the network has {len(network.outputs)} outputs, the metadata name {len(names)}: "
                f"{', '.join(names)}"
            )
        tensors = [tensor for _, tensor in network.outputs]
        network = dataclasses.replace(network, outputs=list(zip(names, tensors, strict=True)))
    onnx.save(onnx_builder.build(network, metadata), os.fspath(path))


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
