"""The training step on a network of two layers: averaging, accumulation, EMA, the NaN guard."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxpose.mesh import make_mesh, replicate, shard_batch
from jaxpose.training import state, step
from jaxpose.training.step import choose, ema_weight


class Tiny(nn.Module):
    """Dense, batch norm, dense."""

    @nn.compact
    def __call__(self, x, train: bool):
        x = nn.Dense(4)(x.reshape(x.shape[0], -1))
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
        return nn.Dense(1)(x)


MODEL = Tiny()


def with_parts(loss, batch_stats):
    return loss, (batch_stats, {"third": loss / 3, "rest": 2 * loss / 3})


def loss_fn(params, batch_stats, batch, key=None):
    variables = {"params": params, "batch_stats": batch_stats}
    out, updated = MODEL.apply(variables, batch["x"], train=True, mutable=["batch_stats"])
    return with_parts(jnp.mean((out - batch["y"]) ** 2), updated["batch_stats"])


def loss_without_statistics(params, batch_stats, batch, key):
    """Normalizes by the running statistics: micro-batches are then independent."""
    variables = {"params": params, "batch_stats": batch_stats}
    out = MODEL.apply(variables, batch["x"], train=False)
    return with_parts(jnp.mean((out - batch["y"]) ** 2), batch_stats)


def loss_that_draws(params, batch_stats, batch, key):
    """Its terms are a random number and its square."""
    loss, (batch_stats, _) = loss_fn(params, batch_stats, batch)
    drawn = jax.random.uniform(key)
    return loss, (batch_stats, {"third": drawn, "rest": drawn**2})


def batch(seed=0, size=8):
    random = np.random.default_rng(seed)
    x = random.normal(size=(size, 2, 3)).astype(np.float32)
    return {"x": x, "y": x.sum((1, 2))[:, None]}


def make(optimizer=None, loss=loss_fn, **options):
    optimizer = optimizer or optax.adam(1e-2)
    variables = MODEL.init(jax.random.key(0), batch()["x"], train=False)
    start = state.from_variables(
        variables, optimizer, ema=options.get("ema_decay", 0) > 0, parts=("third", "rest")
    )
    mesh = make_mesh(jax.devices()[:1])
    train_step = step.make_train_step(loss, optimizer, lambda s: 1e-2 * (s + 1), mesh, **options)
    return replicate(start, mesh), train_step, mesh


def advance(train_state, train_step, mesh, steps, first=0, poison=()):
    metrics = []
    for number in range(first, first + steps):
        inputs = batch(number)
        if number in poison:
            inputs["x"][0, 0, 0] = np.nan
        train_state, values = train_step(train_state, shard_batch(inputs, mesh))
        metrics.append(jax.device_get(values))
    return train_state, metrics


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(a), jax.device_get(b))


def test_loss_decreases_and_steps_are_counted():
    end, metrics = advance(*make(optax.adam(3e-2), log_every=1), 60)
    assert int(end.step) == 60
    assert metrics[-1]["loss"] < 0.3 * metrics[0]["loss"]
    np.testing.assert_allclose([m["lr"] for m in metrics[:2]], [1e-2, 2e-2], rtol=1e-6)


def test_step_is_traced_once():
    traces = []

    def counted(*arguments):
        traces.append(1)
        return loss_fn(*arguments)

    train_state, train_step, mesh = make(loss=counted)
    advance(train_state, train_step, mesh, 3)
    assert len(traces) == 1 and train_step._cache_size() == 1


def test_metrics_are_means_since_the_last_line():
    start, train_step, mesh = make(log_every=3)
    _, every = advance(start, train_step, mesh, 6)
    start, train_step, mesh = make(log_every=1)
    _, single = advance(start, train_step, mesh, 6)
    for key in ("loss", "grad_norm", "third", "rest"):
        values = [m[key] for m in single]
        np.testing.assert_allclose(every[2][key], np.mean(values[:3]), rtol=1e-6)
        np.testing.assert_allclose(every[4][key], np.mean(values[3:5]), rtol=1e-6)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_loss_terms_are_logged_with_the_loss(accumulate):
    _, metrics = advance(*make(log_every=2, accumulate=accumulate), 3)
    for values in metrics:
        np.testing.assert_allclose(3 * values["third"], values["loss"], rtol=1e-6)
        np.testing.assert_allclose(values["third"] + values["rest"], values["loss"], rtol=1e-6)


def test_accumulation_gives_the_gradient_of_the_whole_batch():
    whole, _ = advance(*make(optax.sgd(0.1), loss_without_statistics), 3)
    parts, _ = advance(*make(optax.sgd(0.1), loss_without_statistics, accumulate=4), 3)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        jax.device_get(whole.params),
        jax.device_get(parts.params),
    )


def test_accumulation_updates_the_statistics_once_per_micro_batch():
    values = batch()
    start, train_step, mesh = make(accumulate=2)
    expected = jax.device_get(start.batch_stats)
    for half in (slice(0, 4), slice(4, 8)):
        part = {key: value[half] for key, value in values.items()}
        _, (expected, _) = loss_fn(start.params, expected, part)
    expected = jax.device_get(expected)
    end, _ = train_step(start, shard_batch(values, mesh))
    actual = jax.device_get(end.batch_stats)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), actual, expected)


@pytest.mark.slow
@pytest.mark.parametrize("accumulate", [1, 2])
def test_random_numbers_follow_from_seed_and_step(accumulate):
    def draws(state_and_step, steps, first=0):
        end, metrics = advance(*state_and_step, steps, first)
        for values in metrics:  # two micro-batches draw two numbers
            variance = values["rest"] - values["third"] ** 2
            assert variance > 1e-4 if accumulate == 2 else abs(variance) < 1e-6
        return end, [float(values["third"]) for values in metrics]

    options = dict(loss=loss_that_draws, log_every=1, accumulate=accumulate)
    _, whole = draws(make(**options, seed=3), 4)
    assert len(set(whole)) == 4
    middle, early = draws(make(**options, seed=3), 2)
    _, train_step, mesh = make(**options, seed=3)
    assert early + draws((middle, train_step, mesh), 2, first=2)[1] == whole
    assert not set(draws(make(**options, seed=4), 4)[1]) & set(whole)


def test_moving_average_covers_parameters_and_statistics():
    start, train_step, mesh = make(ema_decay=0.9)
    before = jax.device_get(start.ema)
    end, _ = train_step(start, shard_batch(batch(), mesh))
    fresh = {"params": end.params, "batch_stats": end.batch_stats}
    jax.tree.map(
        lambda old, new, mean: np.testing.assert_allclose(
            mean, 0.9 * old + 0.1 * new, rtol=1e-5, atol=1e-7
        ),
        before,
        jax.device_get(fresh),
        jax.device_get(end.ema),
    )
    assert end.variables is end.ema


def test_growing_moving_average_of_rtmpose():
    """1 - weight is (1 - m) e^(-(1 + t) / 2000) + m for m = 0.0002; the first update copies."""
    weight = jax.jit(lambda step: ema_weight(0.9998, 2000, step))
    assert weight(0) == 0
    for t in (1, 2, 500, 2000, 100_000):
        expected = 1 - ((1 - 0.0002) * np.exp(-(1 + t) / 2000) + 0.0002)
        np.testing.assert_allclose(weight(t), expected, rtol=1e-5)
    assert ema_weight(0.9, 0, jnp.int32(0)) == 0.9


@pytest.mark.slow
def test_growing_moving_average_starts_with_the_new_weights():
    start, train_step, mesh = make(ema_decay=0.9, ema_warmup=10)
    first, _ = train_step(start, shard_batch(batch(), mesh))
    held = jax.device_get((first.params, first.ema["params"]))
    jax.tree.map(np.testing.assert_array_equal, *held)
    second, _ = train_step(first, shard_batch(batch(), mesh))
    old = 0.9 * (1 - np.exp(-2 / 10))
    jax.tree.map(
        lambda before, new, mean: np.testing.assert_allclose(
            mean, old * before + (1 - old) * new, rtol=1e-5, atol=1e-7
        ),
        held[1],
        jax.device_get(second.params),
        jax.device_get(second.ema["params"]),
    )


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_bad_step_is_not_applied(accumulate):
    start, train_step, mesh = make(accumulate=accumulate, ema_decay=0.9)
    good, metrics = advance(start, train_step, mesh, 2)
    assert all(m["finite"] for m in metrics)
    before = jax.device_get(good)
    bad, metrics = advance(good, train_step, mesh, 1, first=2, poison=[2])
    assert not metrics[0]["finite"]
    assert_equal(bad, before)


def test_overflowing_parameters_are_refused():
    start, train_step, mesh = make(optax.sgd(1e38))
    before = jax.device_get(start)
    values = batch()
    values["y"] *= 1e6
    end, metrics = train_step(start, shard_batch(values, mesh))
    assert not metrics["finite"]
    assert_equal(end, before)


@pytest.mark.parametrize("platform", ["cpu", "tpu"])
@pytest.mark.parametrize("condition", [True, False])
def test_the_step_keeps_one_of_two_states(platform, condition):
    states = [
        state.create_state(MODEL, optax.adam(1e-3), (8, 8), True, seed, parts=["third", "rest"])
        for seed in (1, 2)
    ]
    kept = jax.jit(choose, static_argnums=3)(jnp.array(condition), *states, platform)
    assert_equal(kept, states[0 if condition else 1])


def test_same_seed_same_weights():
    optimizer = optax.adam(1e-3)
    first, second, other = (
        state.create_state(MODEL, optimizer, (8, 8), False, seed) for seed in (1, 1, 2)
    )
    assert_equal(first, second)
    kernels = [s.params["Dense_0"]["kernel"] for s in (first, other)]
    assert not np.array_equal(*kernels)
