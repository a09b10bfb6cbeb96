"""Training losses on heatmaps [B, h, w, K]; scalars out, float32 inside.

The heatmap weighting loss is that of HWL-MobileNetV3 (Shiqi Li and Xiang Xiang, "Lightweight Human
Pose Estimation Using Heatmap-Weighting Loss", equation 8). The equation prints an un-squared norm;
the authors' released code, and this one, have the squared error.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

# F of the target value g; the loss is weighted by F(g) + 1.
WEIGHT_FUNCTIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "none": jnp.zeros_like,
    "x": lambda g: g,
    "2x": lambda g: 2 * g,
    "x2": jnp.square,
    "exp": jnp.exp,
}


def heatmap_weighting_loss(
    pred: ArrayLike,
    target: ArrayLike,
    target_weight: ArrayLike | None = None,
    fn: str = "x",
    *,
    valid: ArrayLike | None = None,
) -> jax.Array:
    """Mean of (F(g) + 1) (t p - t g)^2 over batch, pixels and joints.

    There is no factor 0.5, and joints of weight 0 stay in the mean's denominator, as in the
    released code. `fn="none"` is the plain mean squared error.

    Args:
      pred: p, heatmaps [B, h, w, K].
      target: g, heatmaps [B, h, w, K].
      target_weight: t, [B, K]; None means 1 everywhere.
      fn: F, one of none (0), x (g), 2x (2 g), x2 (g^2), exp (e^g).
      valid: [B], False for the examples that only fill up a batch. The mean is then over the valid
        examples alone (0 when there is none); whatever stands in the others, NaN included, touches
        neither the value nor the gradient. Under `shard_map` the mean is over the valid examples
        of the shard: shards with different numbers of them need a weighted mean.

    Returns:
      A float32 scalar.

    Raises:
      ValueError: an unknown `fn`, or arrays whose shapes do not fit.
    """
    if fn not in WEIGHT_FUNCTIONS:
        near = difflib.get_close_matches(str(fn), WEIGHT_FUNCTIONS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"unknown weight function {fn!r} (known: {', '.join(WEIGHT_FUNCTIONS)}){hint}"
        )
    pred, target = _pair(pred, target)
    batch, _, _, joints = pred.shape
    if valid is not None:
        valid = _shaped("valid", valid, (batch,)).astype(bool)
        # Chosen before the arithmetic: a NaN behind a later mask would still poison the gradient.
        pred = jnp.where(valid[:, None, None, None], pred, 0)
        target = jnp.where(valid[:, None, None, None], target, 0)
    error = pred - target
    if target_weight is not None:
        weight = _shaped("target_weight", target_weight, (batch, joints)).astype(jnp.float32)
        if valid is not None:
            weight = jnp.where(valid[:, None], weight, 0)
        error = error * weight[:, None, None, :]
    loss = (WEIGHT_FUNCTIONS[fn](target) + 1) * jnp.square(error)
    if valid is None:
        return loss.mean()
    count = jnp.maximum(valid.sum(dtype=jnp.float32), 1)
    return loss.mean(axis=(1, 2, 3)).sum() / count


def masked_mse(pred: ArrayLike, target: ArrayLike, mask: ArrayLike) -> jax.Array:
    """Mean of mask * (pred - target)^2 over batch, pixels and channels.

    Args:
      pred, target: heatmaps [B, h, w, K].
      mask: [B, h, w], 1 where the loss counts and 0 where it is ignored; ignored pixels stay in
        the mean's denominator.

    Returns:
      A float32 scalar.

    Raises:
      ValueError: arrays whose shapes do not fit.
    """
    pred, target = _pair(pred, target)
    mask = _shaped("mask", mask, pred.shape[:3]).astype(jnp.float32)
    return (mask[..., None] * jnp.square(pred - target)).mean()


def _pair(pred: ArrayLike, target: ArrayLike) -> tuple[jax.Array, jax.Array]:
    pred, target = jnp.asarray(pred, jnp.float32), jnp.asarray(target, jnp.float32)
    if pred.ndim != 4 or pred.shape != target.shape:
        raise ValueError(
            f"pred {pred.shape} and target {target.shape} must both be heatmaps [B, h, w, K]"
        )
    return pred, target


def _shaped(name: str, array: ArrayLike, shape: tuple[int, ...]) -> jax.Array:
    # Checked, because a wrong shape may broadcast without a word.
    array = jnp.asarray(array)
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, expected {shape}")
    return array
