"""Training losses on heatmaps [B, h, w, K], tags and SimCC vectors [B, K, n].

They compute in float32 and return scalars.

The heatmap weighting loss is from HWL-MobileNetV3 (Shiqi Li and Xiang Xiang, "Lightweight Human
Pose Estimation Using Heatmap-Weighting Loss", equation 8). The equation is printed with a norm that
is not squared; the authors' released code, and this one, use the squared error.

The soft-boundary loss is the weighted heatmap loss of WLitePose (equations 2 to 4), with the weight
of SWAHR (Luo et al., "Rethinking the Heatmap Regression for Bottom-up Human Pose Estimation", CVPR
2021). The associative-embedding loss is from Newell, Huang and Deng, "Associative Embedding", NIPS
2017, in the form of HigherHRNet's code. The loss of SimCC vectors is that of RTMPose's code
(`KLDiscretLoss` in mmpose 1.x).
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
    """Computes the mean of (F(g) + 1) (t p - t g)^2 over batch, pixels and keypoints.

    There is no factor 0.5, and keypoints of weight 0 count in the denominator of the mean, as in
    the released code. `fn="none"` gives the plain mean squared error.

    Args:
      pred: p, heatmaps [B, h, w, K].
      target: g, heatmaps [B, h, w, K].
      target_weight: t, [B, K]; None means 1 everywhere.
      fn: F, one of none (0), x (g), 2x (2 g), x2 (g^2), exp (e^g).

    Returns:
      A float32 scalar.

    Raises:
      ValueError: an unknown `fn`, or the shapes of the arrays do not match.
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
    """Computes the mean of mask * (pred - target)^2 over batch, pixels and channels.

    Args:
      pred: heatmaps [B, h, w, K].
      target: heatmaps [B, h, w, K].
      mask: [B, h, w], 1 where the loss counts and 0 where it is ignored; ignored pixels count in
        the denominator of the mean.

    Returns:
      A float32 scalar.

    Raises:
      ValueError: the shapes of the arrays do not match.
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
    """Computes the mean of mask W (P - H)^2 with W = |P| (1 - H^tau) + |1 - P| H^tau.

    H^tau is 0 where the target is 0 and, for a small tau, close to 1 elsewhere. Pixels of the
    (truncated) Gaussians therefore have the weight |1 - P|, all others |P|. P is the raw output of
    the network. The loss is 0 at P = H, and for H > 0 also at P = 1: with a gradient through W,
    predictions above about (2 + H) / 3 move towards 1. SWAHR's code propagates this gradient;
    WLitePose does not specify it.

    Args:
      pred: P, heatmaps [B, h, w, K].
      target: H, heatmaps [B, h, w, K] of values 0..1; no gradient flows to it.
      mask: [B, h, w], 1 where the loss counts and 0 where it is ignored; None means 1 everywhere.
        Ignored pixels count in the denominator of the mean.
      tau: positive; sets the soft boundary, H = 0.5^(1 / tau).
      detach_weight: whether to stop the gradient through W.

    Returns:
      A float32 scalar.

    Raises:
      ValueError: the shapes of the arrays do not match.
    """
    pred, target = _pair(pred, target)
    target = jax.lax.stop_gradient(target)
    # Zeros are excluded: their power has no finite derivative, their logarithm no finite value.
    power = jnp.where(target > 0, jnp.exp(tau * jnp.log(jnp.where(target > 0, target, 1))), 0)
    weight = jnp.abs(pred) * (1 - power) + jnp.abs(1 - pred) * power
    if detach_weight:
        weight = jax.lax.stop_gradient(weight)
    loss = weight * jnp.square(pred - target)
    if mask is not None:
        loss = loss * _shaped("mask", mask, pred.shape[:3]).astype(jnp.float32)[..., None]
    return loss.mean()


def associative_embedding_loss(tags: ArrayLike, joints: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """Computes pull and push losses of the tags at the keypoints, unweighted means over the batch.

    m_n is the mean tag over the valid keypoints of person n, and N the number of people with a
    valid keypoint:
    pull = 1/N sum_n mean_k (t_nk - m_n)^2 and
    push = 1/2 sum_{n != n'} exp(-(m_n - m_n')^2) / (N (N - 1)), which is 0 for N < 2. For N = 0
    both are 0 with zero gradients. Gradients flow through m in both.

    Args:
      tags: [B, h, w, K], one tag map per keypoint.
      joints: int [B, P, K, 3] as (x, y, valid) in pixels of the maps, as returned by
        `associative_embedding.encode`. Keypoints outside the maps count as not valid.

    Returns:
      (pull, push), two float32 scalars.

    Raises:
      ValueError: the shapes of the arrays do not match.
    """
    tags, joints = jnp.asarray(tags, jnp.float32), jnp.asarray(joints)
    if tags.ndim != 4:
        raise ValueError(f"tags have shape {tags.shape}, expected [B, h, w, K]")
    batch, height, width, channels = tags.shape
    if joints.ndim != 4 or joints.shape != (batch, joints.shape[1], channels, 3):
        raise ValueError(f"joints have shape {joints.shape}, expected ({batch}, P, {channels}, 3)")
    x, y = joints[..., 0], joints[..., 1]
    valid = (joints[..., 2] > 0) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    positions = jnp.where(valid, y * width + x, 0)
    flat = tags.reshape(batch, height * width, channels)
    # Invalid tags are set to 0 before any arithmetic, and denominators are clipped before dividing:
    # a NaN behind a later mask would still reach the gradient.
    person_tags = jnp.where(valid, jnp.take_along_axis(flat, positions, axis=1), 0)  # [B, P, K]

    joint_count = valid.sum(-1)
    present = joint_count > 0
    count = present.sum(-1)  # N, people per image
    divisor = jnp.maximum(joint_count, 1)
    mean = person_tags.sum(-1) / divisor
    spread = jnp.where(valid, jnp.square(person_tags - mean[..., None]), 0).sum(-1) / divisor
    pull = spread.sum(-1) / jnp.maximum(count, 1)

    others = present[:, :, None] & present[:, None, :] & ~np.eye(joints.shape[1], dtype=bool)
    near = jnp.where(others, jnp.exp(-jnp.square(mean[:, :, None] - mean[:, None, :])), 0)
    push = 0.5 * near.sum((1, 2)) / jnp.maximum(count * (count - 1), 1)
    return pull.mean(), push.mean()


def simcc_kl(
    pred_x: ArrayLike,
    pred_y: ArrayLike,
    target_x: ArrayLike,
    target_y: ArrayLike,
    target_weight: ArrayLike | None = None,
    beta: float = 10.0,
    label_softmax: bool = True,
) -> jax.Array:
    """Computes 1/K sum w (l_x + l_y) over batch and keypoints, the KL divergence of SimCC vectors.

    For an axis with N bins, logits z and targets t, l = 1/N sum_i q_i (log q_i - log p_i) with
    p = softmax(beta z) and q = softmax(beta t). This is a sum over the batch, so it grows with it;
    keypoints of weight 0 count in K.

    Args:
      pred_x: z, [B, K, n].
      pred_y: z, [B, K, m].
      target_x: t, [B, K, n]; no gradient flows to it.
      target_y: t, [B, K, m]; no gradient flows to it.
      target_weight: w, [B, K]; None means 1 everywhere.
      beta: factor of logits and targets.
      label_softmax: False takes q = t, with 0 log 0 = 0.

    Returns:
      A float32 scalar.

    Raises:
      ValueError: the shapes of the arrays do not match.
    """

    def divergence(pred: ArrayLike, target: ArrayLike, axis: str) -> jax.Array:
        logits, labels = jnp.asarray(pred, jnp.float32), jnp.asarray(target, jnp.float32)
        if logits.ndim != 3 or logits.shape != labels.shape:
            raise ValueError(
                f"pred_{axis} {logits.shape} and target_{axis} {labels.shape} must both be "
                "[B, K, bins]"
            )
        labels = jax.lax.stop_gradient(labels)
        if label_softmax:
            log_q = jax.nn.log_softmax(beta * labels)
            q = jnp.exp(log_q)
        else:
            q = labels
            log_q = jnp.log(jnp.where(q > 0, q, 1))
        return (q * (log_q - jax.nn.log_softmax(beta * logits))).mean(-1)

    of_x, of_y = divergence(pred_x, target_x, "x"), divergence(pred_y, target_y, "y")
    if of_x.shape != of_y.shape:
        raise ValueError(f"pred_x and pred_y have batch and keypoints {of_x.shape}, {of_y.shape}")
    loss = of_x + of_y
    if target_weight is not None:
        loss = loss * _shaped("target_weight", target_weight, loss.shape).astype(jnp.float32)
    return loss.sum() / loss.shape[1]


def _pair(pred: ArrayLike, target: ArrayLike) -> tuple[jax.Array, jax.Array]:
    pred, target = jnp.asarray(pred, jnp.float32), jnp.asarray(target, jnp.float32)
    if pred.ndim != 4 or pred.shape != target.shape:
        raise ValueError(
            f"pred {pred.shape} and target {target.shape} must both be heatmaps [B, h, w, K]"
        )
    return pred, target


def _shaped(name: str, array: ArrayLike, shape: tuple[int, ...]) -> jax.Array:
    # Checked because a wrong shape may broadcast silently.
    array = jnp.asarray(array)
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, expected {shape}")
    return array
