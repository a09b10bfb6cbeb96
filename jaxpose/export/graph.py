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
    linear                   inputs x [B,N,C], weight [D,C]
    matmul                   inputs [B,N,C], [B,C,D]
    binary                   kind: add sub mul div max min
    unary                    kind: neg exp log sqrt abs tanh erf
    reduce                   kind: sum max min; axes (the axes stay, with length 1)
    argmax                   axis (stays, with length 1); the first maximum, as a float
    less_equal               inputs x, y; a tensor of truth values, for `where`
    where                    inputs condition, x where it holds, y elsewhere
    concat axis | split axis, sizes | slice starts, stops, steps | pad before, after (zeros)
    reshape, expand (to the output's shape) | transpose perm
"""

from __future__ import annotations

from collections import Counter
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


class Links:
    """Who writes and who reads the tensors of a graph."""

    def __init__(self, graph: Graph):
        self.writer = {out.name: node for node in graph.nodes for out in node.outputs}
        self._readers: dict[str, list[Node]] = {}
        for node in graph.nodes:
            for name in {x.name for x in node.inputs if isinstance(x, Tensor)}:
                self._readers.setdefault(name, []).append(node)
        self._final = {tensor.name for _, tensor in graph.outputs}

    def readers(self, tensor: Tensor) -> list[Node] | None:
        """The nodes that read a tensor, or None if it is an output of the network."""
        return None if tensor.name in self._final else self._readers.get(tensor.name, [])

    def only_reader(self, tensor: Tensor) -> Node | None:
        readers = self.readers(tensor)
        return readers[0] if readers is not None and len(readers) == 1 else None


def rewritten(graph: Graph, replaced: dict[int, list[Node]], renamed: dict[str, Tensor]) -> Graph:
    """The graph with nodes replaced (by id, maybe by none) and tensors read under other names."""
    nodes = []
    for old in graph.nodes:
        for node in replaced.get(id(old), [old]):
            inputs = tuple(
                renamed.get(x.name, x) if isinstance(x, Tensor) else x for x in node.inputs
            )
            nodes.append(replace(node, inputs=inputs))
    return Graph(graph.input, graph.outputs, nodes)
