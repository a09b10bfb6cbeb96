"""Operators whose weights depend on the image, written with other nodes of the export graph.

Neither ONNX nor PyTorch has a convolution with one kernel per image. A convolution is linear in its
kernel, so the K kernels of a bank become one convolution with K times the channels, and its results
are mixed by the weights of the image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from jaxpose.export.graph import Const, ExportError, Tensor

Emit = Callable[..., Tensor]


def dynamic_conv(
    emit: Emit, args: Sequence[Tensor | Const], shape: tuple[int, ...], module: str, attrs: dict
) -> Tensor:
    """`jaxpose.ops.dynamic_conv`: args are x, attention, bank; `shape` is the result's, NCHW."""
    x, attention, bank = args
    if isinstance(attention, Const) or isinstance(bank, Tensor):
        raise ExportError(
            f"cannot export operator 'dynamic_conv' in module {module!r}: its kernels must be "
            "constants and their mixing weights computed from the image"
        )
    kernels, height, width, inputs, features = bank.array.shape
    kernel = bank.array.transpose(4, 0, 3, 1, 2).reshape(-1, inputs, height, width)
    batch, _, h, w = shape
    separate = emit(
        "conv",
        [x, Const(np.ascontiguousarray(kernel, np.float32), bank.path)],
        (batch, features * kernels, h, w),
        module,
        groups=x.shape[1] // inputs,
        dilation=(1, 1),
        **attrs,
    )
    separate = emit("reshape", [separate], (batch, features, kernels, h * w), module)
    weights = emit("reshape", [attention], (batch, 1, kernels, 1), module)
    mixed = emit("binary", [separate, weights], separate.shape, module, kind="mul")
    total = (batch, features, 1, h * w)
    mixed = emit("reduce", [mixed], total, module, kind="sum", axes=(2,))
    return emit("reshape", [mixed], shape, module)


def spatial_softmax(
    emit: Emit, args: Sequence[Tensor | Const], shape: tuple[int, ...], module: str, attrs: dict
) -> Tensor:
    """`jaxpose.ops.spatial_softmax`: exp(x - max) divided by its sum."""
    (x,) = args
    one = (*shape[:2], 1, 1)
    peak = emit("reduce", [x], one, module, kind="max", axes=(2, 3))
    x = emit("binary", [x, peak], shape, module, kind="sub")
    x = emit("unary", [x], shape, module, kind="exp")
    total = emit("reduce", [x], one, module, kind="sum", axes=(2, 3))
    return emit("binary", [x, total], shape, module, kind="div")
