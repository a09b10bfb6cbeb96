"""Training losses on heatmaps [B, h, w, K] and tags; scalars out, float32 inside.

The heatmap weighting loss is that of HWL-MobileNetV3 (Shiqi Li and Xiang Xiang, "Lightweight Human
Pose Estimation Using Heatmap-Weighting Loss", equation 8). The equation prints an un-squared norm;
the authors' released code, and this one, have the squared error.

The soft-boundary loss is the weighted heatmap loss of WLitePose (equations 2 to 4), whose weight is
that of SWAHR (Luo et al., "Rethinking the Heatmap Regression for Bottom-up Human Pose Estimation",
CVPR 2021). The associative-embedding loss is that of Newell, Huang and Deng, "Associative
Embedding", NIPS 2017, in the form of HigherHRNet's code.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxpose.choices import choose_from

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
) -> jax.Array:
    """Mean of (F(g) + 1) (t p - t g)^2 over batch, pixels and joints.

    There is no factor 0.5, and joints of weight 0 stay in the mean's denominator, as in the
    released code. `fn="none"` is the plain mean squared error.

    Args:
      pred: p, heatmaps [B, h, w, K].
      target: g, heatmaps [B, h, w, K].
      target_weight: t, [B, K]; None means 1 everywhere.
      fn: F, one of none (0), x (g), 2x (2 g), x2 (g^2), exp (e^g).

    Returns:
      A float32 scalar.

    Raises:
      ValueError: an unknown `fn`, or arrays whose shapes do not fit.
    """
    if fn not in WEIGHT_FUNCTIONS:
        raise ValueError(f"unknown weight function {fn!r}; {choose_from(fn, WEIGHT_FUNCTIONS)}")
    pred, target = _pair(pred, target)
    batch, _, _, joints = pred.shape
    error = pred - target
    if target_weight is not None:
        weight = _shaped("target_weight", target_weight, (batch, joints)).astype(jnp.float32)
        error = error * weight[:, None, None, :]
    return ((WEIGHT_FUNCTIONS[fn](target) + 1) * jnp.square(error)).mean()


def masked_mse(pred: ArrayLike, target: ArrayLike, mask: ArrayLike) -> jax.Array:
    """Mean of mask * (pred - target)^2 over batch, pixels and channels.

    Args:
      pred: heatmaps [B, h, w, K].
      target: heatmaps [B, h, w, K].
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


def soft_boundary_loss(
    pred: ArrayLike,
    target: ArrayLike,
    mask: ArrayLike | None = None,
    tau: float = 0.01,
    *,
    detach_weight: bool = False,
) -> jax.Array:
    """Mean of mask W (P - H)^2 with W = |P| (1 - H^tau) + |1 - P| H^tau.

    H^tau is 0 where the target is 0 and, for a small tau, close to 1 wherever it is not: pixels of
    the (truncated) Gaussians are weighted by |1 - P|, all others by |P|. P is the raw output of the
    network. The loss vanishes at P = H, and also at P = 1 where 0 < H: with the gradient flowing
    through W, predictions above about (2 + H) / 3 are drawn up to 1. SWAHR's code lets it flow;
    WLitePose does not say.

    Args:
      pred: P, heatmaps [B, h, w, K].
      target: H, heatmaps [B, h, w, K] of values 0..1; no gradient flows to it.
      mask: [B, h, w], 1 where the loss counts and 0 where it is ignored; None means 1 everywhere.
        Ignored pixels stay in the mean's denominator.
      tau: positive; where the boundary lies, H = 0.5^(1 / tau).
      detach_weight: no gradient flows through W.

    Returns:
      A float32 scalar.

    Raises:
      ValueError: arrays whose shapes do not fit.
    """
    pred, target = _pair(pred, target)
    target = jax.lax.stop_gradient(target)
    # Powers of 0 have no finite derivative, and the logarithm of 0 no value: 0 is left out of both.
    power = jnp.where(target > 0, jnp.exp(tau * jnp.log(jnp.where(target > 0, target, 1))), 0)
    weight = jnp.abs(pred) * (1 - power) + jnp.abs(1 - pred) * power
    if detach_weight:
        weight = jax.lax.stop_gradient(weight)
    loss = weight * jnp.square(pred - target)
    if mask is not None:
        loss = loss * _shaped("mask", mask, pred.shape[:3]).astype(jnp.float32)[..., None]
    return loss.mean()


def associative_embedding_loss(tags: ArrayLike, joints: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """(pull, push) of the tags at people's joints; means over the batch, unweighted.

    With m_n the mean tag over the joints of person n, over the N people with any joint:
    pull = 1/N sum_n mean_k (t_nk - m_n)^2 and
    push = 1/2 sum_{n != n'} exp(-(m_n - m_n')^2) / (N (N - 1)), 0 when N < 2. Both are 0, with zero
    gradients, when nobody has a joint. Gradients flow through m in both.

    Args:
      tags: [B, h, w, K], one tag map a joint.
      joints: int [B, P, K, 3] as (x, y, valid) on the maps' grid, as
        `associative_embedding.encode` makes them. Joints outside the maps count as not valid.

    Returns:
      Two float32 scalars.

    Raises:
      ValueError: arrays whose shapes do not fit.
    """
    tags, joints = jnp.asarray(tags, jnp.float32), jnp.asarray(joints)
    if tags.ndim != 4:
        raise ValueError(f"tags have shape {tags.shape}, expected [B, h, w, K]")
    batch, height, width, channels = tags.shape
    if joints.ndim != 4 or joints.shape != (batch, joints.shape[1], channels, 3):
        raise ValueError(f"joints have shape {joints.shape}, expected ({batch}, P, {channels}, 3)")
    x, y = joints[..., 0], joints[..., 1]
    valid = (joints[..., 2] > 0) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    place = jnp.where(valid, y * width + x, 0)
    flat = tags.reshape(batch, height * width, channels)
    # Unused places are set to 0 before any arithmetic, and denominators are kept from 0 before
    # dividing: a NaN behind a later mask would still poison the gradient.
    found = jnp.where(valid, jnp.take_along_axis(flat, place, axis=1), 0)  # [B, P, K]

    joint_count = valid.sum(-1)
    present = joint_count > 0
    count = present.sum(-1)  # people of each image, N
    divisor = jnp.maximum(joint_count, 1)
    mean = found.sum(-1) / divisor
    spread = jnp.where(valid, jnp.square(found - mean[..., None]), 0).sum(-1) / divisor
    pull = spread.sum(-1) / jnp.maximum(count, 1)

    others = present[:, :, None] & present[:, None, :] & ~np.eye(joints.shape[1], dtype=bool)
    near = jnp.where(others, jnp.exp(-jnp.square(mean[:, :, None] - mean[:, None, :])), 0)
    push = 0.5 * near.sum((1, 2)) / jnp.maximum(count * (count - 1), 1)
    return pull.mean(), push.mean()


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
