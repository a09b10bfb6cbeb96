"""Initializers that match PyTorch's, for HWIO kernels."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import jax
import numpy as np

Initializer = Callable[..., jax.Array]


def variance_scaling(scale: float, mode: str, distribution: str) -> Initializer:
    """N(0, scale / fan) or U(+-sqrt(3 scale / fan)).

    Draws the same numbers as `jax.nn.initializers.variance_scaling`, to a relative 1e-6: the factor
    is rounded once here, while JAX computes it in float32.

    Args:
      scale: factor of the variance, not of the standard deviation.
      mode: "fan_in" or "fan_out": fan = kh * kw * input or output channels.
      distribution: "normal" or "uniform".
    """

    def initialize(key, shape, dtype=np.float32):
        *receptive, inputs, outputs = shape
        fan = math.prod(receptive) * (inputs if mode == "fan_in" else outputs)
        if distribution == "normal":
            return _normal(key, shape, dtype, math.sqrt(scale / fan))
        return _uniform(key, shape, dtype, math.sqrt(3 * scale / fan))

    return initialize


def normal(stddev: float) -> Initializer:
    """N(0, stddev^2)."""
    return lambda key, shape, dtype=np.float32: _normal(key, shape, dtype, stddev)


def uniform(bound: float) -> Initializer:
    """U(-bound, bound)."""
    return lambda key, shape, dtype=np.float32: _uniform(key, shape, dtype, bound)


def _normal(key, shape, dtype, stddev):
    return _scaled(jax.random.normal(key, _draw_shape(shape), dtype), shape, np.float32(stddev))


def _uniform(key, shape, dtype, bound):
    numbers = jax.random.uniform(key, _draw_shape(shape), dtype, -1)
    return _scaled(numbers, shape, np.float32(bound))


def _draw_shape(shape: tuple[int, ...]) -> tuple[int]:
    """How many numbers to draw: the next power of two, and at least 2^15.

    A generator takes long to compile; few sizes mean few generators. A longer draw starts with the
    numbers of a shorter one, and drawing 2^15 numbers takes a millisecond.
    """
    return (1 << max(15, (math.prod(shape) - 1).bit_length()),)


@partial(jax.jit, static_argnums=1)
def _scaled(numbers, shape, factor):
    return numbers[: math.prod(shape)].reshape(shape) * factor.astype(numbers.dtype)


# N(0, 2 / (kh * kw * Cout)): torch.nn.init.kaiming_normal_(mode="fan_out"). As there, a depthwise
# layer counts all its output channels.
kaiming_fan_out = variance_scaling(2.0, "fan_out", "normal")

# N(0, 0.001): SimpleBaseline's transposed convolutions and final layers.
normal_small = normal(0.001)

# U(-1/sqrt(fan_in), 1/sqrt(fan_in)): the default of torch.nn.Conv2d.
torch_default = variance_scaling(1 / 3, "fan_in", "uniform")

# The default of torch.nn.ConvTranspose2d, whose fan counts the output channels: k * k * Cout for a
# dense kernel. A depthwise kernel has one filter per channel, so its fan is k * k either way: use
# `torch_default`.
torch_default_transposed = variance_scaling(1 / 3, "fan_out", "uniform")


def torch_default_bias(fan_in: int) -> Initializer:
    """The default bias of torch.nn.Conv2d: U(+-1/sqrt(fan_in))."""
    return uniform(1 / math.sqrt(fan_in))


def kaiming_transposed(stride: int) -> Initializer:
    """N(0, 2 / terms) for a transposed convolution: each output sums k*k/stride^2 * Cin terms.

    Keeps the variance through the ReLU that follows (He et al. 2015), which N(0, 0.001) does not.
    """
    return variance_scaling(2.0 * stride**2, "fan_in", "normal")
