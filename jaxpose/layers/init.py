"""Initialisers, in the terms of PyTorch's, for HWIO kernels."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
from flax.linen import initializers

# N(0, 2 / (kh * kw * Cout)): torch.nn.init.kaiming_normal_(mode="fan_out"). A depthwise layer
# counts all its output channels, as there.
kaiming_fan_out = initializers.variance_scaling(2.0, "fan_out", "normal")

# N(0, 0.001): SimpleBaseline's transposed convolutions and final layers.
normal_small = initializers.normal(0.001)

# U(-1/sqrt(fan_in), 1/sqrt(fan_in)): what torch.nn.Conv2d does when nobody chooses.
torch_default = initializers.variance_scaling(1 / 3, "fan_in", "uniform")

# The same of torch.nn.ConvTranspose2d, which takes its output side for the fan: k * k * Cout for a
# dense kernel. A depthwise one has one filter a channel, k * k either way: `torch_default`.
torch_default_transposed = initializers.variance_scaling(1 / 3, "fan_out", "uniform")


def torch_default_bias(fan_in: int) -> Callable[..., jax.Array]:
    """The bias of torch.nn.Conv2d when nobody chooses: U(+-1/sqrt(fan_in))."""
    bound = 1 / math.sqrt(fan_in)

    def uniform(key, shape, dtype):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return uniform


def kaiming_transposed(stride: int) -> Callable[..., jax.Array]:
    """N(0, 2 / terms) for a transposed convolution: an output sums k*k/stride^2 * Cin terms.

    Keeps the variance through the ReLU that follows (He et al. 2015), which N(0, 0.001) does not.
    """
    return initializers.variance_scaling(2.0 * stride**2, "fan_in", "normal")
