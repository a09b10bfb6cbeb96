"""Estimates of the TPU compiler for depthwise convolutions, native and in the form for TPUs.

    python -m jaxpose.plan.operators [--topology v5e:1x1] [depthwise_conv:128x64x48x72:3:1 ...]

An operator is NAME:BxHxWxC:KERNEL:STRIDE. The table has microseconds by the compiler's cycles, for
the value and for the gradients of image and kernel, in bfloat16 with the batch in the lanes, where
the compiler puts it in networks; and the time that the HBM needs for the value.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import SingleDeviceSharding

from jaxpose import ops
from jaxpose.jax_api import Format, Layout
from jaxpose.plan.hlo import parse
from jaxpose.plan.profile import Cost, make_profile
from jaxpose.plan.topology import Target, find_target

Shape = tuple[int, ...]

# Of HWL, Lite CSW-HRNet, and WLitePose-S.
OPERATORS = """
depthwise_conv:128x128x96x16:3:1 depthwise_conv:128x128x96x64:3:2 depthwise_conv:128x64x48x72:3:1
depthwise_conv:128x64x48x72:5:2 depthwise_conv:128x32x24x120:5:1 depthwise_conv:128x32x24x240:3:2
depthwise_conv:128x16x12x184:3:1 depthwise_conv:128x16x12x672:5:1 depthwise_conv:128x16x12x672:5:2
depthwise_conv:128x8x6x960:5:1 depthwise_conv_transpose:128x8x6x960:4:2
depthwise_conv_transpose:128x16x12x256:4:2 depthwise_conv_transpose:128x32x24x256:4:2
depthwise_conv:128x64x48x20:3:1 depthwise_conv:128x64x48x40:3:2 depthwise_conv:128x32x24x40:3:1
depthwise_conv:128x16x12x80:3:1 depthwise_conv:128x28x28x48:7:1 depthwise_conv:128x28x28x120:7:1
depthwise_conv:32x28x28x48:7:1
""".split()
_BATCH_IN_LANES = Layout(major_to_minor=(1, 2, 3, 0))


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


def _array(shape: Shape, **kwargs) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.bfloat16, **kwargs)


def _estimate(target: Target, function: Callable, *shapes: Shape) -> Cost:
    """Costs of a function of images and, at the end, a kernel."""

    def operator(*arrays):  # a new function, because JAX keeps traces of the same one
        return function(*arrays)

    anywhere = SingleDeviceSharding(target.devices[0])
    in_lanes = Format(_BATCH_IN_LANES, anywhere)
    *images, kernel = shapes
    arguments = [_array(shape, sharding=in_lanes) for shape in images]
    arguments.append(_array(kernel, sharding=anywhere))
    result = jax.eval_shape(operator, *map(_array, shapes)).shape
    placed = jax.jit(operator, out_shardings=anywhere if result == kernel else in_lanes)
    return make_profile(parse(placed.lower(*arguments).compile().as_text() or "")).total


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("operators", nargs="*", default=OPERATORS, metavar="OPERATOR")
    parser.add_argument("--topology", default="v5e:1x1", help="TPU slice; its first chip counts")
    args = parser.parse_args()
    target = find_target(args.topology)
    if target.chip is None:
        parser.error(f"--topology={args.topology}: not a TPU slice")
    columns = "".join(f"{column:>9}" for column in ("value", "d image", "d kernel") * 2 + ("HBM",))
    print(f"{'':42}{'native':>27}{'TPU form':>27}\n{'us':42}{columns}")
    for operator in args.operators:
        print(row(target, operator), flush=True)


if __name__ == "__main__":
    main()
