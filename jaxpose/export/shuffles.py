"""Channel shuffles of the export graph that weights can do: as few remain as are needed.

A shuffle between two grouped convolutions remains, because neither mixes all channels.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from jaxpose.export.folding import per_channel
from jaxpose.export.graph import Const, Graph, Links, Node, Tensor, rewritten

# Nodes with one input whose output channel i depends on input channel i alone, without weights.
_CHANNELWISE = (
    "activation",
    "max_pool",
    "avg_pool",
    "adaptive_avg_pool",
    "resize",
    "global_avg_pool",
    "global_max_pool",
)


def absorb_shuffles(graph: Graph) -> Graph:
    """Removes channel shuffles that a dense convolution before or after them can do itself.

    Its weights are permuted; so are those of the channelwise layers in between.
    """
    for shuffle in [node for node in graph.nodes if node.op == "channel_shuffle"]:
        links = Links(graph)
        source, out = shuffle.inputs[0], shuffle.outputs[0]
        assert isinstance(source, Tensor)
        replaced = _permuted_before(shuffle, links)
        if replaced is not None:  # the node before writes what the shuffle wrote
            writer = links.writer[source.name]
            replaced[id(writer)] = [replace(replaced[id(writer)][0], outputs=(out,))]
            graph = rewritten(graph, {**replaced, id(shuffle): []}, {})
            continue
        replaced = _permuted_after(shuffle, links)
        if replaced is not None:
            graph = rewritten(graph, {**replaced, id(shuffle): []}, {out.name: source})
    return graph


def _order(shuffle: Node) -> np.ndarray:
    """The input channel of each output channel."""
    channels, groups = shuffle.outputs[0].shape[1], shuffle.attrs["groups"]
    return np.arange(channels).reshape(groups, -1).T.reshape(-1)


def _permuted_after(shuffle: Node, links: Links) -> dict[int, list[Node]] | None:
    """The nodes after a shuffle for the channels in their old order; None if that is impossible."""
    back = np.argsort(_order(shuffle))
    replaced: dict[int, list[Node]] = {}
    pending = [shuffle.outputs[0]]
    while pending:
        tensor = pending.pop()
        readers = links.readers(tensor)
        if readers is None:
            return None
        for node in readers:
            if node.inputs[0] != tensor:
                return None
            if node.op == "conv" and node.attrs["groups"] == 1:
                x, kernel, *bias = node.inputs
                assert isinstance(kernel, Const)
                kernel = Const(np.ascontiguousarray(kernel.array[:, back]), kernel.path)
                replaced[id(node)] = [replace(node, inputs=(x, kernel, *bias))]
                continue
            new = _channelwise(node, back)
            if new is None:
                return None
            replaced[id(node)] = [new]
            pending.append(node.outputs[0])
    return replaced


def _permuted_before(shuffle: Node, links: Links) -> dict[int, list[Node]] | None:
    """The nodes before a shuffle for the channels in its order; None if that is impossible."""
    order = _order(shuffle)
    replaced: dict[int, list[Node]] = {}
    tensor, reader = shuffle.inputs[0], shuffle
    while True:
        assert isinstance(tensor, Tensor)
        node = links.writer.get(tensor.name)
        if node is None or links.only_reader(tensor) is not reader:
            return None
        if node.op == "conv" and node.attrs["groups"] == 1:
            x, *consts = node.inputs
            permuted = (Const(c.array[order], c.path) for c in consts if isinstance(c, Const))
            replaced[id(node)] = [replace(node, inputs=(x, *permuted))]
            return replaced
        new = _channelwise(node, order)
        if new is None:
            return None
        replaced[id(node)] = [new]
        tensor, reader = node.inputs[0], node


def _channelwise(node: Node, order: np.ndarray) -> Node | None:
    """The node for channels in another order; None if it mixes channels."""
    x, *others = node.inputs
    if not isinstance(x, Tensor) or len(x.shape) != 4 or node.outputs[0].shape[1] != x.shape[1]:
        return None
    channels = x.shape[1]
    if node.op in _CHANNELWISE:
        return node
    consts = [value for value in others if isinstance(value, Const)]
    depthwise = node.op == "conv" and node.attrs["groups"] == channels
    if len(consts) == len(others) and (depthwise or node.op == "batch_norm"):
        permuted = tuple(Const(c.array[order], c.path) for c in consts)
        return replace(node, inputs=(x, *permuted))
    if node.op == "binary" and consts:
        (const,) = consts
        if const.shape == ():
            return node
        if per_channel(const, channels) is not None:
            return replace(node, inputs=(x, Const(const.array[:, order], const.path)))
    return None
