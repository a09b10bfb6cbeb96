"""Batch normalization, for inference and for training."""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from jaxpose.ops.named import call, same_mesh_axes, select


def batch_norm(
    x: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    mean: jax.Array,
    var: jax.Array,
    *,
    eps: float = 1e-5,
) -> jax.Array:
    """Batch normalization with given statistics: (x - mean) / sqrt(var + eps) * scale + bias.

    Args:
      x: [..., C].
      scale, bias, mean, var: [C] float32.
      eps: added to the variance.

    Returns:
      The shape and dtype of ``x``. PyTorch: ``F.batch_norm(x, mean, var, scale, bias, eps=eps)``.
    """
    return call(_batch_norm, x, scale, bias, mean, var, eps=eps)


def batch_norm_train(
    x: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    shift: jax.Array | None = None,
    *,
    eps: float = 1e-5,
    axis_name: str | None = None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Batch normalization with the statistics of the batch, in float32.

    Args:
      x: [..., C], float32 or bfloat16.
      scale, bias: [C] float32.
      shift: [C] float32, a value near the mean such as the running mean; None for zeros. The result
        does not depend on it but for rounding, and only a TPU reads it.
      eps: added to the variance.
      axis_name: mesh axis over which the statistics are shared (inside ``jax.shard_map``); None
        keeps them per device.

    Returns:
      (y like ``x``, mean [C], var [C]); ``var`` is biased (divided by the count n, not n - 1).
      PyTorch: ``F.batch_norm(x, None, None, scale, bias, training=True, eps=eps)``; with
      ``axis_name`` SyncBatchNorm.
    """
    shift = jnp.zeros(x.shape[-1:]) if shift is None else lax.stop_gradient(shift)
    return call(_batch_norm_train, x, scale, bias, shift, eps=eps, axis_name=axis_name)


def _batch_norm(x, scale, bias, mean, var, *, impl, eps):
    factor = scale * lax.rsqrt(var + eps)
    return (x.astype(jnp.float32) * factor + (bias - mean * factor)).astype(x.dtype)


def _batch_norm_train(x, scale, bias, shift, *, impl, eps, axis_name):
    mean, var = own = _moments(x, shift, impl)
    if axis_name is not None:
        shared = _over_devices(jnp.stack(own), axis_name)
        mean, var = shared
        own = same_mesh_axes((x, shared))[1]  # one array, so that its gradients are added at once
    return _normalize(same_mesh_axes((x, *own, scale, bias)), eps), mean, var


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _over_devices(moments, axis_name):
    """Mean and biased variance over all devices of an axis from those of each, [2, C].

    By the law of total variance; the difference of large squares would lose digits. The devices
    exchange data twice, and in the backward pass once.
    """
    mean = lax.pmean(moments[0], axis_name)
    return jnp.stack([mean, lax.pmean(moments[1] + jnp.square(moments[0] - mean), axis_name)])


@_over_devices.defjvp
def _over_devices_jvp(axis_name, primals, tangents):
    (own,), (tangent,) = primals, tangents
    shared = _over_devices(own, axis_name)
    # The variance does not change with the shared mean: the distances from it add up to zero.
    of_var = tangent[1] + 2 * (own[0] - shared[0]) * tangent[0]
    return shared, lax.pmean(jnp.stack([tangent[0], of_var]), axis_name)


def _sums(x: jax.Array) -> jax.Array:
    return jnp.sum(x, axis=tuple(range(x.ndim - 1)))


def _one_pass(x, shift):
    """Reads x once for both sums, which suits accelerators.

    x is shifted by a value near its mean, so that a mean far from zero costs no digits.
    """
    shifted = x.astype(jnp.float32) - shift
    count = x.size // x.shape[-1]
    first, second = _sums(shifted) / count, _sums(jnp.square(shifted)) / count
    return first + shift, jnp.maximum(second - jnp.square(first), 0.0)


def _from_first_pixel(x, shift):
    """`_one_pass` with a shift that is near the mean of any x."""
    return _one_pass(x, lax.stop_gradient(x[(0,) * (x.ndim - 1)]).astype(jnp.float32))


def _two_passes(x, shift):
    """Reads x twice: XLA's CPU backend would write the shifted copy of x to memory."""
    x = x.astype(jnp.float32)
    count = x.size // x.shape[-1]
    mean = _sums(x) / count
    return mean, _sums(jnp.square(x - mean)) / count


def _moments(x, shift, impl):
    """Mean and biased variance of x over all axes but the last, [C] float32."""
    # The TPU compiler takes both sums in the convolution that makes x, but not where they need a
    # pixel of x first. float32 keeps that pixel: the given shift may be far from the mean.
    tpu = _one_pass if x.dtype == jnp.bfloat16 else None

    @jax.custom_vjp
    def op(x, shift):
        return select(impl, _two_passes, _from_first_pixel, x, shift, tpu=tpu)

    def forward(x, shift):
        mean, var = op(x, shift)
        return (mean, var), (x, mean)

    def backward(residuals, g):
        x, mean = residuals
        d_mean, d_var = g
        count = x.size // x.shape[-1]
        slope = d_var * (2.0 / count)
        dx = x.astype(jnp.float32) * slope + (d_mean / count - mean * slope)
        return dx.astype(x.dtype), jnp.zeros_like(mean)

    op.defvjp(forward, backward)
    return op(x, shift)


def _normalize(arrays, eps):
    """(x - mean) / sqrt(var + eps) * scale + bias; ``arrays`` are x, mean, var, scale, bias.

    The gradient needs two sums and keeps only x.
    """

    @jax.custom_vjp
    def op(x, mean, var, scale, bias):
        factor = scale * lax.rsqrt(var + eps)
        return (x.astype(jnp.float32) * factor + (bias - mean * factor)).astype(x.dtype)

    def forward(x, mean, var, scale, bias):
        return op(x, mean, var, scale, bias), (x, mean, var, scale)

    def backward(residuals, g):
        x, mean, var, scale = residuals
        rstd = lax.rsqrt(var + eps)
        g32 = g.astype(jnp.float32)
        total = _sums(g32)
        moment = _sums(g32 * (x.astype(jnp.float32) - mean))
        d_scale = moment * rstd
        d_var = -0.5 * moment * scale * rstd**3
        d_mean = -total * scale * rstd
        return (g32 * (scale * rstd)).astype(x.dtype), d_mean, d_var, d_scale, total

    op.defvjp(forward, backward)
    return op(*arrays)
