"""Pools of the export graph as LiteRT operators."""

from __future__ import annotations

import numpy as np

from jaxpose.export.graph import Node
from jaxpose.export.litert.padding import crop, padded, stride_options
from jaxpose.export.litert.program import Program, Value, physical
from jaxpose.ops.pool import average_bins

LOWEST = float(np.finfo(np.float32).min)


def max_pool(program: Program, node: Node, x: Value) -> Value:
    """`max_pool`, whose padding is lower than every value."""
    attrs, shape, name = node.attrs, physical(node.outputs[0].shape), node.outputs[0].name
    border = 0.0 if _never_negative(program, x) else LOWEST
    x, padding = padded(program, x, attrs["window"], attrs, (1, 1), shape, name, border)
    return _pool(program, "MAX_POOL_2D", x, attrs["window"], attrs, padding, shape, name)


def avg_pool(program: Program, node: Node, x: Value) -> Value:
    """`avg_pool`; LiteRT's SAME leaves the padding out of the mean, and a PAD includes it."""
    attrs, shape, name = node.attrs, physical(node.outputs[0].shape), node.outputs[0].name
    window, counted = attrs["window"], attrs["count_include_pad"]
    before = x.shape
    x, padding = padded(program, x, window, attrs, (1, 1), shape, name, same=not counted)
    y = _pool(program, "AVERAGE_POOL_2D", x, window, attrs, padding, shape, name)
    if counted or x.shape == before:
        return y
    rows, columns = (
        _share_inside(n, o, k, s, p)
        for n, o, k, s, p in zip(
            before[1:3], shape[1:3], window, attrs["stride"], attrs["padding"], strict=True
        )
    )
    factor = (1 / np.outer(rows, columns)).astype(np.float32)[None, :, :, None]
    return program.add("MUL", [y, program.constant(factor, f"{name}/factor")], shape, name)


def _share_inside(size: int, outputs: int, window: int, stride: int, padding: int) -> np.ndarray:
    """[outputs]: share of each window that lies inside an axis of `size` pixels."""
    starts = np.arange(outputs) * stride - padding
    inside = np.minimum(starts + window, size) - np.maximum(starts, 0)
    return inside / window


def adaptive_avg_pool(program: Program, node: Node, x: Value) -> Value:
    """`adaptive_avg_pool`: an ordinary pool if the bins are equal, else one mean per bin."""
    shape, name = physical(node.outputs[0].shape), node.outputs[0].name
    sizes, bins = x.shape[1:3], node.attrs["size"]
    if all(n % b == 0 for n, b in zip(sizes, bins, strict=True)):
        window = tuple(n // b for n, b in zip(sizes, bins, strict=True))
        attrs = {"stride": window}
        return _pool(program, "AVERAGE_POOL_2D", x, window, attrs, "VALID", shape, name)
    for axis in (1, 2):
        parts = []
        for i, weights in enumerate(average_bins(x.shape[axis], bins[axis - 1])):
            inside = np.flatnonzero(weights)
            start, part, one = [0] * 4, list(x.shape), list(x.shape)
            start[axis], part[axis], one[axis] = int(inside[0]), len(inside), 1
            piece = crop(program, x, start, part, f"{name}/bin_{axis}_{i}")
            mean = [piece, program.integers([axis])]
            parts.append(program.add("MEAN", mean, one, f"{name}/mean_{axis}_{i}", keepDims=True))
        joined = list(x.shape)
        joined[axis] = len(parts)
        x = program.add("CONCATENATION", parts, joined, f"{name}/means_{axis}", axis=axis)
    return x


def _pool(program: Program, kind: str, x, window, attrs: dict, padding: str, shape, name) -> Value:
    filters = {"filterHeight": window[0], "filterWidth": window[1]}
    return program.add(kind, [x], shape, name, padding=padding, **stride_options(attrs), **filters)


def _never_negative(program: Program, x: Value) -> bool:
    operator = program.producer(x)
    if operator is None:
        return False
    names = {operator.kind, operator.options.get("fusedActivationFunction")}
    return bool(names & {"RELU", "RELU6", "LOGISTIC"})
