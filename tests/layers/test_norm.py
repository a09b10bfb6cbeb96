"""Outputs and running statistics of batch norm against PyTorch's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpose.layers import BatchNorm


def data(*shape):
    return np.random.default_rng(0).normal(1.0, 2.0, shape).astype(np.float32)


def start(x, **fields):
    layer = BatchNorm(**fields)
    return layer, layer.init(jax.random.key(0), x, train=True)


def test_training_equals_torch_for_two_steps():
    torch = pytest.importorskip("torch")
    theirs = torch.nn.BatchNorm2d(5)
    layer, variables = start(data(2, 3, 4, 5))
    for step in range(2):
        x = data(2, 3, 4, 5) * (step + 1)
        y, changes = layer.apply(variables, x, train=True, mutable=["batch_stats"])
        variables = variables | changes
        expected = theirs(torch.tensor(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        np.testing.assert_allclose(y, expected.detach().numpy(), atol=1e-5)
    stats = variables["batch_stats"]
    np.testing.assert_allclose(stats["mean"], theirs.running_mean, rtol=1e-5)
    np.testing.assert_allclose(stats["var"], theirs.running_var, rtol=1e-5)
    x = data(1, 2, 2, 5)
    expected = theirs.eval()(torch.tensor(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    np.testing.assert_allclose(
        layer.apply(variables, x, train=False), expected.detach().numpy(), atol=1e-5
    )


def test_running_variance_is_unbiased_and_initialization_updates_no_statistics():
    x = data(2, 1, 2, 3)
    layer, variables = start(x)
    np.testing.assert_array_equal(variables["batch_stats"]["mean"], 0)
    np.testing.assert_array_equal(variables["batch_stats"]["var"], 1)
    _, changes = layer.apply(variables, x, train=True, mutable=["batch_stats"])
    unbiased = x.reshape(-1, 3).var(axis=0, ddof=1)
    np.testing.assert_allclose(changes["batch_stats"]["var"], 0.9 + 0.1 * unbiased, rtol=1e-5)


def test_an_axis_name_shares_the_statistics():
    x = data(4, 2, 3, 3, 5)
    layer, variables = start(x[0])
    shared = BatchNorm(axis_name="data")

    def step(part):
        return shared.apply(variables, part, train=True, mutable=["batch_stats"])

    y, changes = jax.vmap(step, axis_name="data")(x)
    whole, expected = layer.apply(
        variables, x.reshape(8, 3, 3, 5), train=True, mutable=["batch_stats"]
    )
    np.testing.assert_allclose(y.reshape(8, 3, 3, 5), whole, atol=1e-5)
    for name in ("mean", "var"):
        for device in changes["batch_stats"][name]:
            np.testing.assert_allclose(device, expected["batch_stats"][name], rtol=1e-5)


def test_bfloat16_keeps_statistics_in_float32():
    x = jnp.asarray(data(2, 4, 4, 3), jnp.bfloat16)
    layer, variables = start(x)
    y, changes = layer.apply(variables, x, train=True, mutable=["batch_stats"])
    assert y.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves((variables, changes))} == {jnp.dtype("float32")}


def test_one_value_per_channel_stays_finite():
    layer, variables = start(data(1, 1, 1, 3))
    _, changes = layer.apply(variables, data(1, 1, 1, 3), train=True, mutable=["batch_stats"])
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(changes))
