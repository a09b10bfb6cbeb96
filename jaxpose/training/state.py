"""Everything a run needs to go on from where it stood, as one tree of arrays."""

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
    """Sums since the last log line; in the state so that a resumed run logs the same means."""

    steps: jax.Array  # float32
    loss: jax.Array
    grad_norm: jax.Array
    parts: Parts = struct.field(default_factory=dict)


@struct.dataclass
class TrainState:
    """State after `step` updates; the position in the data is `step` too.

    `ema` is the moving average of {"params", "batch_stats"}, or None when it is off.
    """

    step: jax.Array  # int32
    params: Tree
    batch_stats: Tree
    opt_state: Tree
    ema: Tree | None
    window: Window

    @property
    def variables(self) -> dict[str, Tree]:
        """What to evaluate and export: the moving average when there is one."""
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
    """Fresh state of `model` for images of `input_size` (H, W); a pure function of `seed`.

    `parts` are the names of the loss's terms (`jaxpose.tasks.Objective.terms`).
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
    """State at step 0 that starts from given weights."""
    params, stats = variables["params"], variables.get("batch_stats", {})
    averaged = {"params": params, "batch_stats": stats}
    # No buffer may stand in the state twice: the step donates it. Nor is there a program to compile
    # for every shape: the optimiser's state is one, and `device_put` copies without any.
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
