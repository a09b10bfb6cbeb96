"""The training step: one function, mapped over the `data` axis and compiled once.

Each device runs the step on its part of the batch. Gradients and losses are averaged over the
devices, so the update is that of the whole batch for any number of devices. All objectives are
means over the examples, so no count has to be known before the gradient: one all-reduce after it
has everything that the devices exchange (`jaxpose.training.reduction`). With
`batch_norm="global"` the model averages its moments over the axis (it was created with
`bn_axis="data"`). With `"device"` each device normalizes with its own statistics, and only the
running statistics are averaged, once per step. Random numbers in the model depend on seed, step and
device alone, so a resumed run draws the same numbers as an uninterrupted one.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.sharding import Mesh

from jaxpose.config.patterns import patterns_of
from jaxpose.mesh import AXIS, EVERYWHERE, SPLIT
from jaxpose.tasks.protocol import LossFunction, Tree
from jaxpose.training.reduction import mean_over_devices
from jaxpose.training.schedule import Schedule
from jaxpose.training.selection import (
    keep_frozen,
    keep_frozen_norms,
    trained_only,
    without_gradient,
)
from jaxpose.training.state import TrainState, Window


def make_train_step(
    loss_fn: LossFunction,
    optimizer: optax.GradientTransformation,
    schedule: Schedule,
    mesh: Mesh,
    *,
    accumulate: int = 1,
    ema_decay: float = 0.0,
    ema_warmup: int = 0,
    log_every: int = 50,
    seed: int = 0,
    freeze: Sequence[str] = (),
    reduce_dtype: str = "float32",
) -> jax.stages.Wrapped:
    """Returns the jitted step: (state, batch) -> (state, metrics); the old state is donated.

    Args:
      loss_fn: see `jaxpose.tasks.Objective`; its terms must be those of the state's window. Each
        call gets a new random key.
      optimizer: the optimizer.
      schedule: step -> learning rate, for the metrics.
      mesh: the mesh.
      accumulate: number of micro-batches per device and step.
      ema_decay: weight of the old value in the moving average; 0 if `state.ema` is None.
      ema_warmup: steps over which this weight grows; see `ema_weight`.
      log_every: the metrics are means over the steps since the last multiple of this.
      seed: seed of the random keys.
      freeze: `config.freeze`; parameters and batch norm statistics that match do not change, not
        even in the moving average. Their gradients are not computed and not part of `grad_norm`.
      reduce_dtype: dtype in which the gradients are added over the devices, "float32" or
        "bfloat16".

    Returns:
      A jitted function. Its metrics are float32 scalars: loss, its terms and grad_norm (means over
      the window), lr, and `finite` (bool). If `finite` is False, the update is not applied:
      parameters, statistics, optimizer state and moving average are those before the step, so no
      checkpoint can contain values derived from a NaN.
    """
    patterns = patterns_of("freeze", freeze)
    platform = mesh.devices.flat[0].platform

    def loss_of_trained(params, *inputs):
        return loss_fn(without_gradient(params, patterns), *inputs)

    value_and_grad = jax.value_and_grad(loss_of_trained if patterns else loss_fn, has_aux=True)

    def gradients(state: TrainState, batch: dict[str, jax.Array]):
        """Returns ((loss, terms), batch_stats, gradient), means over this device's examples."""
        key = jax.random.fold_in(jax.random.key(seed), state.step)
        key = jax.random.fold_in(key, lax.axis_index(AXIS))
        if accumulate == 1:
            (loss, (stats, parts)), grads = value_and_grad(
                state.params, state.batch_stats, batch, key
            )
            return (loss, parts), stats, grads

        def micro_step(carry, inputs):
            values, stats, grads = carry
            (loss, (stats, parts)), new_grads = value_and_grad(state.params, stats, *inputs)
            return (_add(values, (loss, parts)), stats, _add(grads, new_grads)), None

        micros = jax.tree.map(lambda x: x.reshape(accumulate, -1, *x.shape[1:]), batch)
        zeros = jax.tree.map(jnp.zeros_like, (state.window.loss, state.window.parts))
        start = (zeros, state.batch_stats, jax.tree.map(jnp.zeros_like, state.params))
        keys = jax.random.split(key, accumulate)
        (values, stats, grads), _ = lax.scan(micro_step, start, (micros, keys))
        return _divide(values, accumulate), stats, _divide(grads, accumulate)

    def device_step(state: TrainState, batch: dict[str, jax.Array]):
        values, stats, grads = gradients(state, batch)
        (values, stats), trained = mean_over_devices(
            (values, stats), trained_only(grads, patterns), AXIS, reduce_dtype
        )
        # The gradients of frozen parameters are zero on every device.
        grads = jax.tree.map(lambda own, mean: own if mean is None else mean, grads, trained)
        loss, parts = values
        grad_norm = jnp.sqrt(jnp.sum(jnp.square(_flat(grads))))
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        params = keep_frozen(params, state.params, patterns)
        stats = keep_frozen_norms(stats, state.batch_stats, patterns)
        ema = state.ema
        if ema_decay > 0:
            fresh = {"params": params, "batch_stats": stats}
            old = ema_weight(ema_decay, ema_warmup, state.step)
            ema = jax.tree.map(lambda a, b: old * a + (1 - old) * b, ema, fresh)
            before: Tree = state.ema
            ema = {
                "params": keep_frozen(ema["params"], before["params"], patterns),
                "batch_stats": keep_frozen_norms(
                    ema["batch_stats"], before["batch_stats"], patterns
                ),
            }

        restart = state.step % log_every == 0
        window = jax.tree.map(lambda x: jnp.where(restart, 0, x), state.window)
        window = _add(window, Window(jnp.ones(()), loss, grad_norm, parts))
        updated = TrainState(state.step + 1, params, stats, opt_state, ema, window)

        finite = jnp.isfinite(loss) & jnp.isfinite(grad_norm) & _all_finite((params, stats))
        kept = choose(finite, updated, state, platform)
        metrics = {
            "loss": window.loss / window.steps,
            **_divide(window.parts, window.steps),
            "grad_norm": window.grad_norm / window.steps,
            "lr": schedule(state.step),
            "finite": finite,
        }
        return kept, metrics

    # check_vma=False: the operators' custom gradients do not track varying axes. All averages are
    # explicit above, and a test compares 1 with 8 devices.
    mapped = jax.shard_map(
        device_step,
        mesh=mesh,
        in_specs=(EVERYWHERE, SPLIT),
        out_specs=(EVERYWHERE, EVERYWHERE),
        check_vma=False,
    )

    def train_step(state, batch):
        return mapped(state, batch)

    return jax.jit(train_step, donate_argnums=0)


def ema_weight(decay: float, warmup: int, step: jax.Array) -> float | jax.Array:
    """The weight of the old value in the moving average after `step` updates.

    With a warm-up, it is decay * (1 - exp(-(step + 1) / warmup)), and 0 at step 0. For a decay of
    0.9998 and a warm-up of 2000 this is the average of RTMPose (mmdetection's `ExpMomentumEMA`).

    Args:
      decay: `config.ema_decay`.
      warmup: `config.ema_warmup`, in steps; 0 for a constant weight.
      step: 0-based.
    """
    if not warmup:
        return decay
    grown = -decay * jnp.expm1(-(step.astype(jnp.float32) + 1) / warmup)
    return jnp.where(step == 0, 0, grown)


def choose(condition: jax.Array, a: Tree, b: Tree, platform: str) -> Tree:
    """Returns a if the condition holds, else b.

    A selection is a kernel for each array. On CPU, where the number of kernels decides how long
    compilation takes, a branch copies the arrays instead, and copies are not compiled: EL-HRNet's
    step then has 27 % fewer kernels and compiles in 0.86 of the time.

    Args:
      condition: bool scalar.
      a, b: trees of arrays with equal shapes and dtypes.
      platform: of the devices, such as "cpu".
    """
    if platform == "cpu":
        return lax.cond(condition, lambda a, b: a, lambda a, b: b, a, b)
    return jax.tree.map(lambda x, y: lax.select(condition, x, y), a, b)


def _flat(tree: Tree) -> jax.Array:
    """Concatenates all arrays to one vector.

    On CPU, sums over hundreds of small arrays compile to several kernels per shape: the update of
    HWL-MobileNetV3 compiles in half the time this way (9 s instead of 18).
    """
    return jnp.concatenate([x.ravel() for x in jax.tree.leaves(tree)])


def _add(a: Tree, b: Tree) -> Tree:
    return jax.tree.map(jnp.add, a, b)


def _divide(tree: Tree, by: int | jax.Array) -> Tree:
    return jax.tree.map(lambda x: x / by, tree)


def _all_finite(tree: Tree) -> jax.Array:
    return jnp.all(jnp.isfinite(_flat(tree)))
