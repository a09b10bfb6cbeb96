"""Constant factors, offsets and batch norms, merged into the weights of convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from jaxpose.export.graph import (
    Const,
    Graph,
    Node,
    Tensor,
    count_readers,
    share_constants,
)


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


def fold_before(conv: Node, factor: np.ndarray, offset: np.ndarray) -> Node | None:
    """`conv` for the input x instead of x * factor + offset, both [C]; None if that is impossible.

    With padding there can be no offset: the padded zeros come after it.
    """
    if conv.op != "conv" or any(isinstance(x, Tensor) for x in conv.inputs[1:]):
        return None
    if any(conv.attrs["padding"]) and offset.any():
        return None
    kernel, *bias = weights_of(conv)
    weight, groups = kernel.array.astype(np.float64), conv.attrs["groups"]
    outputs, inputs = weight.shape[:2]  # of one group: output o reads group o // (outputs/groups)
    group = np.arange(outputs) // (outputs // groups)
    factors = factor.reshape(groups, inputs)[group]
    offsets = offset.reshape(groups, inputs)[group]
    total = (weight * offsets[:, :, None, None]).sum((1, 2, 3)) + (bias[0].array if bias else 0)
    weight = weight * factors[:, :, None, None]
    consts = [Const(weight.astype(np.float32), kernel.path)]
    if bias or offset.any():
        path = bias[0].path if bias else (*kernel.path[:-1], "bias")
        consts.append(Const(total.astype(np.float32), path))
    return replace(conv, inputs=(conv.inputs[0], *consts))


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

    With `fold_bn`, so are multiplications by constants, and a batch norm of the sum of two
    convolutions is merged into both. Results with other readers are left alone. With
    `fold_bn=False`, a bias is merged only into a convolution of the same Flax module, so that
    parameters stay separate.
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
