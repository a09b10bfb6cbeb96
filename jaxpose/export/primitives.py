"""Primitives of a jaxpr that are not elementwise, as nodes of the export graph.

A handler takes (walker, eqn, args, module). `args` are tensors in the target's layout, fully
broadcast, or constants in the layout of the jaxpr. It returns one tensor or a list.
"""

from __future__ import annotations

import numpy as np

from jaxpose.export.graph import Const, ExportError
from jaxpose.export.layout import BATCH, target_axis, to_target


def _square(walker, eqn, args, module):
    return walker.emit("binary", [args[0]] * 2, args[0].shape, module, kind="mul")


def _integer_pow(walker, eqn, args, module):
    if eqn.params["y"] != 2:
        raise ExportError(f"{module}: x**{eqn.params['y']} cannot be exported, only x**2")
    return _square(walker, eqn, args, module)


def _logistic(walker, eqn, args, module):
    return walker.emit("activation", args, args[0].shape, module, kind="sigmoid")


def _concatenate(walker, eqn, args, module):
    if any(isinstance(a, Const) for a in args):
        raise ExportError(f"{module}: concatenation of a tensor and a constant cannot be exported")
    shape = eqn.outvars[0].aval.shape
    axis = target_axis(eqn.params["dimension"], len(shape))
    if axis == 0:
        raise ExportError(f"{module}: concatenation along the batch axis cannot be exported")
    return walker.emit("concat", args, to_target(shape), module, axis=axis)


def _split(walker, eqn, args, module):
    rank = len(args[0].shape)
    shapes = [to_target(var.aval.shape) for var in eqn.outvars]
    sizes = tuple(int(s) for s in eqn.params["sizes"])  # may be numpy integers
    return walker.emit_many(
        "split", args, shapes, module, axis=target_axis(eqn.params["axis"], rank), sizes=sizes
    )


def _slice(walker, eqn, args, module):
    starts, stops = eqn.params["start_indices"], eqn.params["limit_indices"]
    steps = eqn.params["strides"] or (1,) * len(starts)
    shape = eqn.outvars[0].aval.shape
    if shape[0] != BATCH:
        raise ExportError(f"{module}: a slice of the batch axis cannot be exported")
    return walker.emit(
        "slice",
        args,
        to_target(shape),
        module,
        starts=to_target(starts),
        stops=to_target(stops),
        steps=to_target(steps),
    )


def _pad(walker, eqn, args, module):
    x, value = args
    before, after, between = zip(*eqn.params["padding_config"], strict=True)
    if (
        isinstance(x, Const)
        or not isinstance(value, Const)
        or np.any(value.array)
        or min(*before, *after) < 0
        or any(between)
        or before[0] + after[0]
    ):
        raise ExportError(
            f"{module}: only zero padding of axes other than the batch axis can be exported"
        )
    return walker.emit(
        "pad",
        [x],
        to_target(eqn.outvars[0].aval.shape),
        module,
        before=to_target(before),
        after=to_target(after),
    )


def _reshape(walker, eqn, args, module):
    shape = eqn.outvars[0].aval.shape
    if not shape or shape[0] != BATCH:
        raise ExportError(f"{module}: a reshape to {tuple(shape)} changes the batch axis")
    return walker.relayout(args[0], range(len(args[0].shape)), shape, module)


def _transpose(walker, eqn, args, module):
    if eqn.params["permutation"][0] != 0:
        raise ExportError(f"{module}: a transpose of the batch axis cannot be exported")
    return walker.relayout(args[0], eqn.params["permutation"], eqn.outvars[0].aval.shape, module)


def _reduce(walker, eqn, args, module):
    rank = len(args[0].shape)
    axes = tuple(sorted(target_axis(a, rank) for a in eqn.params["axes"]))
    if 0 in axes:
        raise ExportError(f"{module}: {eqn.primitive.name} over the batch axis cannot be exported")
    shape = [1 if i in axes else n for i, n in enumerate(args[0].shape)]
    kept = walker.emit(
        "reduce",
        args,
        shape,
        module,
        axes=axes,
        kind=eqn.primitive.name.removeprefix("reduce_"),
    )
    return walker.relayout(kept, range(rank), eqn.outvars[0].aval.shape, module)


def _argmax(walker, eqn, args, module):
    (axis,), rank = eqn.params["axes"], len(args[0].shape)
    if axis == 0:
        raise ExportError(f"{module}: argmax over the batch axis cannot be exported")
    axis = target_axis(axis, rank)
    shape = [1 if i == axis else n for i, n in enumerate(args[0].shape)]
    kept = walker.emit("argmax", args, shape, module, axis=axis)
    return walker.relayout(kept, range(rank), eqn.outvars[0].aval.shape, module)


def _less_equal(walker, eqn, args, module):
    inputs = _numbers(args, "a comparison", module)
    return walker.emit("less_equal", inputs, to_target(eqn.outvars[0].aval.shape), module)


def _select_n(walker, eqn, args, module):
    if len(args) != 3 or isinstance(args[0], Const):
        raise ExportError(f"{module}: only a choice between two values can be exported")
    condition, other, value = _numbers(args, "a choice", module)
    shape = to_target(eqn.outvars[0].aval.shape)
    return walker.emit("where", [condition, value, other], shape, module)


def _numbers(args, what, module):
    """The arguments with constants of one number as scalars; others cannot be exported."""
    if any(isinstance(a, Const) and a.array.size != 1 for a in args):
        raise ExportError(f"{module}: {what} with several constants cannot be exported")
    return [
        Const(a.array.reshape(()).astype(np.float32)) if isinstance(a, Const) else a for a in args
    ]


def _dot_general(walker, eqn, args, module):
    x, w = args
    contract, batch = eqn.params["dimension_numbers"]
    ranks = len(x.shape), len(w.shape)
    tensors = not isinstance(x, Const) and not isinstance(w, Const)
    if tensors and ranks == (3, 3) and batch == ((0,), (0,)):
        left = x if tuple(contract[0]) == (2,) else walker.transpose(x, (0, 2, 1), module)
        right = w if tuple(contract[1]) == (1,) else walker.transpose(w, (0, 2, 1), module)
        return walker.emit("matmul", [left, right], eqn.outvars[0].aval.shape, module)
    if (
        isinstance(x, Const)
        or not isinstance(w, Const)
        or batch != ((), ())
        or ranks not in ((3, 2), (4, 2))
        or tuple(contract[0]) != (ranks[0] - 1,)
    ):
        raise ExportError(
            f"cannot export primitive 'dot_general' in module {module!r}: only [B,H,W,C] or "
            "[B,N,C] times a constant [C,D] matrix and products of two [B,N,C] are supported"
        )
    matrix = (w.array.T if contract[1][0] == 0 else w.array).astype(np.float32)
    if ranks[0] == 3:
        return walker.emit("linear", [x, Const(matrix, w.path)], eqn.outvars[0].aval.shape, module)
    kernel = Const(matrix[:, :, None, None], w.path)
    return walker.emit(
        "conv",
        [x, kernel],
        to_target(eqn.outvars[0].aval.shape),
        module,
        stride=(1, 1),
        padding=(0, 0),
        dilation=(1, 1),
        groups=1,
    )


def _conv_general_dilated(walker, eqn, args, module):
    p = eqn.params
    spec, pads = p["dimension_numbers"], p["padding"]
    layout = (tuple(spec.lhs_spec), tuple(spec.rhs_spec), tuple(spec.out_spec))
    nhwc = ((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))
    if (
        layout != nhwc
        or not isinstance(args[1], Const)
        or set(p["lhs_dilation"]) != {1}
        or p["batch_group_count"] != 1
        or any(low != high for low, high in pads)
    ):
        raise ExportError(
            f"cannot export primitive 'conv_general_dilated' in module "
            f"{module!r}: only a plain NHWC convolution with a constant kernel "
            "and symmetric padding is supported"
        )
    kernel = Const(args[1].array.astype(np.float32).transpose(3, 2, 0, 1), args[1].path)
    return walker.emit(
        "conv",
        [args[0], kernel],
        to_target(eqn.outvars[0].aval.shape),
        module,
        stride=tuple(p["window_strides"]),
        padding=tuple(low for low, _ in pads),
        dilation=tuple(p["rhs_dilation"]),
        groups=p["feature_group_count"],
    )


PRIMITIVES = {
    "square": _square,
    "integer_pow": _integer_pow,
    "logistic": _logistic,
    "concatenate": _concatenate,
    "split": _split,
    "slice": _slice,
    "pad": _pad,
    "reshape": _reshape,
    "transpose": _transpose,
    "dot_general": _dot_general,
    "conv_general_dilated": _conv_general_dilated,
    "squeeze": _reshape,
    "expand_dims": _reshape,
    "reduce_sum": _reduce,
    "reduce_max": _reduce,
    "reduce_min": _reduce,
    "argmax": _argmax,
    "le": _less_equal,
    "select_n": _select_n,
}
