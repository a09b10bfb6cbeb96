"""Models as files for other runtimes: ONNX and PyTorch, through one walker over the jaxpr.

module = export.to_torch(model, variables, (256, 192))
export.to_onnx(model, variables, (256, 192), "hwl.onnx", metadata=export.describe(...))
heatmaps = export.run_file("hwl.onnx")(images)
"""

from __future__ import annotations

import os
from typing import Any

import flax.linen as nn

from jaxpose import __version__, geometry
from jaxpose.export.files import read_metadata, require, run_file, save_torch
from jaxpose.export.graph import ExportError, Graph, fold
from jaxpose.export.verify import Agreement, MismatchError, sample_crops, verify, write_verified
from jaxpose.export.walker import trace
from jaxpose.skeletons import Skeleton

__all__ = [
    "Agreement",
    "ExportError",
    "MismatchError",
    "build_graph",
    "describe",
    "read_metadata",
    "run_file",
    "sample_crops",
    "save_torch",
    "to_onnx",
    "to_torch",
    "verify",
    "write_verified",
]


def describe(
    model_name: str,
    skeleton: Skeleton,
    input_size: tuple[int, int],
    *,
    decode: str = "quarter",
    sigma: float = 2.0,
    precision: str = "fp32",
) -> dict[str, Any]:
    """The metadata of a top-down file: all that leads from a photograph and a box to joints.

    JSON values only; sizes are [H, W]. Crops are taken as `jaxpose.geometry` does, with the box
    grown by `box_padding` after its aspect was fixed.
    """
    return {
        "jaxpose": __version__,
        "model": model_name,
        "paradigm": "topdown",
        "num_keypoints": skeleton.num_joints,
        "input_size": list(input_size),
        "precision": precision,
        "layout": "NCHW",
        "color_order": "RGB",
        "mean": [round(float(v), 6) for v in geometry.MEAN],
        "std": [round(float(v), 6) for v in geometry.STD],
        "box_padding": geometry.BOX_PADDING,
        "heatmap_stride": 4,
        "codec": {"name": "topdown", "decode": decode, "sigma": sigma, "flip_shift": True},
        "skeleton": skeleton.to_dict(),
    }


def build_graph(
    model: nn.Module, variables: dict, input_size: tuple[int, int], *, fold_bn: bool = True
) -> Graph:
    """The network as the small graph both builders read."""
    return fold(trace(model, variables, tuple(input_size)), fold_bn=fold_bn)


def to_onnx(
    model: nn.Module,
    variables: dict,
    input_size: tuple[int, int],
    path: str | os.PathLike,
    *,
    metadata: dict,
    dynamic_batch: bool = True,
) -> None:
    """Writes an ONNX file (opset 18): `image` float32 [batch,3,H,W] -> `heatmaps` [batch,K,h,w].

    The image is normalised as `metadata` says. Needs the `onnx` package only. The file is not
    compared with the model here: see `verify`, or `write_verified` for both at once.

    Raises:
      ExportError: the model uses what the exporter does not know; names the primitive or operator
        and the module it stands in.
    """
    onnx = require("onnx")
    from jaxpose.export import onnx_builder

    network = build_graph(model, variables, input_size)
    onnx.save(onnx_builder.build(network, metadata, dynamic_batch=dynamic_batch), os.fspath(path))


def to_torch(
    model: nn.Module, variables: dict, input_size: tuple[int, int], *, fold_bn: bool = True
) -> Any:
    """The network as a `torch.fx.GraphModule` in eval mode, NCHW in and out.

    state_dict keys follow the Flax paths (`backbone/layer1/conv/kernel` ->
    `backbone.layer1.conv.weight`). `fold_bn=False` keeps every batch norm as `nn.BatchNorm2d`
    (momentum 0.1), so that the module can be trained.

    Raises ExportError as `to_onnx` does.
    """
    require("torch", "torch")
    from jaxpose.export import torch_builder

    return torch_builder.build(build_graph(model, variables, input_size, fold_bn=fold_bn))
