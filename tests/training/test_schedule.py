"""Learning rate, intervals and optimizer against hand-computed values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import common
from jaxpose.training import schedule


def settings(**changes) -> ConfigDict:
    config = common.get_config().schedule
    config.update(changes)
    return config


def test_warmup_is_linear_in_the_step():
    rate = schedule.make_schedule(settings(), 5e-4, steps_per_epoch=1000, steps=210_000)
    for step in (0, 1, 250, 499, 500):
        expected = 5e-4 * (1 - (1 - step / 500) * (1 - 0.001)) if step < 500 else 5e-4
        np.testing.assert_allclose(rate(step), expected, rtol=1e-6)


def test_step_decay_starts_with_the_epoch_of_the_milestone():
    # 10 people in batches of 4: 2.5 steps per epoch; epoch 170 begins within step 425.
    rate = schedule.make_schedule(settings(warmup_steps=0), 1.0, steps_per_epoch=2.5, steps=525)
    values = [float(rate(step)) for step in (424, 425, 499, 500, 524)]
    np.testing.assert_allclose(values, [1, 0.1, 0.1, 0.01, 0.01], rtol=1e-5)


def test_cosine_falls_to_zero_at_the_end():
    rate = schedule.make_schedule(
        settings(name="cosine", warmup_steps=0), 2.0, steps_per_epoch=10, steps=100
    )
    np.testing.assert_allclose([float(rate(s)) for s in (0, 50, 100)], [2, 1, 0], atol=1e-6)


def test_flat_then_cosine_of_rtmpose():
    """Warm-up over steps 0 to 999, flat to half of the steps, cosine to a twentieth."""
    changes = {"warmup_steps": 999, "warmup_factor": 1e-5, "flat": 0.5, "final_factor": 0.05}
    rate = schedule.make_schedule(settings(name="cosine", **changes), 4e-3, 100, 42_000)
    for step in (0, 1, 500, 999):
        expected = 4e-3 * (1e-5 + (1 - 1e-5) * step / 999)
        np.testing.assert_allclose(rate(step), expected, rtol=1e-6)
    half = 21_000
    for step in (1000, 20_999, half, half + 1000, half + 10_500, 2 * half - 1, 2 * half):
        part = max(0, step - half) / half
        expected = 4e-3 * (0.05 + 0.95 * (1 + np.cos(np.pi * part)) / 2)
        np.testing.assert_allclose(rate(step), expected, rtol=1e-5)


def test_constant():
    rate = schedule.make_schedule(settings(name="constant", warmup_steps=0), 3.0, 10, 100)
    assert float(rate(99)) == 3.0


@pytest.mark.parametrize(
    "every, last, expected",
    [
        (50, 120, [50, 100, 120]),
        (50, 100, [50, 100]),
        (0, 7, [7]),
        (2.5, 10, [3, 5, 8, 10]),  # an epoch of two and a half steps
        (0.5, 3, [1, 2, 3]),
        (0.1 * 30, 10, [3, 6, 9, 10]),  # 0.1 * 30 is a little more than 3
    ],
)
def test_due(every, last, expected):
    assert [s for s in range(1, last + 1) if schedule.due(s, every, last)] == expected


def test_length_of_a_run():
    assert schedule.total_steps(20, 3000, 32) == 1875
    assert schedule.total_steps(1, 10, 4) == 3  # the last batch is kept
    assert schedule.total_steps(210, 149813, 64) == 491574
    assert schedule.epoch_of(1875, 3000, 32) == 20


def test_adamw_decays_kernels_only():
    config = common.get_config().optimizer
    config.update({"name": "adamw", "weight_decay": 0.1, "learning_rate": 1.0})
    optimizer = schedule.make_optimizer(config, lambda step: 1.0)
    params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    zeros = {"kernel": jnp.zeros((2, 2)), "bias": jnp.zeros(2)}
    updates, _ = optimizer.update(zeros, optimizer.init(params), params)
    np.testing.assert_allclose(updates["kernel"], -0.1, rtol=1e-6)
    np.testing.assert_array_equal(updates["bias"], 0)


def test_adamw_decays_vectors_that_a_pattern_names():
    config = common.get_config().optimizer
    config.update({"name": "adamw", "weight_decay": 0.1, "decay_also": ("*/gain",)})
    optimizer = schedule.make_optimizer(config, lambda step: 1.0)
    params = {"norm": {"gain": jnp.ones(2), "bias": jnp.ones(2)}, "kernel": jnp.ones((2, 2))}
    zeros = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(zeros, optimizer.init(params), params)
    np.testing.assert_allclose(updates["norm"]["gain"], -0.1, rtol=1e-6)
    np.testing.assert_allclose(updates["kernel"], -0.1, rtol=1e-6)
    np.testing.assert_array_equal(updates["norm"]["bias"], 0)


def test_clipping_limits_the_gradient_before_adam():
    config = common.get_config().optimizer
    config.clip_norm = 1.0
    optimizer = schedule.make_optimizer(config, lambda step: 1.0)
    params = {"w": jnp.zeros(4)}
    state = optimizer.init(params)
    _, state = optimizer.update({"w": jnp.full(4, 50.0)}, state, params)
    moment = state[1][0].mu["w"]  # (1 - b1) times the clipped gradient, whose norm is 1
    np.testing.assert_allclose(moment, 0.1 * 0.5, rtol=1e-5)
