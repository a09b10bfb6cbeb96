"""The export graph as a LiteRT program."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxpose.export.graph import Const, ExportError, Graph, Node, Tensor
from jaxpose.export.layout import TO_NHWC
from jaxpose.export.litert import convolution, operators, pool
from jaxpose.export.litert.program import Program, Value, physical
from jaxpose.export.litert.views import (
    MAX_RANK,
    View,
    materialized,
    memory_axes,
    moves,
    reshaped,
    transposed,
    view,
    without_axis,
)

# Nodes with one input and one output: (program, node, input) -> output.
_SIMPLE: dict[str, Callable[[Program, Node, Value], Value]] = {
    "conv": convolution.conv,
    "conv_transpose": convolution.conv_transpose,
    "max_pool": pool.max_pool,
    "avg_pool": pool.avg_pool,
    "adaptive_avg_pool": pool.adaptive_avg_pool,
    "batch_norm": operators.batch_norm,
    "resize": operators.resize,
    "channel_conv1d": operators.channel_conv1d,
    "reduce": operators.reduce_node,
    "linear": operators.linear,
    "unary": operators.unary,
    "expand": operators.expand,
    "slice": operators.slice_node,
    "pad": operators.pad,
}
_REDUCTIONS = {  # operator and axes, NHWC
    "global_avg_pool": ("MEAN", (1, 2)),
    "global_max_pool": ("REDUCE_MAX", (1, 2)),
    "channel_mean": ("MEAN", (3,)),
    "channel_max": ("REDUCE_MAX", (3,)),
}


def translate(graph: Graph, *, half: bool = False) -> Program:
    """The network for one image, NHWC, as LiteRT operators.

    Args:
      graph: the network.
      half: store kernels as float16.

    Raises:
      ExportError: a node has no LiteRT equivalent; the message names it and its module.
    """
    return _Translation(graph, half).program


class _Translation:
    """Translates the nodes in order; `values` are those of the graph's tensors, by name."""

    def __init__(self, graph: Graph, half: bool) -> None:
        self.program = Program(half=half)
        self.values: dict[str, Value | View] = {}
        names = [x.name for node in graph.nodes for x in node.inputs if isinstance(x, Tensor)]
        self.readers = Counter(names + [tensor.name for _, tensor in graph.outputs])
        self.shared: set[Value] = set()  # values that views and others read
        image = self.program.value("image", physical(graph.input.shape))
        self.values[graph.input.name] = image
        self.program.inputs.append(("image", image))
        for node in graph.nodes:
            self.program.module = node.module
            self._bind(node, self._node(node))
        for name, tensor in graph.outputs:
            self.program.outputs.append((name, self._value(tensor)))

    def _bind(self, node: Node, results: Value | View | list[Value]) -> None:
        listed: list[Any] = results if isinstance(results, list) else [results]
        for tensor, value in zip(node.outputs, listed, strict=True):
            shape = value.shape if isinstance(value, Value) else physical(value.shape)
            if shape != physical(tensor.shape):
                raise ExportError(
                    f"{node.module}: {node.op} gives {shape} in LiteRT, not "
                    f"{physical(tensor.shape)}"
                )
            self.values[tensor.name] = value

    def _node(self, node: Node) -> Value | View | list[Value]:
        program, op, first = self.program, node.op, node.inputs[0]
        name = node.outputs[0].name
        if op in ("reshape", "transpose", "channel_shuffle"):
            return self._view_node(node, self._view(first))
        if op in ("binary", "reduce"):
            result = self._in_memory(node)
            if result is not None:
                return result
        if op == "binary":
            return operators.binary(program, node, self._operands(node))
        if op == "matmul":
            return operators.matmul(program, node, [self._value(x) for x in node.inputs])
        if op == "concat":
            return operators.concat(program, node, [self._value(x) for x in node.inputs])
        x = self._value(first)
        if op == "activation":
            assert isinstance(first, Tensor)
            alone = self.readers[first.name] == 1 and x not in self.shared
            return operators.activation(program, node, x, alone)
        if op == "split":
            return operators.split(program, node, x)
        if op in _REDUCTIONS:
            kind, axes = _REDUCTIONS[op]
            return operators.reduce(program, kind, x, axes, name)
        if op not in _SIMPLE:
            raise ExportError(f"{node.module}: {op!r} cannot be exported to LiteRT")
        return _SIMPLE[op](program, node, x)

    def _view_node(self, node: Node, x: View) -> View:
        shape, name = node.outputs[0].shape, node.outputs[0].name
        if node.op == "reshape":
            return reshaped(x, shape, self.program, name)
        if node.op == "transpose":
            return transposed(x, node.attrs["perm"])
        batch, channels, height, width = shape
        groups = node.attrs["groups"]
        blocks = (batch, groups, channels // groups, height, width)
        swapped = transposed(reshaped(x, blocks, self.program, name), (0, 2, 1, 3, 4))
        return reshaped(swapped, shape, self.program, name)

    def _in_memory(self, node: Node) -> View | None:
        """A `binary` or `reduce` of a view, computed in the order in which its memory lies.

        This saves the transposes of dynamic convolutions. None if the node is of another kind: a
        binary operation must be with a tensor that has only one axis longer than 1, and a reduction
        over one axis.
        """
        program, name = self.program, node.outputs[0].name
        first, *rest = node.inputs
        x = self.values[first.name] if isinstance(first, Tensor) else None
        if not isinstance(x, View) or not moves(x):
            return None
        order = memory_axes(x)
        if order is None:
            return None
        lead = (1,) * (MAX_RANK - len(order))
        shape = (*lead, *(x.shape[axis] for axis in order))
        if node.op == "reduce":
            if len(node.attrs["axes"]) > 1 or node.attrs["axes"][0] not in order:
                return None
            (axis,) = node.attrs["axes"]
            base = program.reshape(x.base, shape, f"{name}/memory")
            place = len(lead) + order.index(axis)
            return without_axis(x, operators.reduce_by(program, node, base, [place]), axis)
        (other,) = rest
        if not isinstance(other, Tensor):
            return None
        long = [axis for axis, size in enumerate(other.shape) if axis and size > 1]
        if len(long) != 1 or long[0] not in order or len(other.shape) != len(x.shape):
            return None
        small = (*lead, *(x.shape[axis] if axis == long[0] else 1 for axis in order))
        operands = [
            program.reshape(x.base, shape, f"{name}/memory"),
            program.reshape(self._value(other), small, f"{name}/operand"),
        ]
        return View(operators.binary(program, node, operands), x.sizes, x.axes)

    def _view(self, tensor: Tensor | Const) -> View:
        assert isinstance(tensor, Tensor)
        value = self.values[tensor.name]
        result = value if isinstance(value, View) else view(value)
        if self.readers[tensor.name] > 1:
            self.shared.add(result.base)
        return result

    def _value(self, tensor: Tensor | Const) -> Value:
        """The value of a tensor in memory, NHWC."""
        if isinstance(tensor, Const):
            raise ExportError(f"{self.program.module}: a constant cannot be exported here")
        value = self.values[tensor.name]
        if isinstance(value, View):
            value = materialized(value, self.program, tensor.name)
            self.values[tensor.name] = value
        return value

    def _operands(self, node: Node) -> list[Value]:
        """The inputs of an elementwise operator, constants with as many axes as the result."""
        rank, values = len(node.outputs[0].shape), []
        for i, x in enumerate(node.inputs):
            if isinstance(x, Tensor):
                values.append(self._value(x))
                continue
            array = x.array.astype(np.float32)
            if array.size == 1:
                array = array.reshape(1)
            else:
                array = array.reshape((1,) * (rank - array.ndim) + array.shape)
                array = array.transpose(TO_NHWC) if rank == 4 else array
            path = "/".join(x.path[1:]) or f"{node.outputs[0].name}/constant_{i}"
            values.append(self.program.constant(array, path))
        return values
