"""RTMPose: real-time multi-person pose estimation based on MMPose (Jiang et al. 2023).

image [B,H,W,3] -> CSPNeXt (stride 32) -> 7x7 convolution, one map per keypoint -> each map is a
token -> gated attention unit between the tokens -> scores of every half pixel, along x and along y:
([B,K,2W], [B,K,2H]).

The keypoint's x is where its first row is largest, its y where its second row is (SimCC, Li et al.
2022). Widths of the linear layers depend on the input size, so the weights are of one size.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxpose import ops
from jaxpose.layers import BatchNorm, Conv, Linear, ModuleDef, check_images, init
from jaxpose.models.cspnext import CSPNeXt, Layout

STRIDE = 32  # pixels of the image per cell of a keypoint's map, along x and along y
BINS_PER_PIXEL = 2  # `jaxpose.codecs.simcc.SPLIT_RATIO`, which the widths of the outputs fix
HIDDEN = 256  # width of a token
EXPANDED = 512  # width of a token in the gated attention unit
SHARED = 128  # width of its queries and keys


def standard_uniform(key, shape, dtype=jnp.float32):
    """U(0, 1), the initial value of the affine maps to queries and keys."""
    return 0.5 + init.uniform(0.5)(key, shape, dtype)


class ScaleNorm(nn.Module):
    """g * x / max(RMS of x, 1e-5) along the last axis, with one gain g (Nguyen & Salazar 2019)."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        gain = self.param("gain", nn.initializers.ones, (1,), jnp.float32)
        y = x.astype(jnp.float32)
        # Scaled before the sum, which could be too large for an exported file in float16.
        mean_square = jnp.sum(jnp.square(y * x.shape[-1] ** -0.5), axis=-1, keepdims=True)
        # Bounded below the root: the gradient of the root is infinite at zero.
        return (gain * y / jnp.sqrt(jnp.maximum(mean_square, 1e-10))).astype(x.dtype)


class ResidualScale(nn.Module):
    """x times one factor per channel."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        factor = self.param("factor", nn.initializers.ones, (x.shape[-1],), jnp.float32)
        return x * factor.astype(x.dtype)


class GatedAttentionUnit(nn.Module):
    """Attention and gate in one layer (Hua et al. 2022), with its residual; [B,K,D] -> [B,K,D].

    Weights of the attention are squared ReLUs of the scaled products, without softmax.
    """

    linear: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shortcut = ResidualScale(name="res_scale")(x)
        x = ScaleNorm(name="ln")(x)
        x = ops.activation(self.linear(2 * EXPANDED + SHARED, name="uv")(x), kind="silu")
        gate, value, base = jnp.split(x, [EXPANDED, 2 * EXPANDED], axis=-1)
        gamma = self.param("gamma", standard_uniform, (2, SHARED), jnp.float32).astype(x.dtype)
        beta = self.param("beta", standard_uniform, (2, SHARED), jnp.float32).astype(x.dtype)
        query, key = (base * gamma[i] + beta[i] for i in (0, 1))
        similarity = jnp.einsum("bqs,bks->bqk", query, key) * SHARED**-0.5
        weights = jnp.square(ops.activation(similarity, kind="relu"))
        attended = jnp.einsum("bqk,bke->bqe", weights, value)
        return shortcut + self.linear(HIDDEN, name="o")(gate * attended)


class Head(nn.Module):
    """[B,h,w,C] -> scores along x [B,K,64w] and along y [B,K,64h]."""

    num_keypoints: int
    conv: ModuleDef
    linear: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        final = partial(self.conv, use_bias=True, kernel_init=init.normal_small)
        maps = final(self.num_keypoints, 7, name="final_layer")(x)
        batch, rows, columns, keypoints = maps.shape
        tokens = maps.transpose(0, 3, 1, 2).reshape(batch, keypoints, rows * columns)
        tokens = self.linear(HIDDEN, name="mlp_1")(ScaleNorm(name="mlp_0")(tokens))
        tokens = GatedAttentionUnit(self.linear, name="gau")(tokens)
        bins = BINS_PER_PIXEL * STRIDE
        return (
            self.linear(columns * bins, name="cls_x")(tokens),
            self.linear(rows * bins, name="cls_y")(tokens),
        )


class RTMPose(nn.Module):
    """[B,H,W,3] normalized images -> scores (x [B,K,2W], y [B,K,2H]), float32.

    The weights are those of the image size at initialization; another size is an error.

    Attributes:
      layout: size of the backbone.
      num_keypoints: K.
      dtype: of the arithmetic; parameters stay float32.
      bn_axis: mesh axis over which batch norm shares its statistics.
    """

    layout: Layout
    num_keypoints: int = 17
    dtype: Any = jnp.float32
    bn_axis: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> tuple[jax.Array, jax.Array]:
        check_images(x, STRIDE, "rtmpose")
        self._check_size(x.shape[1], x.shape[2])
        norm = partial(BatchNorm, axis_name=self.bn_axis)
        conv = partial(Conv, kernel_init=init.torch_default, dtype=self.dtype)
        linear = partial(Linear, kernel_init=init.normal(0.01), dtype=self.dtype)
        x = CSPNeXt(self.layout, conv, norm, name="backbone")(x.astype(self.dtype), train)
        along_x, along_y = Head(self.num_keypoints, conv, linear, name="head")(x)
        return along_x.astype(jnp.float32), along_y.astype(jnp.float32)

    def _check_size(self, height: int, width: int) -> None:
        """Raises ValueError unless existing weights are of this image size."""
        head = self.variables.get("params", {}).get("head")
        if head is None:
            return
        own = tuple(head[axis]["kernel"].shape[-1] // BINS_PER_PIXEL for axis in ("cls_y", "cls_x"))
        if own != (height, width):
            raise ValueError(
                f"rtmpose: images are {height}x{width} (HxW), but the weights are for "
                f"{own[0]}x{own[1]}; the layers of RTMPose's head depend on the input size"
            )
