"""The graph between the jaxpr of a model and the exported files.

A graph is a list of nodes in execution order. A node reads tensors and constants and writes
tensors. Rank-4 tensors and constants are NCHW. Convolution kernels are OIHW and transposed ones
IOHW, as in ONNX and PyTorch. The first axis of every tensor is the batch. Its traced size is in the
shape, but builders make it dynamic.

Operators and their attributes (sizes are (height, width)):

    conv, conv_transpose     inputs x, kernel[, bias]; stride, padding, groups (conv: dilation)
    batch_norm               inputs x, scale, bias, mean, variance; eps
    activation               kind, one of those of `jaxpose.ops.activation`
    channel_shuffle          groups
    max_pool, avg_pool       window, stride, padding (avg_pool: count_include_pad)
    adaptive_avg_pool        size
    resize                   size, method
    global_avg_pool, global_max_pool, channel_mean, channel_max
    channel_conv1d           inputs x [B,C,1,1], kernel [1,1,k]
    binary                   kind: add sub mul div max min
    unary                    kind: neg exp log sqrt abs tanh erf
    reduce                   kind: sum max min; axes (the axes stay, with length 1)
    concat axis | split axis, sizes | slice starts, stops, steps | pad before, after (zeros)
    reshape, expand (to the output's shape) | transpose perm
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np


class ExportError(NotImplementedError, ValueError):
    """The model uses something that cannot be exported."""


@dataclass(frozen=True)
class Tensor:
    """A value that depends on the image. `shape` is in the target's layout (rank 4: NCHW)."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Const:
    """A value known at export time; `path` is that of its Flax variable, or ()."""

    array: np.ndarray
    path: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape


@dataclass
class Node:
    """One operation; `module` is the path of its Flax module."""

    op: str
    inputs: tuple[Tensor | Const, ...]
    outputs: tuple[Tensor, ...]
    attrs: dict = field(default_factory=dict)
    module: str = ""


@dataclass
class Graph:
    """A whole network; `outputs` are (name, tensor) pairs."""

    input: Tensor
    outputs: list[tuple[str, Tensor]]
    nodes: list[Node]


def count_readers(graph: Graph) -> Counter:
    """How many inputs of nodes and outputs of the network each tensor is, by its name."""
    count = Counter(x.name for node in graph.nodes for x in node.inputs if isinstance(x, Tensor))
    count.update(tensor.name for _, tensor in graph.outputs)
    return count


def drop_unused(graph: Graph) -> Graph:
    """The graph without nodes whose results are not used."""
    needed = {tensor.name for _, tensor in graph.outputs}
    kept = []
    for node in reversed(graph.nodes):
        if any(out.name in needed for out in node.outputs):
            needed.update(x.name for x in node.inputs if isinstance(x, Tensor))
            kept.append(node)
    return Graph(graph.input, graph.outputs, kept[::-1])


def share_constants(graph: Graph) -> Graph:
    """Merges equal constants from the same Flax variable, so that shared modules stay shared."""
    by_path: dict[tuple, list[Const]] = {}

    def shared(value: Tensor | Const) -> Tensor | Const:
        if isinstance(value, Tensor) or not value.path:
            return value
        others = by_path.setdefault((value.path, value.shape), [])
        for other in others:
            if np.array_equal(other.array, value.array):
                return other
        others.append(value)
        return value

    nodes = [replace(node, inputs=tuple(map(shared, node.inputs))) for node in graph.nodes]
    return Graph(graph.input, graph.outputs, nodes)


def weights_of(node: Node) -> list[Const]:
    """The inputs of a convolution or batch norm after the first, which are constants."""
    weights = [value for value in node.inputs[1:] if isinstance(value, Const)]
    assert len(weights) == len(node.inputs) - 1, node
    return weights


def per_channel(const: Const, channels: int) -> np.ndarray | None:
    """The constant as [channels], or None if it varies over positions."""
    shape = const.shape
    if shape == () or shape == (1, channels, 1, 1):
        return np.broadcast_to(const.array.reshape(-1), (channels,))
    return None


def _add_bias(conv: Node, node: Node, fold_bn: bool) -> tuple | None:
    """Inputs of `conv` with the constant that `node` adds as its bias; None if impossible."""
    const = node.inputs[1]
    if node.op != "binary" or node.attrs["kind"] != "add" or not isinstance(const, Const):
        return None
    channels = conv.outputs[0].shape[1]
    added = per_channel(const, channels)
    if added is None:
        return None
    x, (kernel, *bias) = conv.inputs[0], weights_of(conv)
    same_module = len(const.path) > 1 and const.path[:-1] == kernel.path[:-1]
    if not fold_bn and (bias or not same_module):
        return None  # for training, the parameters of other modules stay separate
    total = added + (bias[0].array if bias else 0)
    path = bias[0].path if bias else (kernel.path[:-1] + ("bias",))
    return x, kernel, Const(np.asarray(total, np.float32), path)


def affine(node: Node) -> tuple[np.ndarray, np.ndarray] | None:
    """(factor, offset), float64 [C], if the node computes x * factor + offset; else None."""
    x = node.inputs[0]
    if not isinstance(x, Tensor) or len(x.shape) != 4:
        return None
    if node.op == "batch_norm":
        scale, shift, mean, variance = (c.array.astype(np.float64) for c in weights_of(node))
        factor = scale / np.sqrt(variance + node.attrs["eps"])
        return factor, shift - mean * factor
    if node.op != "binary" or not isinstance(node.inputs[1], Const):
        return None
    channels = x.shape[1]
    values = per_channel(node.inputs[1], channels)
    if values is None or node.outputs[0].shape != x.shape:
        return None
    kind, values = node.attrs["kind"], values.astype(np.float64)
    if kind in ("add", "sub"):
        return np.ones(channels), values if kind == "add" else -values
    if kind in ("mul", "div") and (kind == "mul" or values.all()):
        return values if kind == "mul" else 1 / values, np.zeros(channels)
    return None


def fold_after(conv: Node, node: Node) -> tuple | None:
    """Inputs of `conv` with the affine function `node` of its result folded into its weights."""
    coefficients = affine(node)
    if coefficients is None:
        return None
    factor, offset = coefficients
    x, (kernel, *bias) = conv.inputs[0], weights_of(conv)
    weight = kernel.array.astype(np.float64)
    if conv.op == "conv":
        weight = weight * factor[:, None, None, None]
    else:  # kernel [I, O/g, kh, kw]: input channel i belongs to group i // (I/g)
        groups = conv.attrs["groups"]
        by_group = factor.reshape(groups, 1, -1)
        weight = weight.reshape(groups, -1, *weight.shape[1:]) * by_group[..., None, None]
        weight = weight.reshape(kernel.shape)
    scaled = Const(weight.astype(np.float32), kernel.path)
    if not bias and not offset.any():
        return x, scaled
    total = offset + (bias[0].array * factor if bias else 0)
    path = bias[0].path if bias else (kernel.path[:-1] + ("bias",))
    return x, scaled, Const(total.astype(np.float32), path)


def _fold_into_sum(convs: Sequence[Node], node: Node) -> list[tuple]:
    """Inputs of two convolutions with the batch norm `node` of their sum folded into both."""
    x, (scale, shift, mean, variance) = node.inputs[0], weights_of(node)
    zero = Const(np.zeros_like(mean.array))
    whole = (x, scale, shift, mean, variance)
    factor = (x, scale, zero, zero, variance)
    folded = (
        fold_after(conv, replace(node, inputs=inputs))
        for conv, inputs in zip(convs, (whole, factor), strict=True)
    )
    return [inputs for inputs in folded if inputs is not None]


def fold(graph: Graph, *, fold_bn: bool = True) -> Graph:
    """Merges bias additions and, with `fold_bn`, batch norms into preceding convolutions.

    With `fold_bn`, multiplications by constants are merged, too. A batch norm of the sum of two convolutions is merged into both. Results with other readers are
    left alone. With `fold_bn=False`, a bias is merged only into a convolution of the same Flax
    module, so that parameters stay separate.
    """
    users = count_readers(graph)
    producer: dict[str, Node] = {}  # tensor name -> the convolution that writes it
    sums: dict[str, Node] = {}  # tensor name -> the addition of two convolutions that writes it
    nodes: list[Node] = []

    def put(old: Node, new: Node) -> None:
        nodes[[n is old for n in nodes].index(True)] = new

    def conv_of(value: Tensor | Const) -> Node | None:
        if isinstance(value, Tensor) and users[value.name] == 1:
            return producer.get(value.name)
        return None

    for node in graph.nodes:
        source = node.inputs[0]
        conv = conv_of(source)
        if conv is not None and len(node.inputs) > 1:
            inputs = _add_bias(conv, node, fold_bn)
            if inputs is None and fold_bn:
                inputs = fold_after(conv, node)
            if inputs is not None:
                merged = replace(conv, inputs=inputs, outputs=node.outputs)
                put(conv, merged)
                producer[node.outputs[0].name] = merged
                continue
        added = None
        if isinstance(source, Tensor) and users[source.name] == 1:
            added = sums.get(source.name)
        if node.op == "batch_norm" and fold_bn and added is not None:
            convs = [producer[x.name] for x in added.inputs if isinstance(x, Tensor)]
            for conv, inputs in zip(convs, _fold_into_sum(convs, node), strict=True):
                merged = replace(conv, inputs=inputs)
                put(conv, merged)
                producer[conv.outputs[0].name] = merged
            put(added, replace(added, outputs=node.outputs))
            continue
        nodes.append(node)
        if node.op in ("conv", "conv_transpose"):
            producer[node.outputs[0].name] = node
        elif node.op == "binary" and node.attrs["kind"] == "add":
            if all(conv_of(x) is not None for x in node.inputs) and len(set(node.inputs)) == 2:
                sums[node.outputs[0].name] = node
    return share_constants(Graph(graph.input, graph.outputs, nodes))
