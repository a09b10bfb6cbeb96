"""Rewrites of the export graph that keep its outputs and need fewer nodes.

They run after `fold`, for inference: weights are scaled and permuted, so they are no longer those
of the checkpoint. Every builder profits, because the operators of the graph stay the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from jaxpose.export.folding import affine, fold_after, fold_before, weights_of
from jaxpose.export.graph import Const, Graph, Links, Node, Tensor, drop_unused, rewritten
from jaxpose.export.shuffles import absorb_shuffles
from jaxpose.export.views import merge_views

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
        leave_offsets,
        remove_identities,  # offsets of zero
        join_sums,
        join_slices,
        absorb_shuffles,
    )
    for rewrite in passes:
        graph = rewrite(graph)
    return drop_unused(graph)


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
    """Merges batch norms and per-channel constants into the convolutions that read them."""
    links = Links(graph)
    replaced: dict[int, list[Node]] = {}
    renamed: dict[str, Tensor] = {}
    for node in graph.nodes:
        terms = affine(node)
        readers = links.readers(node.outputs[0]) if terms is not None else None
        if terms is None or not readers:
            continue
        currents = [replaced.get(id(reader), [reader])[0] for reader in readers]
        folded = [fold_before(conv, *terms) for conv in currents]
        if all(conv is not None for conv in folded):
            replaced |= {id(old): [c] for old, c in zip(readers, folded, strict=True) if c}
            replaced[id(node)] = []
            source = node.inputs[0]
            assert isinstance(source, Tensor)
            renamed[node.outputs[0].name] = renamed.get(source.name, source)
    return rewritten(graph, replaced, renamed)


def split_norms(graph: Graph) -> Graph:
    """Applies the batch norm of a concatenation to its parts, where all but one are convolutions.

    The batch norm of a convolution without other readers disappears in its weights.
    """
    links = Links(graph)
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
    return rewritten(graph, replaced, {})


def leave_offsets(graph: Graph) -> Graph:
    """Leaves of a batch norm only its offset, where convolutions can take its factor.

    These are the convolution that it reads, and those that read the same map. OpenCV 5 fails on a
    batch norm of a convolution that another convolution reads.
    """
    links = Links(graph)
    replaced: dict[int, list[Node]] = {}

    def current(node: Node) -> Node:
        return replaced.get(id(node), [node])[0]

    for node in graph.nodes:
        x, terms = node.inputs[0], affine(node) if node.op == "batch_norm" else None
        conv = links.writer.get(x.name) if isinstance(x, Tensor) and terms is not None else None
        if conv is None or conv.op not in ("conv", "conv_transpose") or terms is None:
            continue
        factor, offset = terms
        others = [n for n in links.readers(conv.outputs[0]) or () if n is not node]
        if not others or not factor.all():
            continue
        after = [fold_before(current(other), 1 / factor, 0 * factor) for other in others]
        scale = Const(factor.reshape(1, -1, 1, 1))
        step = Node("binary", (x, scale), node.outputs, {"kind": "mul"}, node.module)
        scaled = fold_after(current(conv), step)
        if scaled is None or any(n is None for n in after):
            continue
        replaced |= {id(old): [new] for old, new in zip(others, after, strict=True) if new}
        replaced[id(conv)] = [replace(current(conv), inputs=scaled)]
        constant = Const(offset.astype(np.float32).reshape(1, -1, 1, 1))
        replaced[id(node)] = [
            Node("binary", (x, constant), node.outputs, {"kind": "add"}, node.module)
        ]
    return rewritten(graph, replaced, {})


def join_sums(graph: Graph) -> Graph:
    """Writes the sum of one convolution of two maps as that convolution of their sum."""
    links = Links(graph)
    replaced: dict[int, list[Node]] = {}
    for node in graph.nodes:
        if node.op != "binary" or node.attrs["kind"] != "add" or len(set(node.inputs)) != 2:
            continue
        convs = [links.writer.get(x.name) for x in node.inputs if isinstance(x, Tensor)]
        if any(n is None or n.op != "conv" for n in convs) or len(convs) != 2:
            continue
        first, second = (conv for conv in convs if conv is not None)
        alone = all(links.only_reader(c.outputs[0]) is node for c in (first, second))
        same = first.inputs[1:] == second.inputs[1:] and first.attrs == second.attrs
        left, right = first.inputs[0], second.inputs[0]
        if not alone or not same or left.shape != right.shape or len(first.inputs) > 2:
            continue
        total = Tensor(f"{node.outputs[0].name}/inputs", left.shape)
        replaced |= {id(first): [], id(second): []}
        replaced[id(node)] = [
            replace(node, inputs=(left, right), outputs=(total,)),
            replace(first, inputs=(total, *first.inputs[1:]), outputs=node.outputs),
        ]
    return rewritten(graph, replaced, {})


# -- means -----------------------------------------------------------------------------------------


def join_means(graph: Graph) -> Graph:
    """Writes sums over all pixels or all channels, divided by their number, as the means they are.

    A reshape may be between sum and division, as in `jnp.mean(x, (1, 2))`.
    """
    links = Links(graph)
    replaced: dict[int, list[Node]] = {}
    renamed: dict[str, Tensor] = {}
    for node in graph.nodes:
        op = {(2, 3): "global_avg_pool", (1,): "channel_mean"}.get(
            tuple(node.attrs.get("axes", ()))
        )
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
    return rewritten(graph, replaced, renamed)


# -- slices ----------------------------------------------------------------------------------------


def join_slices(graph: Graph) -> Graph:
    """Replaces slices that together are a whole tensor by one split."""
    links = Links(graph)
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
    return rewritten(graph, replaced, renamed)


def _range(node: Node) -> tuple[int, int, int] | None:
    """(axis, start, stop) of a slice of one axis in steps of 1; else None."""
    shape, a = node.inputs[0].shape, node.attrs
    cut = [i for i in range(1, len(shape)) if (a["starts"][i], a["stops"][i]) != (0, shape[i])]
    if len(cut) != 1 or any(step != 1 for step in a["steps"]):
        return None
    return cut[0], a["starts"][cut[0]], a["stops"][cut[0]]
