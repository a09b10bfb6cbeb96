"""Repeated blocks: the scan of training on CPU against the loop elsewhere."""

import sys
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpose import jax_api
from jaxpose.layers import BatchNorm, Conv, rematerialized, repeat
from jaxpose.mesh import AXIS, EVERYWHERE


class Block(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        return x + jnp.tanh(BatchNorm()(Conv(x.shape[-1])(x), train))


def loop(parent, block, names, x, train):
    """The reference for `repeat`."""
    for name in names:
        x = block.clone(parent=parent, name=name)(x, train)
    return x


class Nested(nn.Module):
    """Two arrays, each through repeated blocks."""

    through: Callable

    @nn.compact
    def __call__(self, xs, train):
        xs = [
            self.through(self, Block(parent=None), [f"{i}_{n}" for n in range(2)], x, train)
            for i, x in enumerate(xs)
        ]
        return [xs[0] + jnp.mean(xs[1]), xs[1]]


class Net(nn.Module):
    through: Callable
    names: tuple[str, ...]

    @nn.compact
    def __call__(self, x, train=False):
        x = Conv(4, name="first")(x)
        x = self.through(self, Block(parent=None), self.names, x, train)
        nested = Nested(self.through, parent=None)
        return self.through(self, nested, [f"nested_{name}" for name in self.names], [x, -x], train)


@pytest.mark.slow
@pytest.mark.parametrize("names", [(), ("block_1",), ("block_1", "block_2", "other")])
def test_variables_outputs_statistics_and_gradients_are_those_of_the_loop(names):
    x = jax.random.normal(jax.random.key(1), (2, 5, 6, 3))
    variables = Net(repeat, names).init(jax.random.key(0), x)
    expected = Net(loop, names).init(jax.random.key(0), x)
    jax.tree.map(np.testing.assert_array_equal, variables, expected)

    def loss(params, net):
        y, updated = net.apply({**variables, "params": params}, x, True, mutable=["batch_stats"])
        return sum(jnp.sum(jnp.sin(each)) for each in y), (y, updated)

    results, expected = (
        jax.jit(jax.value_and_grad(loss, has_aux=True), static_argnums=1)(variables["params"], net)
        for net in (Net(repeat, names), Net(loop, names))
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), results, expected
    )
    results, expected = (Net(through, names).apply(variables, x) for through in (repeat, loop))
    jax.tree.map(np.testing.assert_array_equal, results, expected)


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["cpu", "tpu"])
def test_rematerialized_blocks_give_the_same_and_a_scan_of_them_keeps_less(platform, monkeypatch):
    """With the scan of CPUs and with the loop of other platforms."""
    monkeypatch.setattr(sys.modules["jaxpose.layers.repeat"], "_platform", lambda: platform)
    names = tuple(f"block_{n}" for n in range(6))
    x = jax.random.normal(jax.random.key(1), (2, 32, 32, 16))
    net = Net(repeat, names)
    variables = net.init(jax.random.key(0), x)

    def loss(params):
        y, updated = net.apply({**variables, "params": params}, x, True, mutable=["batch_stats"])
        return sum(jnp.sum(jnp.sin(each)) for each in y), updated

    results, memory = [], []
    for function in (loss, rematerialized(loss)):
        step = jax.jit(jax.value_and_grad(function, has_aux=True))
        step = step.lower(variables["params"]).compile()
        results.append(step(variables["params"]))
        memory.append(step.memory_analysis().temp_size_in_bytes)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3), *results)
    if platform == "cpu":  # its compiler drops the barriers between the computations of a loop
        assert memory[1] < 0.8 * memory[0]


def test_each_outer_block_is_computed_again_once(monkeypatch):
    monkeypatch.setattr(sys.modules["jaxpose.layers.repeat"], "_platform", lambda: "tpu")
    x = jax.ShapeDtypeStruct((1, 4, 4, 3), jnp.float32)

    def forward_convolutions(count, wrap):
        net = Net(repeat, tuple(f"block_{n}" for n in range(count)))
        variables = jax.eval_shape(net.init, jax.random.key(0), x)

        def loss(variables, x):
            y, _ = net.apply(variables, x, True, mutable=["batch_stats"])
            return sum(map(jnp.sum, y))

        return convolutions(jax.make_jaxpr(jax.grad(wrap(loss)))(variables, x))

    plain, again = (forward_convolutions(3, wrap) for wrap in (lambda f: f, rematerialized))
    assert again - plain == 3 + 3 * 4  # those of the blocks, and of the nested ones


def test_without_repeated_blocks_there_is_nothing_to_compute_again():
    with pytest.raises(ValueError, match="config.remat=True would change nothing: the network"):
        rematerialized(lambda x: x + 1)(1)


def convolutions(program):
    """Number of convolutions in a program and the programs inside it."""
    count = 0
    for eqn in jax_api.equations(program):
        inner = jax_api.inner_programs(eqn)
        name = eqn.params.get("name", "")
        count += 1 if name.startswith("op:conv|") else sum(map(convolutions, inner))
    return count


@pytest.mark.slow
def test_training_on_cpu_compiles_repeated_blocks_once():
    x = jnp.zeros((1, 4, 4, 3))

    def compiled(count, train, platform="cpu"):
        net = Net(repeat, tuple(f"block_{n}" for n in range(count)))
        variables = net.init(jax.random.key(0), x)
        device = jax.sharding.AbstractDevice(device_kind="", num_cores=None, platform=platform)
        mesh = jax.sharding.AbstractMesh((1,), (AXIS,), abstract_device=device)
        apply = jax.shard_map(
            lambda v: net.apply(v, x, train, mutable=["batch_stats"]),
            mesh=mesh,
            in_specs=EVERYWHERE,
            out_specs=EVERYWHERE,
            check_vma=False,
        )
        return convolutions(jax.make_jaxpr(apply)(variables))

    # The first layer, the block, and the two blocks within the nested one.
    assert compiled(9, train=True) == compiled(3, train=True) == 1 + 1 + 2
    assert compiled(9, train=False) == compiled(9, train=True, platform="tpu") == 1 + 9 + 9 * 4
