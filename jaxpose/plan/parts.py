"""Estimates of the TPU compiler for parts of networks.

    python -m jaxpose.plan.parts [--topology v5e:1x1] [--batch 128] [PART|OPERATOR ...]

A part of Lite-HRNet and Lite CSW-HRNet is an operator at the size of the first branch, `halves`
(what a block does with the two halves of its channels), or two blocks on two branches:
`lite_blocks`, or `csw_blocks` with the weights of Lite CSW-HRNet. `basic_block` is HRNet's on its
first branch, `global_avg_pool` and `deconvolution` are HWL's last, `light_residuals` are two of
WLitePose's modules, `channel_exchange` is that of Lightweight HRNet with r = -2, with the
convolutions that follow. `double` and `multiply_add` are yardsticks instead of parts: 2x and
x*y + x, which only stream arrays of HWL's last size. With `--implementation lax` the parts have
XLA's native operators. The table has the forward and the backward pass together. Arrays are
bfloat16, in the layout that the compiler prefers. A part compiles in seconds to minutes, a network
in minutes to hours. For an OPERATOR, such as depthwise_conv:128x64x48x72:3:1, see
`jaxpose.plan.operators`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxpose import ops
from jaxpose.layers import BatchNorm, Conv, ConvTranspose
from jaxpose.models import hwl, lightweight_hrnet, lite_csw_hrnet, lite_hrnet, resnet, wlitepose
from jaxpose.models.hrnet_stages import all_branches
from jaxpose.plan import operators
from jaxpose.plan.single import FREE, compile_single, total_cost
from jaxpose.plan.topology import Target, find_target

ROWS, COLUMNS, WIDTH = 64, 48, 40  # of the first branch, for an image of 256x192
HALF = (ROWS, COLUMNS, WIDTH // 2)
HWL_LAST = (ROWS, COLUMNS, 256)
CONV: Any = partial(Conv, dtype=jnp.bfloat16)


class Blocks(nn.Module):
    """Two blocks on two branches."""

    csw: bool

    @nn.compact
    def __call__(self, *xs: jax.Array, train: bool = True) -> list[jax.Array]:
        layers = lite_hrnet.lite_layers("paper", jnp.bfloat16, None)
        cross: Any = partial(lite_hrnet.CrossResolutionWeighting, **layers)
        single: Any = partial(lite_hrnet.spatial_weighting, conv=layers["conv"])
        if self.csw:
            weights = lite_csw_hrnet.ChannelSpatialWeights
            terms: Any = dict(gamma=2.0, b=1.0, pooling="both", shared=True, serial=False)
            cross = single = partial(weights, conv=layers["conv"], **terms)
        block = partial(lite_hrnet.WeightingBlock, cross, single, **layers)
        return all_branches(self, list(xs), train, block=block, blocks=2)


class LightResiduals(nn.Module):
    """Two of WLitePose's modules."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = True) -> jax.Array:
        for number in range(2):
            block = wlitepose.LightResidual(3, CONV, BatchNorm, name=f"light_residual_{number}")
            x = block(x, train)
        return x


class ChannelExchange(nn.Module):
    """Lightweight HRNet's exchange of channels, and the convolutions to its branches."""

    @nn.compact
    def __call__(self, *maps: jax.Array, train: bool = True) -> list[jax.Array]:
        pieces = lightweight_hrnet.exchange_pieces([x.shape[-1] for x in maps])
        exchanged = lightweight_hrnet.exchange_channels(maps, pieces)
        return [
            CONV(width, 3, 2**number, name=f"branch_{number}")(x)
            for number, (x, width) in enumerate(zip(exchanged, EXCHANGED_TO, strict=True))
        ]


def _deconvolution() -> nn.Module:
    return hwl.LightDeconv(256, CONV, partial(ConvTranspose, dtype=jnp.bfloat16), BatchNorm)


def _halves(x: jax.Array) -> jax.Array:
    kept, changed = jnp.split(x, 2, axis=-1)
    return lite_hrnet.join(kept, jnp.tanh(changed))


def _enlarged(x: jax.Array, weights: jax.Array) -> jax.Array:
    return x * ops.resize(weights, size=x.shape[1:3], method="nearest")


def _spatial_conv(x: Any) -> tuple[Callable, tuple[Any]]:
    kernel = jax.ShapeDtypeStruct((7, 7, x.shape[-1], 1), jnp.float32)
    return lambda kernel, x: ops.conv(x, kernel, padding=3), (kernel,)


def _of_module(make_module: Callable[[], nn.Module], *xs: Any) -> tuple[Callable, tuple[Any]]:
    module = make_module()
    init = partial(module.init, train=False)
    variables = jax.eval_shape(init, jax.random.key(0), *xs)

    def apply(variables, *xs):
        return module.apply(variables, *xs, train=True, mutable=["batch_stats"])

    return apply, (variables,)


def _small(factor: int) -> tuple[int, int, int]:
    return ROWS // factor, COLUMNS // factor, WIDTH // 2


def _pool(factor: int) -> Callable:
    return lambda x: ops.adaptive_avg_pool(x, size=_small(factor)[:2])


BRANCHES = [(ROWS >> n, COLUMNS >> n, width) for n, width in enumerate(lite_hrnet.WIDE[:2])]
# Of Lightweight HRNet, r = -2, for an image of 448x448: the backbone's maps, and the branches.
EXCHANGED = [(112 >> n, 112 >> n, width) for n, width in enumerate((24, 32, 96, 264))]
EXCHANGED_TO = (21, 42, 83, 166)
# part: function, shapes of images
PARTS: dict[str, tuple[Callable, list[tuple[int, int, int]]]] = {
    "pool_2": (_pool(2), [HALF]),
    "pool_8": (_pool(8), [HALF]),
    "enlarge_2": (_enlarged, [HALF, _small(2)]),
    "enlarge_8": (_enlarged, [HALF, _small(8)]),
    "halves": (_halves, [(ROWS, COLUMNS, WIDTH)]),
    "spatial_conv": (_spatial_conv, [(ROWS, COLUMNS, 2)]),
    "lite_blocks": (partial(_of_module, partial(Blocks, csw=False)), BRANCHES),
    "csw_blocks": (partial(_of_module, partial(Blocks, csw=True)), BRANCHES),
    "basic_block": (partial(_of_module, partial(resnet.BasicBlock, 32, CONV)), [(64, 48, 32)]),
    "double": (lambda x: 2 * x, [HWL_LAST]),
    "multiply_add": (lambda x, y: x * y + x, [HWL_LAST, HWL_LAST]),
    "global_avg_pool": (ops.global_avg_pool, [HWL_LAST]),
    "deconvolution": (partial(_of_module, _deconvolution), [(32, 24, 256)]),
    "light_residuals": (partial(_of_module, LightResiduals), [(224, 224, 33)]),
    "channel_exchange": (partial(_of_module, ChannelExchange), EXCHANGED),
}
_WITH_WEIGHTS = (
    "spatial_conv lite_blocks csw_blocks basic_block deconvolution light_residuals channel_exchange"
).split()
_COLUMNS = ("cycles, us", "HBM, us", "HBM, MB", "temp., MiB", "compiled, s")
HEAD = f"{'':16}" + "".join(f"{column:>12}" for column in _COLUMNS)


def row(target: Target, part: str, batch: int) -> str:
    """A line of the table."""
    assert target.chip is not None
    function, shapes = PARTS[part]
    images = [jax.ShapeDtypeStruct((batch, *shape), jnp.bfloat16) for shape in shapes]
    weights: tuple = ()
    if part in _WITH_WEIGHTS:
        function, weights = function(*images)
    arguments = (*weights, *images)
    result = jax.eval_shape(function, *arguments)

    def both_passes(arguments, cotangent):
        y, backward = jax.vjp(function, *arguments)
        return y, backward(cotangent)

    compiled = compile_single(target, both_passes, (arguments, result), (FREE, FREE), FREE)
    if compiled.error:
        return f"{part:16} does not fit"
    total = total_cost(compiled)
    microseconds = (
        total.cycles / target.chip.clock * 1e6,
        (total.hbm_bytes / target.chip.bandwidth * 1e6),
    )
    return (
        f"{part:16}{microseconds[0]:12,.1f}{microseconds[1]:12,.1f}{total.hbm_bytes / 1e6:12,.1f}"
        f"{compiled.memory['temporaries'] / 2**20:12,.0f}{compiled.seconds:12.1f}"
    )


def main() -> None:
    """Prints a table of the parts and one of the operators, as far as any are given."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "parts",
        nargs="*",
        metavar="PART|OPERATOR",
        help=f"{', '.join(PARTS)}, or NAME:BxHxWxC:KERNEL:STRIDE of a depthwise convolution "
        "(default: all, and the operators of docs/plan.md)",
    )
    parser.add_argument("--topology", default="v5e:1x1", help="TPU slice; its first chip counts")
    parser.add_argument("--batch", type=int, default=128, help="images on the chip, of parts")
    parser.add_argument(
        "--implementation", choices=("auto", "lax"), default="auto", help="of parts"
    )
    args = parser.parse_args()
    given = args.parts or [*PARTS, *operators.OPERATORS]
    parts = [name for name in given if name in PARTS]
    convolutions = [name for name in given if operators.WRITTEN.fullmatch(name)]
    if unknown := [name for name in given if name not in (*parts, *convolutions)]:
        choice = f"choose from {', '.join(PARTS)}, or write {operators.OPERATORS[0]}"
        parser.error(f"{unknown[0]}: {choice}")
    target = find_target(args.topology)
    if target.chip is None:
        parser.error(f"--topology={args.topology}: not a TPU slice")
    if parts:
        print(HEAD)
    with ops.implementation(args.implementation):
        for part in parts:
            print(row(target, part, args.batch), flush=True)
    if convolutions:
        print(operators.HEAD)
    for operator in convolutions:
        print(operators.row(target, operator), flush=True)


if __name__ == "__main__":
    main()
