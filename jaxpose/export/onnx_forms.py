"""What the ONNX builder writes differently from the export graph, so that every reader takes it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from jaxpose.export.folding import fold_after, fold_before
from jaxpose.export.graph import (
    Const,
    Graph,
    Links,
    Node,
    Tensor,
    count_readers,
    drop_unused,
    rewritten,
)

_HARD_SIGMOIDS = {"hard_sigmoid": (1 / 6, 0.5), "hard_sigmoid_v1": (0.5, 0.5)}


def rewrite(graph: Graph) -> Graph:
    """The graph with forms for the ONNX builder.

    * The steps of a softmax over neighboring axes are one node "softmax" with `axes`.
    * The kernel of `channel_conv1d` is [1, 1, k, 1].
    * A linear layer is a product with its transposed weight.
    * The padding of a `pad` node becomes that of the convolution after it, if it is symmetric.
    * A hard sigmoid clip(a x + b, 0, 1) after a convolution without other readers is the activation
      "unit_clip", clip(x, 0, 1); the convolution computes a x + b.
    * A GELU between convolutions is the activation "erf_gate", x (1 + erf(x)), of x / sqrt(2); the
      convolutions before and after it are scaled. It has three nodes instead of five.
    """
    for step in (
        _with_softmax,
        _with_columns,
        _with_products,
        _with_borders,
        _with_clips,
        _with_erf_gates,
    ):
        graph = step(graph)
    return graph


def _with_columns(graph: Graph) -> Graph:
    """As images of one column, because fewer readers have a 1-D convolution."""
    replaced: dict[int, list[Node]] = {}
    for node in graph.nodes:
        if node.op == "channel_conv1d":
            x, kernel = node.inputs
            assert isinstance(kernel, Const)
            column = Const(kernel.array[..., None], kernel.path)
            replaced[id(node)] = [replace(node, inputs=(x, column))]
    return rewritten(graph, replaced, {})


def _with_products(graph: Graph) -> Graph:
    """The operator Gemm, which has weights of the same layout as here, takes matrices alone."""
    replaced: dict[int, list[Node]] = {}
    for node in graph.nodes:
        if node.op == "linear":
            x, weight = node.inputs
            assert isinstance(weight, Const)
            product = replace(node, op="matmul", inputs=(x, Const(weight.array.T, weight.path)))
            replaced[id(node)] = [product]
    return rewritten(graph, replaced, {})


def _with_borders(graph: Graph) -> Graph:
    links = Links(graph)
    replaced: dict[int, list[Node]] = {}
    for node in graph.nodes:
        conv = links.only_reader(node.outputs[0]) if node.op == "pad" else None
        padded = _padded(conv, node) if conv is not None and conv.op == "conv" else None
        if padded is not None:
            replaced |= {id(node): [], id(conv): [padded]}
    return rewritten(graph, replaced, {})


def _with_clips(graph: Graph) -> Graph:
    links = Links(graph)
    replaced: dict[int, list[Node]] = {}
    for node in graph.nodes:
        kind = node.attrs.get("kind")
        conv = _conv_before(node, links)
        if node.op == "activation" and kind in _HARD_SIGMOIDS and conv is not None:
            scaled = _scaled(conv, *_HARD_SIGMOIDS[kind])
            replaced |= {
                id(conv): [scaled],
                id(node): [replace(node, attrs={"kind": "unit_clip"})],
            }
    return rewritten(graph, replaced, {})


def _with_erf_gates(graph: Graph) -> Graph:
    links = Links(graph)
    replaced: dict[int, list[Node]] = {}

    def current(node: Node) -> Node:
        return replaced.get(id(node), [node])[0]

    for node in graph.nodes:
        conv = _conv_before(node, links)
        if node.op != "activation" or node.attrs["kind"] != "gelu" or conv is None:
            continue
        readers = links.readers(node.outputs[0])
        factor = np.full(node.outputs[0].shape[1], np.sqrt(0.5))
        # gelu(x) = 0.5 x (1 + erf(x / sqrt 2)) = sqrt(0.5) s (1 + erf(s)) with s = sqrt(0.5) x
        after = [fold_before(current(n), factor, 0 * factor) for n in readers or ()]
        if not after or any(n is None for n in after):
            continue
        for old, new in zip(readers or (), after, strict=True):
            assert new is not None
            replaced[id(old)] = [new]
        replaced[id(conv)] = [_scaled(current(conv), factor[0], 0)]
        replaced[id(node)] = [replace(node, attrs={"kind": "erf_gate"})]
    return rewritten(graph, replaced, {})


def _conv_before(node: Node, links: Links) -> Node | None:
    """The convolution, ordinary or transposed, whose result this node alone reads."""
    x = node.inputs[0]
    before = links.writer.get(x.name) if isinstance(x, Tensor) else None
    if before is None or before.op not in ("conv", "conv_transpose"):
        return None
    return before if links.only_reader(before.outputs[0]) is node else None


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
    return drop_unused(replace(graph, nodes=[softmax.get(id(node), node) for node in graph.nodes]))


def _softmax_steps(
    div: Node, writer: dict[str, Node]
) -> tuple[Tensor, list[Node], tuple[int, ...]] | None:
    """(x, [max, sub, exp, sum, div], axes) if `div` is the last step of a softmax of x."""

    def made(value: Tensor | Const, op: str, kind: str) -> Node | None:
        node = writer.get(value.name) if isinstance(value, Tensor) else None
        return (
            node if node is not None and (node.op, node.attrs.get("kind")) == (op, kind) else None
        )

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
    """The convolution with the padding of the node before it; None if it cannot have that.

    Both sides must get the same: OpenCV reads beyond the map otherwise.
    """
    before, after = pad.attrs["before"], pad.attrs["after"]
    if len(before) != 4 or any(before[:2]) or any(after[:2]):
        return None
    own = conv.attrs["padding"]
    if before != after:
        return None
    padding = tuple(n + p for n, p in zip(before[2:], own, strict=True))
    return replace(
        conv, inputs=(pad.inputs[0], *conv.inputs[1:]), attrs={**conv.attrs, "padding": padding}
    )


def _scaled(conv: Node, factor: float, offset: float) -> Node:
    """The convolution that computes factor * result + offset."""
    x = conv.outputs[0]
    for kind, value in (("mul", factor), ("add", offset)):
        if value != 0:
            step = Node("binary", (x, Const(np.array(value))), (x,), {"kind": kind}, conv.module)
            inputs = fold_after(conv, step)
            assert inputs is not None
            conv = replace(conv, inputs=inputs)
    return conv


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
        types: tuple[Any, ...] = (np.float32, np.float64)
        if any(np.floor(t(before) * t(scale)) != after for t in types):
            continue
        pixels = [np.floor(positions.astype(t) / t(scale)) for t in types]
        if not nearest or all((p == positions * before // after).all() for p in pixels):
            return scale
    return None
