"""Frozen parameters, and learning rates of parts of a network."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxpose import layers, tasks
from jaxpose.config import ConfigError, default_config
from jaxpose.config.patterns import factors_of, patterns_of
from jaxpose.mesh import make_mesh, replicate, shard_batch
from jaxpose.tasks.objective import forward
from jaxpose.training import schedule, selection, state, step

NETWORK = "tests.helpers.tiny_runs:TinyHeatmaps"


def settings(**changes):
    task = tasks.get("topdown")
    config = default_config(task.SETTINGS, task=task.NAME)
    config.model, config.input_size = NETWORK, (64, 64)
    config.update_from_flattened_dict(changes)
    return config


def batch(seed=0, size=4):
    random = np.random.default_rng(seed)
    return {
        "image": random.integers(0, 255, (size, 64, 64, 3), np.uint8),
        "keypoints": random.uniform(10, 50, (size, 3, 3)).astype(np.float32),
    }


def variables_of(model, seed=0):
    images = np.zeros((1, 64, 64, 3), np.float32)
    random = np.random.default_rng(seed)
    made = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
    return jax.tree.map(lambda x: random.uniform(0.1, 1, x.shape).astype(np.float32), made)


def train(config, steps=3):
    """(state before, state after) of a few steps on one device."""
    model = tasks.create_model(config, 3)
    objective = tasks.get(config.task).make_objective(model, config)
    rate = schedule.make_schedule(config.schedule, 1e-2, 10, 10)
    optimizer = schedule.make_optimizer(config.optimizer, rate, config.freeze)
    mesh = make_mesh(jax.devices()[:1])
    run = step.make_train_step(
        objective.loss, optimizer, rate, mesh, ema_decay=config.ema_decay, freeze=config.freeze
    )
    start = state.from_variables(variables_of(model), optimizer, ema=config.ema_decay > 0)
    before = jax.tree.map(np.array, start)
    now = replicate(start, mesh)
    for number in range(steps):
        now, metrics = run(now, shard_batch(batch(number), mesh))
        assert bool(metrics["finite"])
    return before, jax.device_get(now)


@pytest.mark.slow
def test_frozen_arrays_keep_their_bits_and_the_others_learn():
    config = settings(
        freeze=("half/*",),
        ema_decay=0.9,
        **{"optimizer.name": "adamw", "optimizer.weight_decay": 0.1, "optimizer.clip_norm": 1.0},
    )
    before, after = train(config)
    for part in ("params", "batch_stats"):
        old, new = selection.flat(getattr(before, part)), selection.flat(getattr(after, part))
        average = selection.flat(after.ema[part])
        for path, array in new.items():
            frozen = path.startswith("half/")
            assert (array.tobytes() == old[path].tobytes()) == frozen, path
            assert (average[path].tobytes() == old[path].tobytes()) == frozen, path
    # No moments of frozen parameters are kept.
    moments = selection.flat(after.opt_state)
    assert not any("half" in path for path in moments)
    assert any("quarter" in path for path in moments)


def test_frozen_batch_norms_use_the_running_statistics():
    model = tasks.create_model(settings(), 3)
    variables = variables_of(model)
    images = batch()["image"]
    parts = variables["params"], variables["batch_stats"]
    from jaxpose import geometry

    expected = model.apply(variables, geometry.normalize(images), train=False)
    outputs, stats = forward(model, *parts, images, None, freeze=("*/mean",))
    np.testing.assert_array_equal(outputs, expected)
    jax.tree.map(np.testing.assert_array_equal, stats, variables["batch_stats"])
    learned, stats = forward(model, *parts, images, None, freeze=("*/scale",))
    assert not np.allclose(learned, expected)
    assert not np.array_equal(stats["half"]["bn"]["mean"], parts[1]["half"]["bn"]["mean"])


class Blocks(nn.Module):
    """Four equal blocks, as one scan or one by one."""

    one_by_one: bool = False

    @nn.compact
    def __call__(self, x, train):
        block = layers.ConvNormAct(4, norm=layers.BatchNorm, parent=None)
        names = [f"block_{number}" for number in range(4)]
        if not self.one_by_one:
            return layers.repeat(self, block, names, x, train)
        for name in names:
            x = block.clone(parent=self, name=name)(x, train)
        return x


@pytest.mark.parametrize("frozen", [(), (1,), (0, 1), (1, 2, 3), (0, 1, 2, 3)])
def test_repeated_blocks_may_be_frozen_one_by_one(frozen):
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 4)).astype(np.float32)
    variables = Blocks().init(jax.random.key(0), x, train=False)
    flags = {f"block_{n}": {"bn": {"mean": np.zeros((), np.float32)}} for n in frozen}
    variables = {**variables, **({layers.FROZEN: flags} if flags else {})}
    results = [
        Blocks(one_by_one).apply(variables, x, train=True, mutable=["batch_stats"])
        for one_by_one in (False, True)
    ]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), *results)
    for number in range(4):
        name = f"block_{number}"
        old, new = variables["batch_stats"][name], results[0][1]["batch_stats"][name]
        same = np.array_equal(old["bn"]["mean"], new["bn"]["mean"])
        assert same == (number in frozen)


def test_updates_are_scaled_exactly():
    params = {"backbone": {"kernel": jnp.ones((3, 2))}, "head": {"bias": jnp.ones(4)}}
    grads = jax.tree.map(lambda x: x * 0.3, params)
    plain = optax.sgd(0.1)
    factors = factors_of("optimizer.rate_scale", ("*/bias=3", "backbone/*=0.25", "*=7"))
    scaled = selection.scaled(plain, factors)
    expected, _ = plain.update(grads, plain.init(params), params)
    updates, _ = scaled.update(grads, scaled.init(params), params)
    np.testing.assert_array_equal(
        updates["backbone"]["kernel"], expected["backbone"]["kernel"] * 0.25
    )
    np.testing.assert_array_equal(updates["head"]["bias"], expected["head"]["bias"] * 3)


def test_without_patterns_the_optimizer_and_its_state_are_as_before():
    config = settings().optimizer
    params = {"a": jnp.ones(3)}
    new, old = schedule.make_optimizer(config, lambda s: 1e-3), optax.adam(lambda s: 1e-3)
    assert jax.tree.structure(new.init(params)) == jax.tree.structure(old.init(params))
    programs = [
        str(jax.make_jaxpr(lambda g, o=o: o.update(g, o.init(params), params))(params))
        for o in (new, old)
    ]
    assert programs[0] == programs[1]


def test_the_table_counts_what_each_pattern_selects():
    config = settings(freeze=("half/*", "*/bias"), **{"optimizer.rate_scale": ("final/*=2",)})
    variables = variables_of(tasks.create_model(config, 3))
    lines = selection.describe(variables["params"], variables["batch_stats"], config)
    assert [line.split() for line in lines] == [
        ["parameters", "pattern", "count", "share"],
        ["frozen", "half/*", "1,232", "11.2%"],
        ["frozen", "*/bias", "24", "0.2%"],
        ["rate", "x", "2", "final/*", "72", "0.7%"],
        ["frozen", "statistics", "of", "1", "batch", "norms"],
    ]
    assert selection.describe(variables["params"], variables["batch_stats"], settings()) == []


@pytest.mark.parametrize(
    "key,value,message",
    [
        ("freeze", ("haf/*",), r"config.freeze: 'haf/\*' matches no parameter; did you mean 'half"),
        (
            "optimizer.rate_scale",
            ("finl/*=2",),
            r"rate_scale: 'finl/\*' matches no parameter; did you mean 'final/\*'\?",
        ),
    ],
)
def test_a_pattern_that_matches_nothing_is_refused(key, value, message):
    config = settings(**{key: value})
    variables = variables_of(tasks.create_model(config, 3))
    with pytest.raises(ConfigError, match=message):
        selection.describe(variables["params"], variables["batch_stats"], config)


@pytest.mark.parametrize("entry", ["head/*", "head/*=", "head/*=-1", "=2", "head/*=nan", "x=inf"])
def test_a_factor_must_be_a_positive_number(entry):
    with pytest.raises(ConfigError, match="PATTERN=FACTOR with a factor above 0"):
        factors_of("optimizer.rate_scale", (entry,))


def test_an_empty_value_on_the_command_line_is_no_pattern():
    assert patterns_of("freeze", ("",)) == ()
    assert factors_of("optimizer.rate_scale", ("",)) == {}
    with pytest.raises(ConfigError, match="tuple of strings"):
        patterns_of("freeze", (1,))


class FlaxNorm(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        return nn.BatchNorm(use_running_average=not train, name="norm")(x)


def test_a_batch_norm_of_flax_cannot_be_frozen():
    images = batch()["image"]
    variables = FlaxNorm().init(jax.random.key(0), images.astype(np.float32), train=False)
    parts = variables["params"], variables["batch_stats"]
    with pytest.raises(ConfigError, match=r"norm is flax.linen.BatchNorm, which cannot be frozen"):
        forward(FlaxNorm(), *parts, images, None, freeze=("norm/*",))
    forward(FlaxNorm(), *parts, images, None)
