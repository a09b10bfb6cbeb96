"""Convolutions of few channels for TPU, run on CPU, against the native ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpose import ops
from jaxpose.ops import bands


def _loss(op):
    def loss(x, w):
        y = op(x, w).astype(jnp.float32)
        return jnp.sum(y * jnp.cos(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape)), y

    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))


@pytest.mark.parametrize("kernel", [(7, 7, 2, 1), (3, 5, 1, 1)])
@pytest.mark.parametrize("dtype,tolerance", [(jnp.float32, 1e-5), (jnp.bfloat16, 2e-2)])
def test_value_and_gradients_are_those_of_the_native_convolution(kernel, dtype, tolerance):
    x = jax.random.normal(jax.random.key(0), (2, 9, 6, kernel[2])).astype(dtype)
    w = jax.random.normal(jax.random.key(1), kernel)

    def native(x, w):
        with ops.implementation("lax"):
            return ops.conv(x, w, padding=(kernel[0] // 2, kernel[1] // 2))

    results, expected = _loss(bands.conv)(x, w), _loss(native)(x, w)
    for a, e in zip(jax.tree.leaves(results), jax.tree.leaves(expected), strict=True):
        a, e = (np.asarray(each, np.float32) for each in (a, e))
        np.testing.assert_allclose(a, e, atol=tolerance * np.abs(e).max())


def test_spatial_maps_on_tpu_have_the_columns_as_channels():
    x, w = jnp.zeros((1, 16, 12, 2)), jnp.zeros((7, 7, 2, 1))

    def kernels(platform, **options):
        def loss(x, w):
            return jnp.sum(ops.conv(x, w, **options))

        lowered = jax.jit(jax.grad(loss, (0, 1))).trace(x, w).lower(lowering_platforms=(platform,))
        return lowered.as_text().count("tensor<7x1x12x12xf32>")

    assert kernels("tpu", padding=3) > 0
    assert kernels("cpu", padding=3) == 0
    assert kernels("tpu", padding=3, stride=2) == 0
    assert kernels("tpu", padding=2) == 0
