"""Initialisers, in the terms of PyTorch's, for HWIO kernels."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import jax
import numpy as np

Initializer = Callable[..., jax.Array]


def variance_scaling(scale: float, mode: str, distribution: str) -> Initializer:
    """The numbers of `jax.nn.initializers.variance_scaling` for "normal" and "uniform".

    To a relative 1e-6: the factor is rounded once, where jax computes it in float32.
    N(0, scale / fan) or U(+-sqrt(3 scale / fan)), fan = kh * kw * channels in or out ("fan_in",
    "fan_out").
    """

    def initialise(key, shape, dtype=np.float32):
        *receptive, inputs, outputs = shape
        fan = math.prod(receptive) * (inputs if mode == "fan_in" else outputs)
        if distribution == "normal":
            return _normal(key, shape, dtype, math.sqrt(scale / fan))
        return _uniform(key, shape, dtype, math.sqrt(3 * scale / fan))

    return initialise


def normal(stddev: float) -> Initializer:
    """N(0, stddev^2)."""
    return lambda key, shape, dtype=np.float32: _normal(key, shape, dtype, stddev)


def uniform(bound: float) -> Initializer:
    """U(-bound, bound)."""
    return lambda key, shape, dtype=np.float32: _uniform(key, shape, dtype, bound)


def _normal(key, shape, dtype, stddev):
    return _placed(jax.random.normal(key, _enough(shape), dtype), shape, np.float32(stddev))


def _uniform(key, shape, dtype, bound):
    numbers = jax.random.uniform(key, _enough(shape), dtype, -1)
    return _placed(numbers, shape, np.float32(bound))


def _enough(shape: tuple[int, ...]) -> tuple[int]:
    """2^15 or the next power of two: a generator takes long to compile; so there are few of them.

    The first numbers of a longer draw are those of a shorter one, and 2^15 take a millisecond.
    """
    return (1 << max(15, (math.prod(shape) - 1).bit_length()),)


@partial(jax.jit, static_argnums=1)
def _placed(numbers, shape, factor):
    return numbers[: math.prod(shape)].reshape(shape) * factor.astype(numbers.dtype)


# N(0, 2 / (kh * kw * Cout)): torch.nn.init.kaiming_normal_(mode="fan_out"). A depthwise layer
# counts all its output channels, as there.
kaiming_fan_out = variance_scaling(2.0, "fan_out", "normal")

# N(0, 0.001): SimpleBaseline's transposed convolutions and final layers.
normal_small = normal(0.001)

# U(-1/sqrt(fan_in), 1/sqrt(fan_in)): what torch.nn.Conv2d does when nobody chooses.
torch_default = variance_scaling(1 / 3, "fan_in", "uniform")

# The same of torch.nn.ConvTranspose2d, which takes its output side for the fan: k * k * Cout for a
# dense kernel. A depthwise one has one filter a channel, k * k either way: `torch_default`.
torch_default_transposed = variance_scaling(1 / 3, "fan_out", "uniform")


def torch_default_bias(fan_in: int) -> Initializer:
    """The bias of torch.nn.Conv2d when nobody chooses: U(+-1/sqrt(fan_in))."""
    return uniform(1 / math.sqrt(fan_in))


def kaiming_transposed(stride: int) -> Initializer:
    """N(0, 2 / terms) for a transposed convolution: an output sums k*k/stride^2 * Cin terms.

    Keeps the variance through the ReLU that follows (He et al. 2015), which N(0, 0.001) does not.
    """
    return variance_scaling(2.0 * stride**2, "fan_in", "normal")
