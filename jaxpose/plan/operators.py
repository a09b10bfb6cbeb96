"""Estimates of the TPU compiler for depthwise convolutions, native and in the form for TPUs.

An operator is NAME:BxHxWxC:KERNEL:STRIDE. The table has microseconds by the compiler's cycles, for
the value and for the gradients of image and kernel, in bfloat16 with the batch in the lanes, where
the compiler puts it in networks; and the time that the HBM needs for the value. `python -m
jaxpose.plan.parts` prints it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxpose import ops
from jaxpose.plan.profile import Cost
from jaxpose.plan.single import BATCH_IN_LANES, compile_single, total_cost
from jaxpose.plan.topology import Target

Shape = tuple[int, ...]

# Of HWL, Lite CSW-HRNet, and WLitePose-S.
OPERATORS = """
depthwise_conv:128x128x96x16:3:1 depthwise_conv:128x128x96x64:3:2 depthwise_conv:128x64x48x72:3:1
depthwise_conv:128x64x48x72:5:2 depthwise_conv:128x32x24x120:5:1 depthwise_conv:128x32x24x240:3:2
depthwise_conv:128x16x12x184:3:1 depthwise_conv:128x64x48x20:3:1 depthwise_conv:128x64x48x40:3:2
depthwise_conv:128x32x24x40:3:1 depthwise_conv:128x16x12x80:3:1 depthwise_conv:128x28x28x48:7:1
depthwise_conv:128x28x28x120:7:1 depthwise_conv:128x64x48x60:3:1 depthwise_conv:128x224x224x33:3:1
depthwise_conv_transpose:128x112x112x66:4:2 depthwise_conv:32x28x28x48:7:1
""".split()
WRITTEN = re.compile(r"depthwise_conv(_transpose)?:([1-9]\d*x){3}[1-9]\d*:[1-9]\d*:[1-9]\d*")
_COLUMNS = ("value", "d image", "d kernel") * 2 + ("HBM",)
HEAD = f"{'':42}{'native':>27}{'TPU form':>27}\n{'us':42}" + "".join(f"{c:>9}" for c in _COLUMNS)


def row(target: Target, operator: str) -> str:
    """A line of the table."""
    assert target.chip is not None
    name, sides, kernel, stride = operator.split(":")
    x = tuple(int(side) for side in sides.split("x"))
    k, s = int(kernel), int(stride)
    padding = 1 if name.endswith("transpose") else k // 2
    op = functools.partial(getattr(ops, name), stride=s, padding=padding)
    w = (k, k, 1, x[3])
    y = jax.eval_shape(op, _array(x), _array(w)).shape

    def image_gradient(g, x, w):
        return jax.vjp(lambda x: op(x, w), x)[1](g)[0]

    def kernel_gradient(g, x, w):
        return jax.vjp(lambda w: op(x, w), w)[1](g)[0]

    costs = []
    for implementation in ("lax", "auto"):
        with ops.implementation(implementation):
            costs += [
                _estimate(target, op, x, w),
                _estimate(target, image_gradient, y, x, w),
                _estimate(target, kernel_gradient, y, x, w),
            ]
    seconds = [cost.cycles / target.chip.clock for cost in costs]
    seconds.append(costs[0].hbm_bytes / target.chip.bandwidth)
    return f"{operator:42}" + "".join(f"{1e6 * each:9.1f}" for each in seconds)


def _array(shape: Shape) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.bfloat16)


def _estimate(target: Target, function: Callable, *shapes: Shape) -> Cost:
    """Costs of a function of images and, at the end, a kernel."""
    *images, kernel = shapes
    arrays = list(map(_array, shapes))
    result = jax.eval_shape(lambda *arrays: function(*arrays), *arrays).shape
    layouts = [BATCH_IN_LANES] * len(images) + [None]
    result_layout = None if result == kernel else BATCH_IN_LANES
    return total_cost(compile_single(target, function, arrays, layouts, result_layout))
