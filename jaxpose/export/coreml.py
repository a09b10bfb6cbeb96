"""The export graph as a Core ML program (.mlpackage), and what can be checked without running it.

The PyTorch module of the graph goes through `torch.export` and coremltools. Adaptive average pools
need no form of their own: coremltools writes plain pools where the sizes divide, and slices and
means where they do not.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxpose.export import torch_builder
from jaxpose.export.graph import Const, ExportError, Graph, Node
from jaxpose.runtimes import require
from jaxpose.runtimes.coreml_file import read_coreml_metadata, read_spec
from jaxpose.tasks.agreement import MismatchError

_CONVOLUTIONS = ("conv", "conv_transpose", "channel_conv1d")
# Passes that change weights. The graph is merged as far as it goes, and `check` needs its weights.
_MERGING = {
    "common::fuse_conv_batchnorm",
    "common::fuse_conv_bias",
    "common::fuse_conv_scale",
    "common::fuse_elementwise_to_batchnorm",
    "common::fuse_linear_bias",
}
_TYPES = {"fp32": np.float32, "fp16": np.float16}


def build(graph: Graph, metadata: dict, precision: str = "fp32"):
    """A `coremltools.models.MLModel` of one image `image` [1,3,H,W] for iOS 16 and macOS 13.

    Args:
      graph: the network.
      metadata: JSON values.
      precision: "fp32", or "fp16" to store the weights and to compute in float16; the image and
        the outputs are float32 either way.

    Raises:
      ExportError: coremltools cannot convert the network, or a kernel is beyond the range of
        float16 (the message names its module).
    """
    torch, coremltools = require("torch"), require("coremltools")
    if precision == "fp16":
        _check_range(graph)
    module = torch_builder.build(graph)
    program = torch.export.export(module, (torch.zeros(1, *graph.input.shape[1:]),))
    outputs = [coremltools.TensorType(name=name, dtype=np.float32) for name, _ in graph.outputs]
    pipeline = coremltools.PassPipeline()
    pipeline.remove_passes(_MERGING)
    compute = {"fp32": coremltools.precision.FLOAT32, "fp16": coremltools.precision.FLOAT16}
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # progress bars
            model = coremltools.convert(
                program.run_decompositions({}),
                outputs=outputs,
                convert_to="mlprogram",
                compute_precision=compute[precision],
                minimum_deployment_target=coremltools.target.iOS16,
                pass_pipeline=pipeline,
                skip_model_load=True,
            )
    except Exception as error:  # coremltools has no exceptions of its own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ExportError(f"coremltools cannot convert the network: {reason}") from error
    for key, value in metadata.items():
        model.user_defined_metadata[key] = json.dumps(value)
    return model


def check(path: str | os.PathLike, graph: Graph, metadata: dict, precision: str = "fp32") -> None:
    """Compares a .mlpackage with the network it was written from, without running it.

    Read back and compared are: names, shapes and types of the image and the outputs; the metadata;
    and of every convolution, in order, its strides, padding, dilation and groups, and its kernel
    and bias, rounded to the precision. All other arrays must be somewhere in the file.

    Raises:
      MismatchError: the first difference.
      FileError: the file cannot be read.
    """
    description = read_spec(path).description
    image = [("image", _one(graph.input.shape), "FLOAT32")]
    outputs = [(name, _one(tensor.shape), "FLOAT32") for name, tensor in graph.outputs]
    _expect(path, "image", _features(description.input), image)
    _expect(path, "outputs", _features(description.output), outputs)
    _expect(path, "metadata", read_coreml_metadata(path), json.loads(json.dumps(metadata)))
    operations = list(_operations(path))
    _check_convolutions(path, graph, operations, precision)
    _check_constants(path, graph, operations, precision)


def _check_convolutions(path, graph: Graph, operations: list, precision: str) -> None:
    """Compares the convolutions, which stay in order."""
    found = [op for op in operations if op.op_type in ("conv", "conv_transpose")]
    nodes = [node for node in graph.nodes if node.op in _CONVOLUTIONS]
    _expect(path, "convolutions", len(found), len(nodes))
    for op, node in zip(found, nodes, strict=True):
        where = node.module or node.outputs[0].name
        kind = "conv" if node.op == "channel_conv1d" else node.op
        _expect(path, f"{where}: operation", op.op_type, kind)
        _expect(path, f"{where}: geometry", _geometry(op), _expected_geometry(node))
        arrays = [c.array for c in node.inputs[1:] if isinstance(c, Const)]
        for name, array in zip(("weight", "bias"), arrays, strict=False):
            stored = getattr(op, name)
            if stored is None or not _same(stored.val, array, precision):
                raise MismatchError(f"{path}: {where}: the {name} is not that of the model")


def _check_constants(path, graph: Graph, operations: list, precision: str) -> None:
    """Looks for the arrays of all other operations; single numbers may have become attributes."""
    by_size: dict[int, list[np.ndarray]] = {}
    for op in operations:
        if op.op_type == "const":
            value = np.asarray(op.outputs[0].val)
            by_size.setdefault(value.size, []).append(value)
    for node in graph.nodes:
        if node.op in _CONVOLUTIONS:
            continue
        for array in (c.array for c in node.inputs if isinstance(c, Const) and c.array.size > 1):
            if not any(_same(value, array, precision) for value in by_size.get(array.size, ())):
                where = node.module or node.outputs[0].name
                raise MismatchError(f"{path}: {where}: an array of the model is not in the file")


def _expect(path, what: str, found: Any, expected: Any) -> None:
    if found != expected:
        raise MismatchError(f"{path}: {what}: {found} in the file, {expected} in the model")


def _features(features) -> list[tuple[str, list[int], str]]:
    """(name, shape, type) of inputs or outputs."""
    arrays = [(feature.name, feature.type.multiArrayType) for feature in features]
    return [(name, list(a.shape), a.ArrayDataType.Name(a.dataType)) for name, a in arrays]


def _one(shape: tuple[int, ...]) -> list[int]:
    """A shape for one image."""
    return [1, *shape[1:]]


def _operations(path: str | os.PathLike) -> Iterator[Any]:
    """The operations of the program in the file, in order, as coremltools' own objects."""
    coremltools = require("coremltools")
    from coremltools.converters.mil.frontend.milproto.load import load

    model = coremltools.models.MLModel(os.fspath(path), skip_model_load=True)
    spec = model.get_spec()
    program = load(spec, spec.specificationVersion, model.weights_dir)
    for function in program.functions.values():
        yield from function.operations


def _geometry(op) -> tuple[list[int], list[int], list[int], int]:
    """Strides, padding (before and after, per axis), dilation and groups of a convolution."""
    axes = len(op.strides.val)
    pads = list(map(int, op.pad.val)) if op.pad_type.val == "custom" else [0] * 2 * axes
    strides, dilations = (list(map(int, v.val)) for v in (op.strides, op.dilations))
    return strides, pads, dilations, int(op.groups.val)


def _expected_geometry(node: Node) -> tuple[list[int], list[int], list[int], int]:
    if node.op == "channel_conv1d":
        padding = node.inputs[1].shape[2] // 2
        return [1], [padding] * 2, [1], 1
    a = node.attrs
    pads = [n for padding in a["padding"] for n in (padding, padding)]
    return list(a["stride"]), pads, list(a.get("dilation", (1, 1))), a["groups"]


def _same(stored: np.ndarray, array: np.ndarray, precision: str) -> bool:
    """Whether a stored constant has the values of one of the graph, and the file's precision."""
    expected = np.asarray(array, _TYPES[precision]).ravel()
    return stored.dtype == expected.dtype and np.array_equal(np.ravel(stored), expected)


def _check_range(graph: Graph) -> None:
    """Refuses constants that float16 cannot hold; coremltools would keep them in float32."""
    for node in graph.nodes:
        for constant in node.inputs:
            if isinstance(constant, Const) and np.abs(constant.array).max() > np.finfo("f2").max:
                raise ExportError(
                    f"{node.module}: a weight of {np.abs(constant.array).max():.3g} is beyond the "
                    "range of float16 (65504)"
                )
