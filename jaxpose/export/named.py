"""Named operators of `jaxpose.ops` as nodes of the export graph: kernel layouts and attributes.

Kernels are converted from HWIO to OIHW. This library stores a transposed convolution as a
convolution over the dilated input (HWIO). The targets need the kernel of the convolution whose
gradient it is: flipped along both spatial axes, input channels first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from jaxpose.export import dynamic
from jaxpose.export.graph import Const, ExportError, Tensor

_DYNAMIC = {
    "dynamic_conv": dynamic.dynamic_conv,
    "spatial_softmax": dynamic.spatial_softmax,
}
_SIMPLE = (
    "global_avg_pool",
    "global_max_pool",
    "channel_mean",
    "channel_max",
    "channel_shuffle",
    "max_pool",
    "avg_pool",
    "adaptive_avg_pool",
    "resize",
)


def convert(
    emit: Callable[..., Tensor],
    named: tuple[str, dict],
    args: Sequence[Tensor | Const],
    shape: Sequence[int],
    module: str,
) -> Tensor:
    """Emits the node of one named operator.

    Args:
      emit: `(op, inputs, shape, module, **attrs) -> Tensor`, with shapes in the target's order.
      named: operator name and static arguments, as `jaxpose.ops.parse` returns them.
      args: the operator's arguments; the first is a tensor.
      shape: of the result in the jaxpr.
      module: path of the Flax module.

    Raises:
      ExportError: the operator cannot be exported.
    """
    op, statics = named
    attrs = {
        key: tuple(v) if isinstance(v, list) else v for key, v in statics.items() if key != "impl"
    }
    x, *rest = args
    target: tuple[int, ...]
    if op in _DYNAMIC and isinstance(x, Tensor) and len(shape) == 4:
        target = (shape[0], shape[3], shape[1], shape[2])
        return _DYNAMIC[op](emit, args, target, module, attrs)
    weights = [value for value in rest if isinstance(value, Const)]
    if isinstance(x, Const) or len(weights) < len(rest):
        raise ExportError(
            f"cannot export operator {op!r} in module {module!r}: its weights are "
            "computed from the image"
        )
    target = (shape[0], shape[3], shape[1], shape[2]) if len(shape) == 4 else tuple(shape)
    if op == "activation":
        return emit("activation", [x], target, module, **attrs)
    if len(shape) != 4:
        raise ExportError(
            f"cannot export operator {op!r} in module {module!r} on values of rank "
            f"{len(shape)}: only [B,H,W,C] is supported"
        )
    if op in _SIMPLE:
        return emit(op, [x], target, module, **attrs)
    if op == "batch_norm":
        params = [Const(a.array.reshape(-1).astype(np.float32), a.path) for a in weights]
        return emit("batch_norm", [x, *params], target, module, **attrs)
    if op == "channel_conv1d":
        (source,) = weights
        kernel = Const(source.array.reshape(1, 1, -1).astype(np.float32), source.path)
        return emit("channel_conv1d", [x, kernel], target, module)
    channels = x.shape[1]
    if op in ("conv", "depthwise_conv", "grouped_conv"):
        groups = {"conv": 1, "depthwise_conv": channels}.get(op) or attrs.pop("groups")
        (source,) = weights
        array = source.array.transpose(3, 2, 0, 1)
        return emit(
            "conv",
            [x, _float(array, source)],
            target,
            module,
            groups=groups,
            **{"dilation": (1, 1), **attrs},
        )
    if op in ("conv_transpose", "depthwise_conv_transpose"):
        dense = op == "conv_transpose"
        (source,) = weights
        array = source.array[::-1, ::-1].transpose((2, 3, 0, 1) if dense else (3, 2, 0, 1))
        return emit(
            "conv_transpose",
            [x, _float(array, source)],
            target,
            module,
            groups=1 if dense else channels,
            **attrs,
        )
    raise ExportError(
        f"cannot export operator {op!r} in module {module!r}: it is not part of "
        "inference, or jaxpose.export.named does not support it"
    )


def _float(array: np.ndarray, source: Const) -> Const:
    return Const(np.ascontiguousarray(array, np.float32), source.path)
