"""What the ONNX builder writes differently from the export graph, so that every reader takes it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from jaxpose.export.graph import (
    Const,
    Graph,
    Node,
    Tensor,
    count_readers,
    drop_unused,
    fold_after,
)

_HARD_SIGMOIDS = {"hard_sigmoid": (1 / 6, 0.5), "hard_sigmoid_v1": (0.5, 0.5)}


def rewrite(graph: Graph) -> Graph:
    """The graph with forms that only the ONNX builder knows.

    * The steps of a softmax over neighboring axes are one node "softmax" with `axes`.
    * The kernel of `channel_conv1d` is [1, 1, k, 1].
    * A hard sigmoid clip(a x + b, 0, 1) after a convolution without other readers is the activation
      "unit_clip", clip(x, 0, 1); the convolution computes a x + b.
    * `padding` of a convolution may be (top, left, bottom, right): a `pad` node before it is gone.
    """
    graph = _with_softmax(graph)
    readers = count_readers(graph)
    nodes: list[Node] = []
    place: dict[str, int] = {}  # tensor name -> position in `nodes` of the node that writes it
    gone: set[int] = set()
    for node in graph.nodes:
        source = node.inputs[0]
        position = None
        if isinstance(source, Tensor) and readers[source.name] == 1:
            position = place.get(source.name)
        before = nodes[position] if position is not None else None
        if before is not None and position is not None:
            if node.op == "conv" and before.op == "pad":
                padded = _padded(node, before)
                if padded is not None:
                    node = padded
                    gone.add(position)
            elif node.op == "activation" and node.attrs["kind"] in _HARD_SIGMOIDS:
                scaled = _scaled(before, node)
                if scaled is not None:
                    nodes[position] = scaled
                    node = replace(node, attrs={"kind": "unit_clip"})
        if node.op == "channel_conv1d":
            x, kernel = node.inputs
            assert isinstance(kernel, Const)
            node = replace(node, inputs=(x, Const(kernel.array[..., None], kernel.path)))
        place.update({out.name: len(nodes) for out in node.outputs})
        nodes.append(node)
    kept = [node for i, node in enumerate(nodes) if i not in gone]
    return Graph(graph.input, graph.outputs, kept)


def _with_softmax(graph: Graph) -> Graph:
    """Joins maximum, difference, exponential, sum and quotient."""
    readers = count_readers(graph)
    writer = {out.name: node for node in graph.nodes for out in node.outputs}
    softmax: dict[int, Node] = {}
    for last in graph.nodes:
        steps = _softmax_steps(last, writer)
        if steps is None:
            continue
        x, total, axes = steps
        *inner, _ = total
        if [readers[node.outputs[0].name] for node in inner] == [1, 1, 2, 1]:
            softmax[id(last)] = Node("softmax", (x,), last.outputs, {"axes": axes}, last.module)
    return drop_unused(
        replace(graph, nodes=[softmax.get(id(node), node) for node in graph.nodes])
    )


def _softmax_steps(
    div: Node, writer: dict[str, Node]
) -> tuple[Tensor, list[Node], tuple[int, ...]] | None:
    """(x, [max, sub, exp, sum, div], axes) if `div` is the last step of a softmax of x."""

    def made(value: Tensor | Const, op: str, kind: str) -> Node | None:
        node = writer.get(value.name) if isinstance(value, Tensor) else None
        return node if node is not None and (node.op, node.attrs.get("kind")) == (op, kind) else None

    if div.op != "binary" or div.attrs["kind"] != "div":
        return None
    exp, total = made(div.inputs[0], "unary", "exp"), made(div.inputs[1], "reduce", "sum")
    sub = made(exp.inputs[0], "binary", "sub") if exp else None
    peak = made(sub.inputs[1], "reduce", "max") if sub else None
    if not (exp and total and sub and peak) or total.inputs[0] != exp.outputs[0]:
        return None
    x, axes = peak.inputs[0], tuple(peak.attrs["axes"])
    neighbors = axes == tuple(range(axes[0], axes[0] + len(axes)))
    if sub.inputs[0] != x or axes != tuple(total.attrs["axes"]) or not neighbors:
        return None
    return (x, [peak, sub, exp, total, div], axes) if isinstance(x, Tensor) else None


def _padded(conv: Node, pad: Node) -> Node | None:
    """The convolution with the padding of the node before it; None if channels are padded."""
    before, after = pad.attrs["before"], pad.attrs["after"]
    if len(before) != 4 or any(before[:2]) or any(after[:2]):
        return None
    own = conv.attrs["padding"]
    padding = tuple(n + p for n, p in zip((*before[2:], *after[2:]), (*own, *own), strict=True))
    return replace(
        conv, inputs=(pad.inputs[0], *conv.inputs[1:]), attrs={**conv.attrs, "padding": padding}
    )


def _scaled(conv: Node, activation: Node) -> Node | None:
    """The convolution that also computes the linear part of the hard sigmoid after it."""
    if conv.op not in ("conv", "conv_transpose"):
        return None
    factor, offset = _HARD_SIGMOIDS[activation.attrs["kind"]]
    x = conv.outputs[0]
    inputs = conv.inputs
    for kind, value in (("mul", factor), ("add", offset)):
        constant = Const(np.array(value, np.float32))
        step = Node("binary", (x, constant), (x,), {"kind": kind}, activation.module)
        folded = fold_after(replace(conv, inputs=inputs), step)
        if folded is None:
            return None
        inputs = folded
    return replace(conv, inputs=inputs)


def scales(before: tuple[int, int], after: tuple[int, int], method: str) -> np.ndarray | None:
    """The float32 scales [2] of a resize, or None if none gives exactly the same result.

    ONNX defines the output size as floor(input size * scale), so a rounded quotient may lose a row,
    and the source pixel of "nearest" as floor(position / scale). Readers compute either in single
    or in double precision.
    """
    factors = [_scale(n, m, method == "nearest") for n, m in zip(before, after, strict=True)]
    return None if None in factors else np.array(factors, np.float32)


def _scale(before: int, after: int, nearest: bool) -> np.float32 | None:
    quotient = np.float32(after) / np.float32(before)
    higher = np.nextafter(quotient, np.float32(np.inf))
    positions = np.arange(after)
    for scale in (quotient, higher, np.nextafter(higher, np.float32(np.inf))):
        types = (np.float32, np.float64)
        if any(np.floor(t(before) * t(scale)) != after for t in types):
            continue
        pixels = [np.floor(positions.astype(t) / t(scale)) for t in types]
        if not nearest or all((p == positions * before // after).all() for p in pixels):
            return scale
    return None
