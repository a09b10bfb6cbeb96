"""Convolutions on the named operators: NHWC, explicit symmetric padding, float32 parameters.

And linear layers over the last axis.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxpose import ops
from jaxpose.layers import init

ModuleDef = Callable[..., nn.Module]
Layers = dict[str, Any]  # constructors by keyword, such as conv= and norm=, passed on with **
Initializer = Callable[..., jax.Array]
Size = int | tuple[int, ...]


class Conv(nn.Module):
    """2-D convolution: dense, grouped, or depthwise when groups = Cin = features.

    Attributes:
      features: output channels.
      kernel_size, stride: an int or (h, w).
      padding: zeros on each side, an int or (h, w); None means dilation * (kernel_size // 2), as in
        the papers' PyTorch code.
      dilation: distance between kernel taps; must be 1 for grouped convolutions.
    """

    features: int
    kernel_size: Size = 1
    stride: Size = 1
    padding: Size | None = None
    groups: int = 1
    dilation: int = 1
    use_bias: bool = False
    kernel_init: Initializer = init.kaiming_fan_out
    bias_init: Initializer = nn.initializers.zeros
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        channels = x.shape[-1]
        height, width = _pair(self.kernel_size)
        if channels % self.groups or self.features % self.groups:
            raise ValueError(
                f"{self.name}: groups={self.groups} must divide the input channels ({channels}) and"
                f" the output channels ({self.features})"
            )
        shape = (height, width, channels // self.groups, self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32).astype(self.dtype)
        padding = self.padding
        if padding is None:
            padding = (self.dilation * (height // 2), self.dilation * (width // 2))
        window = dict(stride=self.stride, padding=padding)
        x = x.astype(self.dtype)
        if self.groups == 1:
            x = ops.conv(x, kernel, dilation=self.dilation, **window)
        elif self.groups == channels == self.features:
            x = ops.depthwise_conv(x, kernel, dilation=self.dilation, **window)
        elif self.dilation != 1:
            raise ValueError(
                f"{self.name}: a grouped convolution supports dilation 1 only, got {self.dilation}"
            )
        else:
            x = ops.grouped_conv(x, kernel, groups=self.groups, **window)
        return _add_bias(self, x)


class ConvTranspose(nn.Module):
    """2-D transposed convolution, dense or depthwise, with the output size of PyTorch's layer.

    The kernel [k,k,Cin or 1,features] is stored in the orientation of the equivalent convolution
    over the zero-stuffed input: PyTorch's kernel flipped along both spatial axes. The parameter is
    named `transposed_kernel` so that a checkpoint shows which weights are stored that way.

    Attributes:
      depthwise: one filter per channel (features must equal the input channels).
      padding: PyTorch's `padding`; output = (input - 1) * stride - 2 * padding + kernel_size.
    """

    features: int
    kernel_size: int = 4
    stride: int = 2
    padding: int = 1
    depthwise: bool = False
    use_bias: bool = False
    kernel_init: Initializer = init.normal_small
    bias_init: Initializer = nn.initializers.zeros
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        channels, k = x.shape[-1], self.kernel_size
        if self.depthwise and channels != self.features:
            raise ValueError(
                f"{self.name}: a depthwise transposed convolution of {channels} channels needs"
                f" features={channels}, got {self.features}"
            )
        shape = (k, k, 1 if self.depthwise else channels, self.features)
        kernel = self.param("transposed_kernel", self.kernel_init, shape, jnp.float32)
        op = ops.depthwise_conv_transpose if self.depthwise else ops.conv_transpose
        x = op(
            x.astype(self.dtype),
            kernel.astype(self.dtype),
            stride=self.stride,
            padding=self.padding,
        )
        return _add_bias(self, x)


class Linear(nn.Module):
    """Matrix product over the last axis, without bias: [..., C] -> [..., features].

    Attributes:
      features: output width.
    """

    features: int
    kernel_init: Initializer = init.torch_default
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        return jnp.dot(x.astype(self.dtype), kernel.astype(self.dtype))


class ConvNormAct(nn.Module):
    """Convolution, then batch norm, then activation.

    Without `norm` the convolution has a bias instead; without `act` the result is linear.
    """

    features: int
    kernel_size: Size = 1
    stride: Size = 1
    groups: int = 1
    act: str | None = "relu"
    conv: ModuleDef = Conv
    norm: ModuleDef | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = self.conv(
            self.features,
            self.kernel_size,
            self.stride,
            groups=self.groups,
            use_bias=self.norm is None,
            name="conv",
        )(x)
        if self.norm is not None:
            x = self.norm(name="bn")(x, train)
        return x if self.act is None else ops.activation(x, kind=self.act)


class Deconv(nn.Module):
    """Transposed convolution, batch norm, ReLU: [B,h,w,C] -> [B,2h,2w,features]."""

    features: int
    deconv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = self.norm(name="bn")(self.deconv(self.features, name="deconv")(x), train)
        return ops.activation(x, kind="relu")


def _pair(size: Size) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    return height, width


def _add_bias(layer: Conv | ConvTranspose, x: jax.Array) -> jax.Array:
    if not layer.use_bias:
        return x
    bias = layer.param("bias", layer.bias_init, (layer.features,), jnp.float32)
    return x + bias.astype(x.dtype)
