"""Models as files for other runtimes: ONNX and PyTorch, through one walker over the jaxpr.

module = export.to_torch(model, variables, (256, 192))
export.to_onnx(model, variables, (256, 192), "hwl.onnx", metadata=export.describe(...))
heatmaps = export.run_file("hwl.onnx")(images)

A file holds the network alone, with all of its outputs; what finds people in its maps
is shared with the models (`jaxpose.codecs`).
"""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import flax.linen as nn

from jaxpose import __version__, geometry
from jaxpose.codecs import part_affinity
from jaxpose.codecs.associative_embedding import Grouping
from jaxpose.export.agreement import Agreement, MismatchError
from jaxpose.export.files import read_metadata, require, run_file, save_torch
from jaxpose.export.graph import ExportError, Graph, fold
from jaxpose.export.people import PeopleAgreement
from jaxpose.export.verify import sample_crops, verify, write_verified
from jaxpose.export.walker import trace
from jaxpose.skeletons import Skeleton

__all__ = [
    "Agreement",
    "ExportError",
    "MismatchError",
    "PeopleAgreement",
    "build_graph",
    "describe",
    "describe_bottomup",
    "describe_part_affinity",
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
    return _facts(model_name, "topdown", skeleton, input_size, precision) | {
        "box_padding": geometry.BOX_PADDING,
        "heatmap_stride": 4,
        "codec": {"name": "topdown", "decode": decode, "sigma": sigma, "flip_shift": True},
    }


def describe_bottomup(
    model_name: str,
    skeleton: Skeleton,
    input_size: tuple[int, int],
    *,
    grouping: Grouping | None = None,
    sigma: float = 2.0,
    precision: str = "fp32",
) -> dict[str, Any]:
    """The metadata of a bottom-up file: all that leads from a photograph to its people.

    `sizing` "fixed": the whole picture, centred, as large as `input_size` holds it, black around it
    (`jaxpose.geometry.bottomup_fit`). `outputs` are the file's, in order, each with its stride and
    its channels [start, stop]; `codec` and `grouping` are what
    `jaxpose.codecs.associative_embedding` does with them: merged at the resolution of the last and
    brought to the input's size, then people (`grouping` None: as for the published scores).
    """
    joints = skeleton.num_joints
    return _facts(model_name, "associative_embedding", skeleton, input_size, precision) | {
        "sizing": "fixed",
        "outputs": [
            {
                "name": "heatmaps_tags",
                "stride": 4,
                "heatmaps": [0, joints],
                "tags": [joints, 2 * joints],
            },
            {"name": "heatmaps", "stride": 2, "heatmaps": [0, joints]},
        ],
        "codec": {
            "name": "associative_embedding",
            "sigma": sigma,
            "flip_shift": False,
            "resize": "bilinear, half-pixel centers",
            "project_to_input": True,
        },
        "grouping": dataclasses.asdict(grouping or Grouping()),
    }


def describe_part_affinity(
    model_name: str,
    skeleton: Skeleton,
    input_size: tuple[int, int],
    *,
    stages: int = 2,
    grouping: part_affinity.Grouping | None = None,
    sigma: float = 7.0,
    precision: str = "fp32",
) -> dict[str, Any]:
    """The metadata of a file with heatmaps and part affinity fields of so many stages.

    As `describe_bottomup`. `outputs` are two a stage, the last two being those in which
    `jaxpose.codecs.part_affinity` finds people: a channel for each of `codec["joints"]` and the
    background, and two, x and y, for each of `codec["limbs"]`.
    """
    codec = part_affinity
    joints, limbs = codec.OPENPOSE.num_joints, len(codec.LIMBS)
    return _facts(model_name, "part_affinity", skeleton, input_size, precision) | {
        "sizing": "fixed",
        "outputs": [
            {"name": f"{name}_{stage}", "stride": 8, name: [0, channels]}
            for stage in range(stages)
            for name, channels in (("heatmaps", joints), ("fields", 2 * limbs))
        ],
        "codec": {
            "name": "part_affinity",
            "joints": list(codec.OPENPOSE.joints),
            "limbs": [list(limb) for limb in codec.LIMBS],
            "sigma": sigma,
            "resize": "bicubic, half-pixel centers, a = -0.75",
            "project_to_input": True,
        },
        "grouping": dataclasses.asdict(grouping or codec.Grouping()),
    }


def _facts(
    model_name: str, task: str, skeleton: Skeleton, input_size: tuple[int, int], precision: str
) -> dict[str, Any]:
    """What is told of every file."""
    return {
        "jaxpose": __version__,
        "model": model_name,
        "task": task,
        "num_keypoints": skeleton.num_joints,
        "input_size": list(input_size),
        "precision": precision,
        "layout": "NCHW",
        "color_order": "RGB",
        "mean": [round(float(v), 6) for v in geometry.MEAN],
        "std": [round(float(v), 6) for v in geometry.STD],
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
) -> None:
    """Writes an ONNX file (opset 18): `image` float32 [batch,3,H,W] -> `heatmaps` [batch,K,h,w].

    Several outputs are [batch,C,h,w] each, under the names of `metadata["outputs"]`. The image is
    normalised as `metadata` says. Needs the `onnx` package only. The file is not compared with the
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
