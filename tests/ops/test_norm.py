"""Batch normalization against the formula, PyTorch, and itself when sharded."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpose import ops

SHAPE = (3, 5, 4, 6)


def _arguments(dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(1), 3)
    x = (jax.random.normal(keys[0], SHAPE) * 2 + 3).astype(dtype)
    return x, jax.random.normal(keys[1], SHAPE[-1:]) + 1, jax.random.normal(keys[2], SHAPE[-1:])


def _formula(x, scale, bias, eps=1e-5):
    mean = jnp.mean(x, (0, 1, 2))
    var = jnp.mean(jnp.square(x - mean), (0, 1, 2))
    return (x - mean) / jnp.sqrt(var + eps) * scale + bias, mean, var


def _loss(function):
    """A scalar that depends on y, mean and var, so that all three gradients are exercised."""

    def loss(*args):
        y, mean, var = function(*args)
        y = y.astype(jnp.float32)
        weights = jnp.cos(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape)
        return jnp.sum(y * weights) + jnp.sum(jnp.sin(mean) * 3 + jnp.square(var))

    return loss


@pytest.mark.slow
@pytest.mark.parametrize("implementation", ops.IMPLEMENTATIONS)
def test_training_form_has_value_and_gradient_of_the_formula(implementation):
    args = _arguments()
    with ops.implementation(implementation):
        actual = ops.batch_norm_train(*args)
        gradients = jax.jit(jax.grad(_loss(ops.batch_norm_train), (0, 1, 2)))(*args)
    for a, e in zip(actual, _formula(*args), strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-5, atol=1e-5)
    for a, e in zip(gradients, jax.grad(_loss(_formula), (0, 1, 2))(*args), strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("implementation", ["fast", "lax"])
def test_statistics_keep_their_digits_far_from_zero(implementation):
    noise = jax.random.normal(jax.random.key(0), (8, 16, 16, 4))
    with ops.implementation(implementation):
        _, mean, var = ops.batch_norm_train(noise + 1000.0, jnp.ones(4), jnp.zeros(4))
    np.testing.assert_allclose(mean, jnp.mean(noise, (0, 1, 2)) + 1000, rtol=1e-6)
    np.testing.assert_allclose(var, jnp.var(noise, (0, 1, 2)), rtol=1e-3)


@pytest.mark.slow
def test_bfloat16_uses_float32_statistics():
    x, scale, bias = _arguments(jnp.bfloat16)
    y, mean, var = ops.batch_norm_train(x, scale, bias)
    assert (y.dtype, mean.dtype, var.dtype) == (jnp.bfloat16, jnp.float32, jnp.float32)
    exact = _formula(x.astype(jnp.float32), scale, bias)
    np.testing.assert_allclose(mean, exact[1], rtol=1e-5)
    np.testing.assert_allclose(var, exact[2], rtol=1e-5)
    np.testing.assert_allclose(y.astype(jnp.float32), exact[0], rtol=1e-2, atol=1e-2)
    gradient = jax.grad(_loss(ops.batch_norm_train))(x, scale, bias)
    expected = jax.grad(_loss(_formula))(x.astype(jnp.float32), scale, bias)
    assert gradient.dtype == jnp.bfloat16
    np.testing.assert_allclose(gradient.astype(jnp.float32), expected, rtol=3e-2, atol=3e-2)


def test_inference_form():
    x, scale, bias = _arguments()
    mean, var = jnp.arange(6.0), jnp.arange(6.0) + 0.5
    expected = (x - mean) / jnp.sqrt(var + 1e-3) * scale + bias
    actual = ops.batch_norm(x, scale, bias, mean, var, eps=1e-3)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)
    assert ops.batch_norm(x.astype(jnp.bfloat16), scale, bias, mean, var).dtype == jnp.bfloat16


def test_agrees_with_pytorch():
    torch = pytest.importorskip("torch")
    x, scale, bias = (np.asarray(a) for a in _arguments())
    image = torch.tensor(x).permute(0, 3, 1, 2).requires_grad_()
    weight, offset = torch.tensor(scale).requires_grad_(), torch.tensor(bias).requires_grad_()
    y = torch.nn.functional.batch_norm(image, None, None, weight, offset, training=True)
    torch.sum(torch.sin(y)).backward()

    def loss(*args):
        return jnp.sum(jnp.sin(ops.batch_norm_train(*args)[0]))

    gradients = jax.grad(loss, (0, 1, 2))(x, scale, bias)
    expected = image.grad.permute(0, 2, 3, 1), weight.grad, offset.grad
    for a, e in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(a, e.numpy(), rtol=1e-4, atol=1e-4)


SHARDED = """
    import numpy as np, jax, jax.numpy as jnp
    from jax.sharding import Mesh, PartitionSpec as P
    from jaxpose import ops

    keys = jax.random.split(jax.random.key(0), 4)
    x = jax.random.normal(keys[0], (16, 4, 3, 5)) * jnp.arange(1, 17)[:, None, None, None] + 2
    kernel = jax.random.normal(keys[1], (3, 3, 1, 5))
    scale, bias = jax.random.normal(keys[2], (5,)), jax.random.normal(keys[3], (5,))
    weights = jnp.cos(jnp.arange(x.size, dtype=jnp.float32)).reshape(x.shape)
    parameters = (kernel, scale, bias)

    def loss(parameters, x, weights, axis_name=None):
        kernel, scale, bias = parameters
        h = ops.depthwise_conv(x, kernel, padding=1)
        y, mean, var = ops.batch_norm_train(h, scale, bias, axis_name=axis_name)
        statistics = jnp.sum(jnp.sin(mean) * 3 + jnp.sqrt(var))
        total = jnp.sum(y * weights)
        if axis_name is not None:
            total = jax.lax.psum(total, axis_name)
        return total + statistics, (y, mean, var)

    def close(actual, expected):
        for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, e, rtol=1e-4, atol=1e-4 * np.abs(e).max())

    mesh = Mesh(np.array(jax.devices()), ("data",))
    assert mesh.size == 8
    with ops.implementation(IMPLEMENTATION):
        whole = jax.value_and_grad(loss, (0, 1), has_aux=True)(parameters, x, weights)

        # Checked: JAX knows what is replicated and sums the gradients of parameters by itself.
        def step(parameters, x, weights):
            return jax.value_and_grad(loss, (0, 1), has_aux=True)(parameters, x, weights, "data")

        shard, every = P("data"), P()
        outputs = ((every, (shard, every, every)), (every, shard))
        inputs = (every, shard, shard)
        close(jax.jit(jax.shard_map(
            step, mesh=mesh, in_specs=inputs, out_specs=outputs))(parameters, x, weights), whole)

        # Unchecked: a device holds its share of the loss; gradients of parameters are summed.
        def local(parameters, x, weights):
            def share(parameters, x):
                value, aux = loss(parameters, x, weights, "data")
                return value / 8, aux
            (value, aux), (dp, dx) = jax.value_and_grad(share, (0, 1), has_aux=True)(parameters, x)
            return (jax.lax.psum(value, "data"), aux), (jax.lax.psum(dp, "data"), dx)

        close(jax.jit(jax.shard_map(
            local, mesh=mesh, in_specs=inputs, out_specs=outputs, check_vma=False,
        ))(parameters, x, weights), whole)

        # Far from zero, and from one another by as much as the values of a device.
        far = jax.random.normal(keys[0], x.shape) + jnp.arange(1000, 1016)[:, None, None, None]
        moments = jax.jit(jax.shard_map(
            lambda x: ops.batch_norm_train(x, scale, bias, axis_name="data")[1:],
            mesh=mesh, in_specs=shard, out_specs=every))(far)
        exact = np.asarray(far, np.float64)
        np.testing.assert_allclose(moments[0], exact.mean((0, 1, 2)), rtol=1e-6)
        np.testing.assert_allclose(moments[1], exact.var((0, 1, 2)), rtol=1e-4)
    print("equal")
"""


@pytest.mark.slow
@pytest.mark.parametrize("implementation", ["auto", "lax"])
def test_statistics_shared_by_eight_devices_equal_the_unsharded_ones(implementation):
    program = textwrap.dedent(SHARDED).replace("IMPLEMENTATION", repr(implementation))
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=8",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert result.stdout == "equal\n", result.stderr[-3000:]
