"""Learning rate, optimizer and intervals of a run, all functions of the step.

Nothing here has state: a resumed run computes the same values from the step in its checkpoint.
Steps count from 0, so the first update uses `schedule(0)`. An epoch is `examples / batch_size`
steps, which need not be an integer: a batch may contain examples of two epochs.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from jaxpose.config.patterns import factors_of, patterns_of
from jaxpose.training.selection import decayed, scaled, without_frozen

Schedule = Callable[[jax.typing.ArrayLike], jax.Array]


def total_steps(epochs: float, examples: int, batch_size: int) -> int:
    """Returns the number of steps that visit `examples` examples `epochs` times, rounded up."""
    return max(1, math.ceil(round(epochs * examples / batch_size, 6)))


def epoch_of(step: int, examples: int, batch_size: int) -> float:
    """Returns the number of epochs after `step` steps, as a fraction."""
    return step * batch_size / examples


def due(step: int, every: float, last: int) -> bool:
    """Whether an action that repeats each `every` steps is due after step `step`.

    It is always due after the last step. `every` may be fractional; 0 means only the last step.
    """
    if step == last:
        return True
    if every <= 0:
        return False
    # The small number compensates rounding, so that e.g. 0.1 epochs is not late by one step.
    return math.floor(step / every + 1e-9) > math.floor((step - 1) / every + 1e-9)


def make_schedule(
    config: ConfigDict, learning_rate: float, steps_per_epoch: float, steps: int
) -> Schedule:
    """Returns the learning rate as a function of the step.

    Args:
      config: `config.schedule`.
      learning_rate: peak value.
      steps_per_epoch: need not be an integer.
      steps: length of the run.

    Returns:
      step -> float32 scalar. The warm-up is lr * (1 - (1 - i/N) * (1 - factor)) for i < N = warmup
      steps, times the decay. The schedule "step" multiplies by gamma from the first step whose
      0-based epoch index has reached a milestone. The schedule "cosine" is
      final + (1 - final) (1 + cos(pi (i - i0) / (steps - i0))) / 2 from i0 = flat * steps on, and 1
      before.
    """
    boundaries = [math.ceil(round(m * steps_per_epoch, 6)) for m in config.milestones]

    def schedule(step: jax.typing.ArrayLike) -> jax.Array:
        step = jnp.asarray(step, jnp.float32)
        rate = jnp.float32(learning_rate)
        if config.name == "step":
            passed = sum((step >= b).astype(jnp.float32) for b in boundaries)
            rate = rate * jnp.float32(config.gamma) ** passed
        elif config.name == "cosine":
            start = config.get("flat", 0.0) * steps
            part = jnp.clip((step - start) / (steps - start), 0, 1)
            final = config.get("final_factor", 0.0)
            rate = rate * (final + (1 - final) * 0.5 * (1 + jnp.cos(jnp.pi * part)))
        if config.warmup_steps > 0:
            done = jnp.clip(step / config.warmup_steps, 0, 1)
            # The formula above, expanded to avoid a small difference of large numbers.
            rate = rate * (config.warmup_factor + done * (1 - config.warmup_factor))
        return rate

    return schedule


def make_optimizer(
    config: ConfigDict, schedule: Schedule, freeze: Sequence[str] = ()
) -> optax.GradientTransformation:
    """Returns Adam or AdamW as in `config.optimizer`, preceded by gradient clipping if enabled.

    AdamW decays kernels only, not one-dimensional parameters (biases, batch norm) unless they match
    a pattern of `config.optimizer.decay_also`.

    Args:
      config: `config.optimizer`.
      schedule: step -> learning rate.
      freeze: `config.freeze`; parameters that match get no update and have no moments.
    """
    moments = {"b1": config.b1, "b2": config.b2, "eps": config.eps}
    if config.name == "adamw":
        optimizer = optax.adamw(
            schedule,
            **moments,
            weight_decay=config.weight_decay,
            mask=lambda params: decayed(
                params, patterns_of("optimizer.decay_also", config.get("decay_also", ()))
            ),
        )
    else:
        optimizer = optax.adam(schedule, **moments)
    if config.clip_norm > 0:
        optimizer = optax.chain(optax.clip_by_global_norm(config.clip_norm), optimizer)
    # Wrapped only if needed, so that the optimizer's state of other runs does not change.
    if factors := factors_of("optimizer.rate_scale", config.get("rate_scale", ())):
        optimizer = scaled(optimizer, factors)
    if patterns := patterns_of("freeze", freeze):
        optimizer = without_frozen(optimizer, patterns)
    return optimizer
