"""Rewrites of the export graph that keep its outputs and need fewer nodes.

They run after `fold`, for inference: weights are scaled and permuted, so they are no longer those
of the checkpoint. Every builder profits, because the operators of the graph stay the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from jaxpose.export.graph import (
    Const,
    Graph,
    Node,
    Tensor,
    affine,
    drop_unused,
    fold_after,
    per_channel,
    weights_of,
)
from jaxpose.export.views import merge_views

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
_NEUTRAL = {"add": 0, "sub": 0, "mul": 1, "div": 1, "max": -np.inf, "min": np.inf}


def optimize(graph: Graph) -> Graph:
    """The same network with as few nodes as these rewrites give."""
    passes: tuple[Callable[[Graph], Graph], ...] = (
        remove_identities,
        merge_views,
        join_means,
        remove_identities,
        fold_into_readers,
        split_norms,
        join_slices,
        absorb_shuffles,
    )
    for rewrite in passes:
        graph = rewrite(graph)
    return drop_unused(graph)


class _Links:
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


def _rewritten(graph: Graph, replaced: dict[int, list[Node]], renamed: dict[str, Tensor]) -> Graph:
    """The graph with nodes replaced (by id, maybe by none) and tensors read under other names."""
    nodes = []
    for old in graph.nodes:
        for node in replaced.get(id(old), [old]):
            inputs = tuple(
                renamed.get(x.name, x) if isinstance(x, Tensor) else x for x in node.inputs
            )
            nodes.append(replace(node, inputs=inputs))
    return Graph(graph.input, graph.outputs, nodes)


# -- nodes that do nothing -------------------------------------------------------------------------


def remove_identities(graph: Graph) -> Graph:
    """Removes nodes that return their input: resizes to the same size, additions of zero, ..."""
    final = {tensor.name for _, tensor in graph.outputs}
    source: dict[str, Tensor] = {}
    nodes = []
    for node in graph.nodes:
        inputs = tuple(source.get(x.name, x) if isinstance(x, Tensor) else x for x in node.inputs)
        node = replace(node, inputs=inputs)
        if _is_identity(node) and node.outputs[0].name not in final:
            assert isinstance(inputs[0], Tensor)
            source[node.outputs[0].name] = inputs[0]
        else:
            nodes.append(node)
    return Graph(graph.input, graph.outputs, nodes)


def _is_identity(node: Node) -> bool:
    x, a = node.inputs[0], node.attrs
    if not isinstance(x, Tensor) or len(node.outputs) > 1 or node.outputs[0].shape != x.shape:
        return False
    if node.op == "transpose":
        return tuple(a["perm"]) == tuple(range(len(x.shape)))
    if node.op == "binary" and a["kind"] in _NEUTRAL:
        other = node.inputs[1]
        return isinstance(other, Const) and bool((other.array == _NEUTRAL[a["kind"]]).all())
    if node.op in ("max_pool", "avg_pool"):
        return tuple(a["window"]) == (1, 1) and not any(a["padding"])
    if node.op in ("concat", "split"):
        return len(node.inputs) == 1
    if node.op == "slice":
        return all(step == 1 for step in a["steps"])
    return node.op in ("reshape", "expand", "resize", "adaptive_avg_pool", "pad")


# -- batch norms and constants before convolutions -------------------------------------------------


def fold_into_readers(graph: Graph) -> Graph:
    """Merges batch norms and per-channel constants into the convolutions that read them.

    Exact only without padding: padded zeros are not shifted by the batch norm.
    """
    links = _Links(graph)
    replaced: dict[int, list[Node]] = {}
    renamed: dict[str, Tensor] = {}
    for node in graph.nodes:
        terms = affine(node)
        readers = links.readers(node.outputs[0]) if terms is not None else None
        if terms is None or not readers:
            continue
        currents = [replaced.get(id(reader), [reader])[0] for reader in readers]
        folded = [_fold_before(conv, node.outputs[0], *terms) for conv in currents]
        if all(conv is not None for conv in folded):
            replaced |= {id(old): [c] for old, c in zip(readers, folded, strict=True) if c}
            replaced[id(node)] = []
            source = node.inputs[0]
            assert isinstance(source, Tensor)
            renamed[node.outputs[0].name] = renamed.get(source.name, source)
    return _rewritten(graph, replaced, renamed)


def _fold_before(
    conv: Node, tensor: Tensor, factor: np.ndarray, offset: np.ndarray
) -> Node | None:
    """`conv` with its input `tensor` replaced by x, where tensor = x * factor + offset."""
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


def split_norms(graph: Graph) -> Graph:
    """Applies the batch norm of a concatenation to its parts, where all but one are convolutions.

    The batch norm of a convolution without other readers disappears in its weights.
    """
    links = _Links(graph)
    replaced: dict[int, list[Node]] = {}
    for node in graph.nodes:
        source = node.inputs[0]
        if node.op != "batch_norm" or not isinstance(source, Tensor):
            continue
        concat = links.writer.get(source.name)
        if concat is None or concat.op != "concat" or concat.attrs["axis"] != 1:
            continue
        if links.only_reader(source) is not node or len(set(concat.inputs)) < len(concat.inputs):
            continue
        convs = [links.writer.get(x.name) for x in concat.inputs if isinstance(x, Tensor)]
        folds = [
            conv is not None
            and conv.op in ("conv", "conv_transpose")
            and links.only_reader(conv.outputs[0]) is concat
            and id(conv) not in replaced
            for conv in convs
        ]
        if len(convs) < len(concat.inputs) or folds.count(False) > 1:
            continue
        kept, parts, start = [], [], 0
        for i, (x, conv, folded) in enumerate(zip(concat.inputs, convs, folds, strict=True)):
            part = slice(start, start + x.shape[1])
            start += x.shape[1]
            params = (Const(c.array[part], c.path) for c in weights_of(node))
            normed = Tensor(f"{node.outputs[0].name}/part_{i}", x.shape)
            norm = replace(node, inputs=(x, *params), outputs=(normed,))
            inputs = fold_after(conv, norm) if conv is not None and folded else None
            if conv is not None and inputs is not None:
                replaced[id(conv)] = [replace(conv, inputs=inputs, outputs=(normed,))]
            else:
                kept.append(norm)
            parts.append(normed)
        replaced[id(concat)] = []
        replaced[id(node)] = [
            *kept,
            replace(concat, inputs=tuple(parts), outputs=node.outputs),
        ]
    return _rewritten(graph, replaced, {})


# -- means -----------------------------------------------------------------------------------------


def join_means(graph: Graph) -> Graph:
    """Writes sums over all pixels or all channels, divided by their number, as the means they are.

    A reshape may be between sum and division, as in `jnp.mean(x, (1, 2))`.
    """
    links = _Links(graph)
    replaced: dict[int, list[Node]] = {}
    renamed: dict[str, Tensor] = {}
    for node in graph.nodes:
        op = {(2, 3): "global_avg_pool", (1,): "channel_mean"}.get(tuple(node.attrs.get("axes", ())))
        x = node.inputs[0]
        if node.op != "reduce" or node.attrs["kind"] != "sum" or op is None or len(x.shape) != 4:
            continue
        last = links.only_reader(node.outputs[0])
        if last is not None and last.op == "reshape":
            last = links.only_reader(last.outputs[0])
        if last is None or last.op != "binary" or links.readers(last.outputs[0]) is None:
            continue
        count = x.shape[1] if op == "channel_mean" else x.shape[2] * x.shape[3]
        divisor = last.inputs[1]
        factor = {"div": count, "mul": 1 / count}.get(last.attrs["kind"])
        if factor is None or not isinstance(divisor, Const) or divisor.shape != ():
            continue
        if np.isclose(float(divisor.array), factor, rtol=1e-6, atol=0):
            replaced[id(node)] = [Node(op, (x,), node.outputs, {}, node.module)]
            replaced[id(last)] = []
            assert isinstance(last.inputs[0], Tensor)
            renamed[last.outputs[0].name] = last.inputs[0]
    return _rewritten(graph, replaced, renamed)


# -- slices ----------------------------------------------------------------------------------------


def join_slices(graph: Graph) -> Graph:
    """Replaces slices that together are a whole tensor by one split."""
    links = _Links(graph)
    replaced: dict[int, list[Node]] = {}
    renamed: dict[str, Tensor] = {}
    for tensor in [graph.input, *(out for node in graph.nodes for out in node.outputs)]:
        slices = [n for n in links.readers(tensor) or () if n.op == "slice"]
        if len(slices) < 2 or any(links.readers(n.outputs[0]) is None for n in slices):
            continue
        ranges = [_range(node) for node in slices]
        axes = {axis for axis, _, _ in filter(None, ranges)}
        if None in ranges or len(axes) != 1:
            continue
        (axis,) = axes
        pieces = sorted({(start, stop) for _, start, stop in filter(None, ranges)})
        ends = [0, *(stop for _, stop in pieces)]
        if [start for start, _ in pieces] != ends[:-1] or ends[-1] != tensor.shape[axis]:
            continue
        outputs: dict[tuple[int, int], Tensor] = {}
        for node, (_, start, stop) in zip(slices, filter(None, ranges), strict=True):
            first = outputs.setdefault((start, stop), node.outputs[0])
            if first is not node.outputs[0]:
                renamed[node.outputs[0].name] = first
            replaced[id(node)] = []
        attrs = {"axis": axis, "sizes": tuple(stop - start for start, stop in pieces)}
        parts = tuple(outputs[piece] for piece in pieces)
        split = Node("split", (tensor,), parts, attrs, slices[0].module)
        replaced[id(slices[0])] = [split]
    return _rewritten(graph, replaced, renamed)


def _range(node: Node) -> tuple[int, int, int] | None:
    """(axis, start, stop) of a slice of one axis in steps of 1; else None."""
    shape, a = node.inputs[0].shape, node.attrs
    cut = [i for i in range(1, len(shape)) if (a["starts"][i], a["stops"][i]) != (0, shape[i])]
    if len(cut) != 1 or any(step != 1 for step in a["steps"]):
        return None
    return cut[0], a["starts"][cut[0]], a["stops"][cut[0]]


# -- channel shuffles ------------------------------------------------------------------------------


def absorb_shuffles(graph: Graph) -> Graph:
    """Removes channel shuffles that a dense convolution before or after them can do itself.

    Its weights are permuted; so are those of the channelwise layers in between.
    """
    for shuffle in [node for node in graph.nodes if node.op == "channel_shuffle"]:
        links = _Links(graph)
        source, out = shuffle.inputs[0], shuffle.outputs[0]
        assert isinstance(source, Tensor)
        replaced = _permuted_before(shuffle, links)
        if replaced is not None:  # the node before writes what the shuffle wrote
            writer = links.writer[source.name]
            replaced[id(writer)] = [replace(replaced[id(writer)][0], outputs=(out,))]
            graph = _rewritten(graph, {**replaced, id(shuffle): []}, {})
            continue
        replaced = _permuted_after(shuffle, links)
        if replaced is not None:
            graph = _rewritten(graph, {**replaced, id(shuffle): []}, {out.name: source})
    return graph


def _order(shuffle: Node) -> np.ndarray:
    """The input channel of each output channel."""
    channels, groups = shuffle.outputs[0].shape[1], shuffle.attrs["groups"]
    return np.arange(channels).reshape(groups, -1).T.reshape(-1)


def _permuted_after(shuffle: Node, links: _Links) -> dict[int, list[Node]] | None:
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
            if node.inputs[0] is not tensor and node.inputs[0] != tensor:
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


def _permuted_before(shuffle: Node, links: _Links) -> dict[int, list[Node]] | None:
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


def _channelwise(node: Node, order: Iterable[int]) -> Node | None:
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
        values = per_channel(consts[0], channels)
        if consts[0].shape == () or values is None:
            return node if consts[0].shape == () else None
        return replace(node, inputs=(x, Const(consts[0].array[:, order], consts[0].path)))
    return None
