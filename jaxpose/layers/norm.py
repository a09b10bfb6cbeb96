"""Batch normalization with PyTorch's running statistics."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxpose import ops

# Collection that marks the batch norms with frozen statistics. For each of them it has an entry
# "mean" at the same place as "batch_stats"; the value is not used.
FROZEN = "frozen"


class BatchNorm(nn.Module):
    """Batch normalization over every axis but the last; the output keeps the input's dtype.

    As in PyTorch, activations are normalized with the biased batch variance, while the running
    variance is updated with the unbiased one. Running statistics are float32 in `batch_stats`.

    With an entry in the collection `FROZEN` it uses its running statistics in training too, like
    PyTorch's layer in eval mode.

    Attributes:
      eps: added to the variance.
      momentum: share of the old running value that is kept (PyTorch's momentum is 1 - this).
      axis_name: mesh axis whose devices share their statistics; None keeps them per device.
    """

    eps: float = 1e-5
    momentum: float = 0.9
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        channels = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (channels,), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (channels,), jnp.float32)
        mean = self.variable("batch_stats", "mean", jnp.zeros, (channels,), jnp.float32)
        var = self.variable("batch_stats", "var", jnp.ones, (channels,), jnp.float32)
        # Initialization may run outside the mesh, where `axis_name` does not exist.
        if not train or self.is_initializing() or self.has_variable(FROZEN, "mean"):
            return ops.batch_norm(x, scale, bias, mean.value, var.value, eps=self.eps)
        y, batch_mean, batch_var = ops.batch_norm_train(
            x, scale, bias, mean.value, eps=self.eps, axis_name=self.axis_name
        )
        count = x.size // channels
        if self.axis_name is not None:
            count *= jax.lax.axis_size(self.axis_name)
        unbiased = batch_var * (count / max(count - 1, 1))
        mean.value = self.momentum * mean.value + (1 - self.momentum) * batch_mean
        var.value = self.momentum * var.value + (1 - self.momentum) * unbiased
        return y
