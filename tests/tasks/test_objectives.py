"""The loss of each task, on a network whose outputs are its parameters."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import common
from jaxpose import losses, tasks
from jaxpose.codecs import associative_embedding, part_affinity, topdown
from jaxpose.layers import BatchNorm, Conv
from jaxpose.models.efficientnet import MBConv, Row
from jaxpose.tasks import torch_losses

K, P = 17, 4
SIZE = (64, 96)
MAPS = ((16, 24, 2 * K), (32, 48, K))


class Memory(nn.Module):
    """Answers each batch with its parameters, whatever the images."""

    shapes: tuple[tuple[int, ...], ...]

    @nn.compact
    def __call__(self, x, train: bool):
        maps = [
            self.param(f"map{n}", nn.initializers.normal(0.3), (len(x), *shape))
            for n, shape in enumerate(self.shapes)
        ]
        calls = self.variable("batch_stats", "calls", lambda: jnp.zeros(()))
        if train:
            calls.value = calls.value + 1
        return maps[0] if len(maps) == 1 else tuple(maps)


class Dropping(nn.Module):
    """Heatmaps at 1/4 through one block of EfficientNet with stochastic depth."""

    @nn.compact
    def __call__(self, x, train: bool):
        block = MBConv(Row(1, 3, 1, 1, 3), 3, 1, drop_path=0.5, conv=Conv, norm=BatchNorm)
        return nn.Dense(K)(block(x, train)[:, ::4, ::4])


def random_batch(people, seed=0):
    """Two images of so many people; half of the keypoints are labeled, some lie outside."""
    random = np.random.default_rng(seed)
    keypoints = np.zeros((2, max(P, people), K, 3), np.float32)
    keypoints[:, :people, :, :2] = random.uniform((-5, -5), (100, 70), (2, people, K, 2))
    keypoints[:, :people, :, 2] = random.random((2, people, K)) < 0.5
    return {
        "image": random.integers(0, 255, (2, *SIZE, 3), np.uint8),
        "valid": np.ones(2, bool),
        "keypoints": keypoints,
        "mirrored": np.array([False, True]),
        "mask_quarter": (random.random((2, *MAPS[0][:2])) < 0.8).astype(np.uint8),
        "mask_half": (random.random((2, *MAPS[1][:2])) < 0.8).astype(np.uint8),
    }


def make(base=common.bottomup, shapes=MAPS, **changes):
    """(objective, params, batch_stats)."""
    config = base()
    config.input_size = SIZE
    config.update_from_flattened_dict(changes)
    model = Memory(shapes)
    variables = model.init(jax.random.key(0), jnp.zeros((2, *SIZE, 3)), train=False)
    return (
        tasks.get(config.task).make_objective(model, config),
        variables["params"],
        variables["batch_stats"],
    )


def gradient(objective):
    return jax.jit(jax.grad(objective.loss, has_aux=True))


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["gaussian", "udp"])
def test_top_down_targets_are_those_of_the_codec(codec):
    changes = {"codec": codec, "loss.fn": "x"}
    objective, params, stats = make(common.get_config, ((16, 24, K),), **changes)
    batch = random_batch(1)
    batch["keypoints"] = batch["keypoints"][:, 0]
    value, _ = jax.jit(objective.loss)(params, stats, batch)
    targets, weights = topdown.encode_batch(
        batch["keypoints"], SIZE, (16, 24), 2.0, udp=codec == "udp"
    )
    expected = losses.heatmap_weighting_loss(params["map0"], targets, weights, fn="x")
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    pytest.importorskip("torch")
    config = common.get_config()
    config.input_size = SIZE
    config.update_from_flattened_dict(changes)
    theirs = torch_losses.topdown(config, batch)(torch_losses.nchw(params["map0"]))
    np.testing.assert_allclose(theirs, value, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mse", "soft_boundary"])
def test_bottom_up_loss_is_the_sum_of_its_parts(name):
    weights = {"loss.push": 0.3, "loss.pull": 0.7}
    objective, params, stats = make(**{"loss.name": name, "loss.tau": 0.1} | weights)
    batch = random_batch(people=3)
    value, (stats, parts) = jax.jit(objective.loss)(params, stats, batch)
    assert stats["calls"] == 1 and set(parts) == set(objective.terms)
    np.testing.assert_allclose(
        value,
        parts["heat_quarter"] + parts["heat_half"] + 0.3 * parts["push"] + 0.7 * parts["pull"],
        rtol=1e-6,
    )

    encode = jax.jit(associative_embedding.encode_batch, static_argnums=(2, 3))

    def heat(output, stride, mask):
        size = (SIZE[0] // stride, SIZE[1] // stride)
        target, joints = encode(batch["keypoints"], batch["mirrored"], SIZE, size)
        if name == "mse":
            return losses.masked_mse(output, target, mask), joints
        return losses.soft_boundary_loss(output, target, mask, tau=0.1), joints

    low, high = params["map0"], params["map1"]
    expected, joints = heat(low[..., :K], 4, batch["mask_quarter"])
    np.testing.assert_allclose(parts["heat_quarter"], expected, rtol=1e-6)
    expected, _ = heat(high, 2, batch["mask_half"])
    np.testing.assert_allclose(parts["heat_half"], expected, rtol=1e-6)
    pull, push = losses.associative_embedding_loss(low[..., K:], joints)
    np.testing.assert_allclose([parts["pull"], parts["push"]], [pull, push], rtol=1e-6)
    assert push > 0 and pull > 0


def test_detach_weight_stops_the_gradient_through_the_weight():
    batch = random_batch(people=2)
    gradients = []
    for detached in (False, True):
        objective, params, stats = make(**{"loss.detach_weight": detached})
        gradients.append(gradient(objective)(params, stats, batch)[0]["map1"])
    assert not np.allclose(*gradients, rtol=0.1, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("people", [0, 1, P])
def test_gradients_are_finite_for_any_number_of_people(people):
    objective, params, stats = make()
    grads, _ = gradient(objective)(params, stats, random_batch(people))
    assert all(bool(jnp.isfinite(g).all()) for g in jax.tree.leaves(grads))
    tags = grads["map0"][..., K:]
    assert bool((tags != 0).any()) == (people > 0)


def test_invalid_examples_add_nothing():
    objective, params, stats = make()
    batch = random_batch(people=3)
    _, (_, both) = jax.jit(objective.loss)(params, stats, batch)
    parts = []
    for row in (0, 1):
        valid = np.arange(2) == row
        grads, (_, terms) = gradient(objective)(params, stats, batch | {"valid": valid})
        assert all(float(jnp.abs(g[1 - row]).max()) == 0 for g in jax.tree.leaves(grads))
        parts.append(terms)
    for key in objective.terms:
        np.testing.assert_allclose(parts[0][key] + parts[1][key], both[key], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("people", [0, 1, 30])
def test_loss_of_part_affinity(people):
    maps = ((8, 12, 19), (8, 12, 38))
    objective, params, stats = make(common.part_affinity, maps * 2)
    batch = random_batch(people)
    batch["mask_quarter"][:] = 1
    batch["mask_quarter"][0, 5, 8] = 0  # a quarter of cell (2, 4)
    batch["valid"] = np.array([True, False])
    value = jax.jit(jax.value_and_grad(objective.loss, has_aux=True))
    (total, (stats, parts)), grads = value(
        params, stats, {key: batch[key] for key in objective.inputs}
    )
    assert stats["calls"] == 1 and set(parts) == set(objective.terms) and np.isfinite(total)
    np.testing.assert_allclose(total, parts["heatmaps"] + parts["fields"], rtol=1e-6)
    for grad in jax.tree.leaves(grads):
        assert np.isfinite(grad).all() and not grad[1].any()
        np.testing.assert_array_equal(np.argwhere(~grad[0].any(-1)), [[2, 4]])
    targets = part_affinity.encode_batch(part_affinity.from_coco(batch["keypoints"][:1]), SIZE)
    for index in range(4):
        error = (params[f"map{index}"][0] - targets[index % 2][0]) / 2  # of a batch of two
        counts = (
            np.ones(maps[0][:2] + (1,)) - (np.indices((8, 12)) == [[[2]], [[4]]]).all(0)[..., None]
        )
        np.testing.assert_allclose(grads[f"map{index}"][0], error * counts, atol=1e-6)


@pytest.mark.slow
def test_top_down_loss():
    objective, params, stats = make(common.get_config, ((16, 24, K),))
    batch = random_batch(people=1)
    batch = {"image": batch["image"], "keypoints": batch["keypoints"][:, 0]}
    assert set(objective.inputs) == set(batch) and objective.terms == ()
    value, (_, parts) = jax.jit(objective.loss)(params, stats, batch)
    target, weight = topdown.encode_batch(batch["keypoints"], SIZE, (16, 24), 2.0)
    expected = losses.heatmap_weighting_loss(params["map0"], target, weight, fn="x")
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    assert parts == {}


@pytest.mark.parametrize(
    "base, shapes, message",
    [
        (common.get_config, ((8, 12, K),), r"Memory returns \(2, 8, 12, 17\), but .*, 24, 17\)"),
        (common.get_config, MAPS, r"returns .* and .*, but .* heatmaps \(2, 16, 24, 17\)"),
        (common.bottomup, ((16, 24, K), MAPS[1]), r"heatmaps_and_tags \(2, 16, 24, 34\) and heat"),
        (common.bottomup, MAPS[:1], r"returns \(2, 16, 24, 34\), but"),
    ],
)  # fmt: skip
def test_outputs_of_another_shape_are_named(base, shapes, message):
    objective, params, stats = make(base, shapes)
    batch = random_batch(people=1)
    if base is common.get_config:
        batch["keypoints"] = batch["keypoints"][:, 0]
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(objective.loss, params, stats, batch)


@pytest.mark.slow
def test_stochastic_depth_follows_the_key():
    config = common.get_config()
    config.input_size = SIZE
    model, batch = Dropping(), random_batch(people=1)
    batch["keypoints"] = batch["keypoints"][:, 0]
    variables = model.init(jax.random.key(0), jnp.zeros((2, *SIZE, 3)), train=False)
    weights = variables["params"], variables["batch_stats"]
    loss = tasks.get(config.task).make_objective(model, config).loss
    step = jax.jit(loss)
    values = [float(step(*weights, batch, jax.random.key(n))[0]) for n in (*range(8), 0)]
    assert values[0] == values[-1] and len(set(values)) > 1
    with pytest.raises(ValueError, match="drop_path=0.5 needs random numbers in training"):
        loss(*weights, batch)
