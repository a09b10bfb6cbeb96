"""Blocks in a row: the scan of training against the loop that it stands for."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpose.layers import BatchNorm, Conv, repeat


class Block(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        return x + jnp.tanh(BatchNorm()(Conv(x.shape[-1])(x), train))


class Net(nn.Module):
    names: tuple[str, ...]

    @nn.compact
    def __call__(self, x, train=False):
        x = Conv(4, name="first")(x)
        return repeat(self, Block(parent=None), self.names, x, train)


class Loop(nn.Module):
    """What `Net` means."""

    names: tuple[str, ...]

    @nn.compact
    def __call__(self, x, train=False):
        x = Conv(4, name="first")(x)
        for name in self.names:
            x = Block(name=name)(x, train)
        return x


@pytest.mark.parametrize("names", [(), ("block_1",), ("block_1", "block_2", "other")])
def test_variables_outputs_statistics_and_gradients_are_those_of_the_loop(names):
    x = jax.random.normal(jax.random.key(1), (2, 5, 6, 3))
    variables = Net(names).init(jax.random.key(0), x)
    expected = Loop(names).init(jax.random.key(0), x)
    jax.tree.map(np.testing.assert_array_equal, variables, expected)

    def loss(params, net):
        y, updated = net.apply({**variables, "params": params}, x, True, mutable=["batch_stats"])
        return jnp.sum(jnp.sin(y)), (y, updated)

    found, expected = (
        jax.jit(jax.value_and_grad(loss, has_aux=True), static_argnums=1)(variables["params"], net)
        for net in (Net(names), Loop(names))
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), found, expected
    )
    jax.tree.map(
        np.testing.assert_array_equal,
        Net(names).apply(variables, x),
        Loop(names).apply(variables, x),
    )


def convolutions(jaxpr):
    """How many stand in a jaxpr and in those inside it."""
    count = 0
    for eqn in jaxpr.eqns:
        inner = [p.jaxpr for p in eqn.params.values() if hasattr(p, "jaxpr")]
        name = eqn.params.get("name", "")
        count += 1 if name.startswith("op:conv|") else sum(map(convolutions, inner))
    return count


def test_training_compiles_one_block_however_many_there_are():
    x = jnp.zeros((1, 4, 4, 3))

    def compiled(count, train):
        net = Net(tuple(f"block_{n}" for n in range(count)))
        variables = net.init(jax.random.key(0), x)
        apply = jax.make_jaxpr(lambda v: net.apply(v, x, train, mutable=["batch_stats"]))
        return convolutions(apply(variables).jaxpr)

    assert compiled(9, train=True) == compiled(3, train=True) == 2
    assert compiled(9, train=False) == 10
