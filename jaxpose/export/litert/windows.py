"""Convolutions and pools of the export graph as LiteRT operators.

LiteRT knows two paddings: VALID, none, and SAME, which puts the odd row or column of zeros at the
end. Where SAME is not the graph's padding, as at stride 2, a PAD comes first. XNNPACK merges it
into the convolution.
"""

from __future__ import annotations

import numpy as np

from jaxpose.export.graph import Const, ExportError, Node, Tensor
from jaxpose.export.litert.program import Program, Value, physical
from jaxpose.ops.pool import average_bins

LOWEST = np.float32(np.finfo(np.float32).min)
FAST_TAPS = 25  # largest depthwise kernel that XNNPACK computes in one pass


def conv(program: Program, node: Node, x: Value) -> Value:
    """`conv`: DEPTHWISE_CONV_2D or CONV_2D, which takes groups."""
    attrs, shape, name = node.attrs, physical(node.outputs[0].shape), node.outputs[0].name
    kernel, bias, path = _weights(node, channels=node.outputs[0].shape[1])
    groups = attrs["groups"]
    if groups > 1 and kernel.shape[1] == 1 and groups == x.shape[3]:
        return _depthwise(program, x, kernel, bias, attrs, shape, name, path)
    x, padding = _padded(program, x, kernel.shape[2:], attrs, attrs["dilation"], shape, name)
    weights = [
        program.kernel(kernel.transpose(0, 2, 3, 1), path),
        program.constant(bias, f"{path}/bias"),
    ]
    options = {"padding": padding, **_strides(attrs), **_dilation(attrs["dilation"])}
    return program.add("CONV_2D", [x, *weights], shape, name, 6 if groups > 1 else 1, **options)


def _depthwise(
    program: Program, x: Value, kernel, bias, attrs: dict, shape, name: str, path: str
) -> Value:
    """DEPTHWISE_CONV_2D; a large kernel is a sum of several with parts of its rows.

    XNNPACK computes a kernel of more than 25 weights about five times slower than such a sum
    (7x7 on [64, 48, 32], one thread on x86: 3.0 and 0.6 ms).
    """
    total = None
    for i, (start, step, count) in enumerate(_row_parts(*kernel.shape[2:], attrs)):
        suffix = f"/rows_{start}" if count < kernel.shape[2] else ""
        rows = kernel[:, :, start : start + step * count : step]
        dilation = (step * attrs["dilation"][0], attrs["dilation"][1])
        top, left = attrs["padding"]
        part = attrs | {"padding": (top - start * attrs["dilation"][0], left)}
        inside, padding = _padded(program, x, rows.shape[2:], part, dilation, shape, name + suffix)
        added = bias if i == 0 else np.zeros_like(bias)
        weights = [
            program.kernel(rows.transpose(1, 2, 3, 0), path + suffix),
            program.constant(added, f"{path}/bias"),
        ]
        options = {"padding": padding, **_strides(attrs), **_dilation(dilation)}
        y = program.add(
            "DEPTHWISE_CONV_2D", [inside, *weights], shape, name + suffix,
            1 if dilation == (1, 1) else 2, depthMultiplier=kernel.shape[0] // x.shape[3],
            **options,
        )  # fmt: skip
        if total is not None:
            y = program.add("ADD", [total, y], shape, f"{name}/sum")
        total = y
    assert total is not None
    return total


def _row_parts(height: int, width: int, attrs: dict) -> list[tuple[int, int, int]]:
    """(first row, step, number of rows) of the parts of a kernel.

    One part if it is small enough, if its rows cannot be paired around the center, or if a pair of
    rows is too large.
    """
    center, left = divmod(height, 2)
    rows = FAST_TAPS // width
    paired = left == 1 and attrs["padding"][0] >= center * attrs["dilation"][0]
    if height <= rows or rows < 2 or not paired:
        return [(0, 1, height)]
    reach = (rows - 1) // 2  # rows on each side of the center in the first part
    pairs = [(center - i, 2 * i, 2) for i in range(reach + 1, center + 1)]
    return [(center - reach, 1, 2 * reach + 1), *pairs]


def conv_transpose(program: Program, node: Node, x: Value) -> Value:
    """`conv_transpose`: TRANSPOSE_CONV, or depthwise convolutions and DEPTH_TO_SPACE."""
    attrs = node.attrs
    kernel, bias, path = _weights(node, channels=node.outputs[0].shape[1])
    if attrs["groups"] == 1:
        return _dense_transpose(program, node, x, kernel, bias, path)
    (stride, other), (before, left) = attrs["stride"], attrs["padding"]
    if kernel.shape[1] != 1 or kernel.shape[0] != attrs["groups"]:
        raise ExportError(
            f"{node.module}: a transposed convolution in {attrs['groups']} groups cannot be "
            "exported to LiteRT, only a dense or a depthwise one"
        )
    _, height, width, channels = x.shape
    shape, name = physical(node.outputs[0].shape), node.outputs[0].name
    whole = (1, stride * height, stride * width, channels)
    if stride != other or stride < 2 or shape[1] > whole[1] or shape[2] > whole[2]:
        raise ExportError(
            f"{node.module}: a depthwise transposed convolution with kernel {kernel.shape[2:]}, "
            f"stride {attrs['stride']} and padding {attrs['padding']} cannot be exported to LiteRT"
        )
    # Pixel stride * q + a of the result reads pixels q + t of x through row a + p - stride * t of
    # the kernel: one ordinary convolution for each phase a, and the phases are interleaved.
    reach = max(_reach(kernel.shape[2], stride, before), _reach(kernel.shape[3], stride, left))
    size = 2 * reach + 1
    parts = []
    for a in range(stride):
        for b in range(stride):
            phase = np.zeros((1, size, size, channels), np.float32)
            for t in range(-reach, reach + 1):
                for u in range(-reach, reach + 1):
                    row, column = a + before - stride * t, b + left - stride * u
                    if 0 <= row < kernel.shape[2] and 0 <= column < kernel.shape[3]:
                        phase[0, t + reach, u + reach] = kernel[:, 0, row, column]
            weights = [
                program.kernel(phase, f"{path}/phase_{a}{b}"),
                program.constant(bias, f"{path}/bias"),
            ]
            options = {"padding": "SAME", "strideH": 1, "strideW": 1, "depthMultiplier": 1}
            options |= _dilation((1, 1))
            out = f"{name}/phase_{a}{b}"
            parts.append(
                program.add("DEPTHWISE_CONV_2D", [x, *weights], x.shape, out, **options)
            )
    depth = (1, height, width, stride * stride * channels)
    joined = program.add("CONCATENATION", parts, depth, f"{name}/phases", axis=3)
    y = program.add("DEPTH_TO_SPACE", [joined], whole, name, blockSize=stride)
    return crop(program, y, (0, 0, 0, 0), shape, name)


def _reach(kernel: int, stride: int, padding: int) -> int:
    """Largest distance, in pixels of the input, from which a transposed convolution reads."""
    offsets = [
        (a + padding - row) // stride
        for a in range(stride)
        for row in range(kernel)
        if (a + padding - row) % stride == 0
    ]
    return max(abs(offset) for offset in offsets)


def _dense_transpose(
    program: Program, node: Node, x: Value, kernel: np.ndarray, bias: np.ndarray, path: str
) -> Value:
    """SAME cuts (kernel - stride) / 2 pixels off each side; else all are computed, then cut."""
    attrs, shape, name = node.attrs, physical(node.outputs[0].shape), node.outputs[0].name
    sizes, strides, paddings = kernel.shape[2:], attrs["stride"], attrs["padding"]
    same = all(k - s == 2 * p for k, s, p in zip(sizes, strides, paddings, strict=True))
    whole = shape
    if not same:
        spatial = ((n - 1) * s + k for n, s, k in zip(x.shape[1:3], strides, sizes, strict=True))
        whole = (1, *spatial, shape[3])
    y = program.add(
        "TRANSPOSE_CONV",
        [
            program.integers(whole),
            program.kernel(kernel.transpose(1, 2, 3, 0), path),
            x,
            program.constant(bias, f"{path}/bias"),
        ],
        whole,
        name,
        version=3,
        padding="SAME" if same else "VALID",
        **_strides(attrs),
    )
    return crop(program, y, (0, *paddings, 0), shape, name)


def max_pool(program: Program, node: Node, x: Value) -> Value:
    """`max_pool`, whose padding is lower than every value."""
    attrs, shape, name = node.attrs, physical(node.outputs[0].shape), node.outputs[0].name
    border = 0.0 if _never_negative(program, x) else LOWEST
    x, padding = _padded(program, x, attrs["window"], attrs, (1, 1), shape, name, border)
    return _pool(program, "MAX_POOL_2D", x, attrs["window"], attrs, padding, shape, name)


def avg_pool(program: Program, node: Node, x: Value) -> Value:
    """`avg_pool`; LiteRT's SAME leaves the padding out of the mean, and a PAD includes it."""
    attrs, shape, name = node.attrs, physical(node.outputs[0].shape), node.outputs[0].name
    window, counted = attrs["window"], attrs["count_include_pad"]
    before = x.shape
    x, padding = _padded(program, x, window, attrs, (1, 1), shape, name, same=not counted)
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


def crop(program: Program, x: Value, starts, shape, name: str) -> Value:
    """A part of `x`; `x` itself if it has that shape."""
    if tuple(shape) == x.shape:
        return x
    inputs = [x, program.integers(starts), program.integers(shape)]
    return program.add("SLICE", inputs, shape, name)


def _pool(program: Program, kind: str, x, window, attrs: dict, padding: str, shape, name) -> Value:
    filters = {"filterHeight": window[0], "filterWidth": window[1]}
    return program.add(kind, [x], shape, name, padding=padding, **_strides(attrs), **filters)


def _padded(
    program: Program,
    x: Value,
    window,
    attrs: dict,
    dilation,
    shape,
    name: str,
    border: float = 0.0,
    same: bool = True,
) -> tuple[Value, str]:
    """The input of a window operator, and its LiteRT padding, for the graph's padding.

    Args:
      program: gets the operators.
      x: the input without padding.
      window: size of the window (height, width).
      attrs: `stride` and `padding` of the node.
      dilation: of the window.
      shape: of the result.
      name: of the result.
      border: value of the padding.
      same: whether SAME may be used.
    """
    before, after, matches = [], [], True
    for n, o, k, s, p, d in zip(
        x.shape[1:3], shape[1:3], window, attrs["stride"], attrs["padding"], dilation, strict=True
    ):
        total = max((o - 1) * s + (k - 1) * d + 1 - n, 0)  # that the windows reach
        matches &= total // 2 == p and o == -(-n // s)
        before.append(p)
        after.append(max(total - p, 0))
    if not any((*attrs["padding"], *after)):
        return x, "VALID"
    if matches and same:
        return x, "SAME"
    pads = np.zeros((4, 2), np.int32)
    pads[1:3] = np.transpose([before, after])
    padded = [n + int(p.sum()) for n, p in zip(x.shape, pads, strict=True)]
    inputs, kind = [x, program.integers(pads)], "PAD"
    if border:
        inputs.append(program.constant(np.array([border], np.float32), "lowest"))
        kind = "PADV2"
    return program.add(kind, inputs, padded, f"{name}/padded"), "VALID"


def _never_negative(program: Program, x: Value) -> bool:
    operator = program.producer(x)
    if operator is None:
        return False
    names = {operator.kind, operator.options.get("fusedActivationFunction")}
    return bool(names & {"RELU", "RELU6", "LOGISTIC"})


def _weights(node: Node, channels: int) -> tuple[np.ndarray, np.ndarray, str]:
    """Kernel, bias (zeros if the node has none) and the path of the kernel."""
    kernel, *bias = (value for value in node.inputs[1:] if isinstance(value, Const))
    if isinstance(node.inputs[1], Tensor):
        raise ExportError(f"{node.module}: the kernel of a convolution must be a constant")
    added = bias[0].array.reshape(-1) if bias else np.zeros(channels)
    path = "/".join(kernel.path[1:]) or f"{node.outputs[0].name}/kernel"
    return kernel.array.astype(np.float32), added.astype(np.float32), path


def _strides(attrs: dict) -> dict[str, int]:
    return {"strideH": attrs["stride"][0], "strideW": attrs["stride"][1]}


def _dilation(dilation) -> dict[str, int]:
    return {"dilationHFactor": dilation[0], "dilationWFactor": dilation[1]}
