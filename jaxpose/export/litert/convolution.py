"""Convolutions of the export graph as LiteRT operators."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxpose.export.graph import Const, ExportError, Node, Tensor
from jaxpose.export.litert.depthwise import Part, Taps, parts
from jaxpose.export.litert.padding import crop, dilation_options, padded, stride_options
from jaxpose.export.litert.program import Program, Value, physical


def conv(program: Program, node: Node, x: Value) -> Value:
    """`conv`: DEPTHWISE_CONV_2D or CONV_2D, which takes groups."""
    attrs, shape, name = node.attrs, physical(node.outputs[0].shape), node.outputs[0].name
    kernel, bias, path = _weights(node, channels=node.outputs[0].shape[1])
    groups = attrs["groups"]
    if groups > 1 and kernel.shape[1] == 1 and groups == x.shape[3]:
        return _depthwise(program, x, kernel, bias, attrs, shape, name, path)
    x, padding = padded(program, x, kernel.shape[2:], attrs, attrs["dilation"], shape, name)
    weights = [
        program.kernel(kernel.transpose(0, 2, 3, 1), path),
        program.constant(bias, f"{path}/bias"),
    ]
    options = {"padding": padding, **stride_options(attrs), **dilation_options(attrs["dilation"])}
    return program.add("CONV_2D", [x, *weights], shape, name, 6 if groups > 1 else 1, **options)


def _depthwise(
    program: Program, x: Value, kernel, bias, attrs: dict, shape, name: str, path: str
) -> Value:
    """DEPTHWISE_CONV_2D; a large kernel is a sum of several (`depthwise.parts`)."""
    total = None
    for i, (rows, columns) in enumerate(_parts(kernel.shape[2:], attrs)):
        part = kernel[:, :, rows.slice, columns.slice]
        suffix = f"/part_{i}" if part.shape != kernel.shape else ""
        dilation = tuple(
            axis.step * d for axis, d in zip((rows, columns), attrs["dilation"], strict=True)
        )
        padding = tuple(
            p - axis.start * d
            for p, axis, d in zip(attrs["padding"], (rows, columns), attrs["dilation"], strict=True)
        )
        inside, kind = padded(
            program, x, part.shape[2:], attrs | {"padding": padding}, dilation, shape,
            name + suffix,
        )  # fmt: skip
        weights = [
            program.kernel(part.transpose(1, 2, 3, 0), path + suffix),
            program.constant(bias if i == 0 else np.zeros_like(bias), f"{path}/bias"),
        ]
        options = {"padding": kind, **stride_options(attrs), **dilation_options(dilation)}
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


def _parts(size: tuple[int, int], attrs: dict) -> list[Part]:
    """The parts of a depthwise kernel of `size`; one if its padding is too small for parts."""
    whole = (Taps(0, 1, size[0]), Taps(0, 1, size[1]))
    reached = zip(size, attrs["padding"], attrs["dilation"], strict=True)
    if all(n % 2 and p >= n // 2 * d for n, p, d in reached):
        return parts(*whole)
    return [whole]


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
            options: dict[str, Any] = {"padding": "SAME", "strideH": 1, "strideW": 1}
            options |= {"depthMultiplier": 1, **dilation_options((1, 1))}
            out = f"{name}/phase_{a}{b}"
            parts.append(program.add("DEPTHWISE_CONV_2D", [x, *weights], x.shape, out, **options))
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
        **stride_options(attrs),
    )
    return crop(program, y, (0, *paddings, 0), shape, name)


def _weights(node: Node, channels: int) -> tuple[np.ndarray, np.ndarray, str]:
    """Kernel, bias (zeros if the node has none) and the path of the kernel."""
    kernel, *bias = (value for value in node.inputs[1:] if isinstance(value, Const))
    if isinstance(node.inputs[1], Tensor):
        raise ExportError(f"{node.module}: the kernel of a convolution must be a constant")
    added = bias[0].array.reshape(-1) if bias else np.zeros(channels)
    path = "/".join(kernel.path[1:]) or f"{node.outputs[0].name}/kernel"
    return kernel.array.astype(np.float32), added.astype(np.float32), path
