"""The training state: all that a run needs to resume, as one tree of arrays."""

from collections.abc import Iterable

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct

from jaxpose import models
from jaxpose.tasks.protocol import Tree

Parts = dict[str, jax.Array]  # terms of the loss by name, float32 scalars


@struct.dataclass
class Window:
    """Sums since the last log line, kept in the state so that a resumed run logs the same means."""

    steps: jax.Array  # float32
    loss: jax.Array
    grad_norm: jax.Array
    parts: Parts = struct.field(default_factory=dict)


@struct.dataclass
class TrainState:
    """The state after `step` updates; `step` is also the position in the data.

    `ema` is the moving average of {"params", "batch_stats"}, or None if disabled.
    """

    step: jax.Array  # int32
    params: Tree
    batch_stats: Tree
    opt_state: Tree
    ema: Tree | None
    window: Window

    @property
    def variables(self) -> dict[str, Tree]:
        """The variables to evaluate and export: the moving average if enabled."""
        if self.ema is not None:
            return self.ema
        return {"params": self.params, "batch_stats": self.batch_stats}


def create_state(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    input_size: tuple[int, int],
    ema: bool,
    seed: int,
    *,
    parts: Iterable[str] = (),
) -> TrainState:
    """Creates the initial state of a model; a pure function of `seed`.

    Args:
      model: the network.
      optimizer: the optimizer.
      input_size: (H, W) of the images.
      ema: whether to keep a moving average.
      seed: random seed of the weights.
      parts: names of the loss terms (`jaxpose.tasks.Objective.terms`).
    """
    variables = models.initial_variables(model, input_size, seed)
    return from_variables(variables, optimizer, ema=ema, parts=parts)


def from_variables(
    variables: dict[str, Tree],
    optimizer: optax.GradientTransformation,
    *,
    ema: bool = False,
    parts: Iterable[str] = (),
) -> TrainState:
    """Creates the state at step 0 from given weights."""
    params, stats = variables["params"], variables.get("batch_stats", {})
    averaged = {"params": params, "batch_stats": stats}
    # Each buffer may occur only once in the state, because the step donates it. The optimizer state
    # is one jitted call and `device_put` copies without one, so no program is compiled per shape.
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=stats,
        opt_state=jax.jit(optimizer.init)(params),
        ema=jax.device_put(averaged, may_alias=False) if ema else None,
        window=Window(
            steps=jnp.zeros((), jnp.float32),
            loss=jnp.zeros((), jnp.float32),
            grad_norm=jnp.zeros((), jnp.float32),
            parts={name: jnp.zeros((), jnp.float32) for name in parts},
        ),
    )
