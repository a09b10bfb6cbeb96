"""The remaining nodes of the export graph as LiteRT operators.

Only operators that the GPU delegate takes are used (see `gate`): for instance a hard sigmoid is
built from an addition with a fused ReLU6, because RELU_0_TO_1 is not among them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jaxpose.export.graph import Const, ExportError, Node
from jaxpose.export.layout import TO_NHWC
from jaxpose.export.litert.program import Program, Value, physical, physical_axis

_BINARY = {
    "add": "ADD",
    "sub": "SUB",
    "mul": "MUL",
    "div": "DIV",
    "max": "MAXIMUM",
    "min": "MINIMUM",
}
_COMMUTATIVE = ("add", "mul", "max", "min")
_UNARY = {
    "neg": "NEG",
    "exp": "EXP",
    "log": "LOG",
    "sqrt": "SQRT",
    "abs": "ABS",
    "tanh": "TANH",
}
_REDUCE = {"sum": "SUM", "max": "REDUCE_MAX", "min": "REDUCE_MIN"}


def activation(program: Program, node: Node, x: Value, alone: bool) -> Value:
    """`activation`; ReLU and ReLU6 are fused into the operator before, if `alone` reads it."""
    kind, name, shape = node.attrs["kind"], node.outputs[0].name, x.shape

    def number(value: float) -> Value:
        return program.constant(np.array([value], np.float32), "number")

    def binary(operator: str, left: Value, right: Value, part: str = "", **options) -> Value:
        return program.add(operator, [left, right], shape, f"{name}{part}", **options)

    if kind in ("relu", "relu6"):
        if alone and program.fuse(x, kind.upper()):
            return x
        return program.add(kind.upper(), [x], shape, name)
    if kind in ("hard_sigmoid", "hard_sigmoid_v1"):  # relu6(x + 3) / 6 and relu6(3 x + 3) / 6
        if kind == "hard_sigmoid_v1":
            x = binary("MUL", x, number(3), "/scaled")
        x = binary("ADD", x, number(3), "/shifted", fusedActivationFunction="RELU6")
        return binary("MUL", x, number(1 / 6))
    if kind == "silu":
        return binary("MUL", x, program.add("LOGISTIC", [x], shape, f"{name}/gate"))
    if kind == "gelu":
        return program.add("GELU", [x], shape, name, approximate=False)
    operators = {"hard_swish": "HARD_SWISH", "sigmoid": "LOGISTIC", "elu": "ELU"}
    if kind not in operators:
        raise ExportError(f"{node.module}: activation {kind!r} cannot be exported to LiteRT")
    return program.add(operators[kind], [x], shape, name)


def batch_norm(program: Program, node: Node, x: Value) -> Value:
    """`batch_norm` that could not be folded: one product and one sum per channel."""
    arrays = [c.array.astype(np.float64) for c in node.inputs[1:] if isinstance(c, Const)]
    scale, shift, mean, variance = arrays
    factor = scale / np.sqrt(variance + node.attrs["eps"])
    name, per_channel = node.outputs[0].name, (1,) * (len(x.shape) - 1) + (-1,)
    factors, offsets = (
        program.constant(array.astype(np.float32).reshape(per_channel), f"{name}/{part}")
        for array, part in ((factor, "factor"), (shift - mean * factor, "offset"))
    )
    y = program.add("MUL", [x, factors], x.shape, f"{name}/scaled")
    return program.add("ADD", [y, offsets], x.shape, name)


def resize(program: Program, node: Node, x: Value) -> Value:
    """`resize`; the options select the same sample positions."""
    shape, name, method = (
        physical(node.outputs[0].shape),
        node.outputs[0].name,
        node.attrs["method"],
    )
    inputs = [x, program.integers(shape[1:3])]
    if method == "nearest":
        for before, after in zip(x.shape[1:3], shape[1:3], strict=True):
            _check_nearest(node, before, after)
        return program.add(
            "RESIZE_NEAREST_NEIGHBOR", inputs, shape, name, alignCorners=False,
            halfPixelCenters=False,
        )  # fmt: skip
    centers = method == "bilinear"
    return program.add(
        "RESIZE_BILINEAR", inputs, shape, name, 3 if centers else 1,
        alignCorners=not centers, halfPixelCenters=centers,
    )  # fmt: skip


def _check_nearest(node: Node, before: int, after: int) -> None:
    """LiteRT multiplies by a rounded scale, which may select a neighbor of the right pixel."""
    places = np.arange(after)
    scale = np.float32(before) / np.float32(after)
    read = np.floor(places.astype(np.float32) * scale).astype(int)
    if (read != places * before // after).any():
        raise ExportError(
            f"{node.module}: nearest-neighbor resizing from {before} to {after} pixels cannot be "
            "exported to LiteRT, which would read other pixels"
        )


def reduce(program: Program, kind: str, x: Value, axes: Sequence[int], name: str) -> Value:
    """A reduction that keeps the axes with length 1; `axes` in the order of the program."""
    shape = [1 if axis in axes else size for axis, size in enumerate(x.shape)]
    return program.add(kind, [x, program.integers(sorted(axes))], shape, name, keepDims=True)


def reduce_node(program: Program, node: Node, x: Value) -> Value:
    """`reduce`."""
    axes = [physical_axis(axis, len(x.shape)) for axis in node.attrs["axes"]]
    return reduce_by(program, node, x, axes)


def reduce_by(program: Program, node: Node, x: Value, axes: Sequence[int]) -> Value:
    """`reduce` over `axes` in the order of the program."""
    return reduce(program, _REDUCE[node.attrs["kind"]], x, axes, node.outputs[0].name)


def channel_conv1d(program: Program, node: Node, x: Value) -> Value:
    """`channel_conv1d`: the channels as a row of pixels."""
    kernel = node.inputs[1]
    assert isinstance(kernel, Const)
    name, channels = node.outputs[0].name, x.shape[3]
    weights = [
        program.kernel(kernel.array.reshape(1, 1, -1, 1), "/".join(kernel.path[1:]) or name),
        program.constant(np.zeros(1, np.float32), f"{name}/bias"),
    ]
    row = program.reshape(x, (1, 1, channels, 1), f"{name}/row")
    mixed = program.add(
        "CONV_2D", [row, *weights], row.shape, f"{name}/mixed", padding="SAME",
        strideH=1, strideW=1, dilationHFactor=1, dilationWFactor=1,
    )  # fmt: skip
    return program.reshape(mixed, x.shape, name)


def linear(program: Program, node: Node, x: Value) -> Value:
    """`linear` as a 1x1 convolution: the rows are the pixels of an image."""
    weight = node.inputs[1]
    assert isinstance(weight, Const)
    (_, rows, channels), features = x.shape, weight.shape[0]
    name, path = node.outputs[0].name, "/".join(weight.path[1:])
    weights = [
        program.kernel(weight.array.reshape(features, 1, 1, channels), path or name),
        program.constant(np.zeros(features, np.float32), f"{name}/bias"),
    ]
    image = program.reshape(x, (1, rows, 1, channels), f"{name}/image")
    y = program.add(
        "CONV_2D", [image, *weights], (1, rows, 1, features), f"{name}/product", padding="VALID",
        strideH=1, strideW=1, dilationHFactor=1, dilationWFactor=1,
    )  # fmt: skip
    return program.reshape(y, (1, rows, features), name)


def matmul(program: Program, node: Node, inputs: list[Value]) -> Value:
    """`matmul`."""
    shape = physical(node.outputs[0].shape)
    return program.add("BATCH_MATMUL", inputs, shape, node.outputs[0].name, adjX=False, adjY=False)


def binary(program: Program, node: Node, inputs: list[Value]) -> Value:
    """`binary`; in an ADD, the GPU delegate broadcasts the second operand only."""
    kind, name = node.attrs["kind"], node.outputs[0].name
    shape = np.broadcast_shapes(*(x.shape for x in inputs))
    first, second = inputs
    whole = second.data is None and second.shape == shape
    if kind in _COMMUTATIVE and (first.data is not None or (first.shape != shape and whole)):
        first, second = second, first
    if kind == "add" and first.shape != shape:
        first = tile(program, first, shape, f"{name}/tiled")
    return program.add(_BINARY[kind], [first, second], shape, name)


def unary(program: Program, node: Node, x: Value) -> Value:
    """`unary`."""
    kind = node.attrs["kind"]
    if kind not in _UNARY:
        raise ExportError(f"{node.module}: {kind!r} cannot be exported to LiteRT")
    return program.add(_UNARY[kind], [x], x.shape, node.outputs[0].name)


def expand(program: Program, node: Node, x: Value) -> Value:
    """`expand`."""
    return tile(program, x, physical(node.outputs[0].shape), node.outputs[0].name)


def tile(program: Program, x: Value, shape: Sequence[int], name: str) -> Value:
    """TILE along axes of length 1, because BROADCAST_TO is not on the GPU delegate's list."""
    repeats = [after // before for before, after in zip(x.shape, shape, strict=True)]
    return program.add("TILE", [x, program.integers(repeats)], shape, name)


def concat(program: Program, node: Node, inputs: list[Value]) -> Value:
    """`concat`."""
    shape = physical(node.outputs[0].shape)
    axis = physical_axis(node.attrs["axis"], len(shape))
    return program.add("CONCATENATION", inputs, shape, node.outputs[0].name, axis=axis)


def split(program: Program, node: Node, x: Value) -> list[Value]:
    """`split`: SPLIT into equal parts, else SPLIT_V."""
    sizes = node.attrs["sizes"]
    axis = program.constant(
        np.array(physical_axis(node.attrs["axis"], len(x.shape)), np.int32), "axis"
    )
    outputs = [program.value(out.name, physical(out.shape)) for out in node.outputs]
    if len(set(sizes)) == 1:
        return program.add_many("SPLIT", [axis, x], outputs, numSplits=len(sizes))
    inputs = [x, program.integers(sizes), axis]
    return program.add_many("SPLIT_V", inputs, outputs, numSplits=len(sizes))


def slice_node(program: Program, node: Node, x: Value) -> Value:
    """`slice`: SLICE, or STRIDED_SLICE if it leaves out pixels."""
    shape, name = physical(node.outputs[0].shape), node.outputs[0].name
    order = TO_NHWC if len(shape) == 4 else tuple(range(len(shape)))
    starts, stops, steps = (
        [node.attrs[key][axis] for axis in order] for key in ("starts", "stops", "steps")
    )
    stops[0] = 1  # the batch
    if set(steps) == {1}:
        inputs = [x, program.integers(starts), program.integers(shape)]
        return program.add("SLICE", inputs, shape, name)
    inputs = [x, *map(program.integers, (starts, stops, steps))]
    return program.add("STRIDED_SLICE", inputs, shape, name)


def pad(program: Program, node: Node, x: Value) -> Value:
    """`pad`, with zeros."""
    shape, attrs = physical(node.outputs[0].shape), node.attrs
    order = TO_NHWC if len(shape) == 4 else tuple(range(len(shape)))
    pads = [[attrs["before"][axis], attrs["after"][axis]] for axis in order]
    return program.add("PAD", [x, program.integers(pads)], shape, node.outputs[0].name)
