"""PCK relative to the torso, for any skeleton with hips and shoulders."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from jaxpose.skeletons import Skeleton


def pck_torso(
    pred: ArrayLike,
    gt: ArrayLike,
    visible: ArrayLike,
    skeleton: Skeleton,
    threshold: float = 0.2,
) -> dict[str, float]:
    """Percentage of correct keypoints, in units of the torso.

    A joint is correct when its distance to the ground truth is at most `threshold` times the
    distance from the left hip to the right shoulder (the usual score on Leeds Sports Pose; Yang
    and Ramanan, "Articulated Human Detection with Flexible Mixtures of Parts", PAMI 2013, for PCK).
    Only people with both of these joints labeled count; hits and labeled joints are pooled over
    them.

    Args:
      pred: [N, K, 2] (x, y).
      gt: [N, K, 2] (x, y), in the pixel frame of `pred`.
      visible: [N, K], nonzero where the ground truth is labeled.
      skeleton: names the joints.
      threshold: allowed distance in torso lengths.

    Returns:
      {"PCK@0.2": percent over all joints (the key names the threshold), joint name: percent, ...};
      NaN where nothing is labeled.

    Raises:
      ValueError: a skeleton without left hip or right shoulder, or arrays of another shape.
    """
    if skeleton.torso is None:
        raise ValueError(
            f"PCK of the torso needs a left hip and a right shoulder; skeleton {skeleton.name!r} "
            f"has {', '.join(skeleton.joints)}"
        )
    pred, gt = np.asarray(pred, np.float64), np.asarray(gt, np.float64)
    visible = np.asarray(visible).astype(bool)
    shape = (len(gt), skeleton.num_joints)
    for name, array, expected in (
        ("pred", pred, (*shape, 2)),
        ("gt", gt, (*shape, 2)),
        ("visible", visible, shape),
    ):
        if array.shape != expected:
            raise ValueError(f"{name} has shape {array.shape}, expected {expected}")
    hip, shoulder = skeleton.torso
    torso = np.linalg.norm(gt[:, hip] - gt[:, shoulder], axis=-1)
    counted = visible & (visible[:, hip] & visible[:, shoulder])[:, None]
    distance = np.linalg.norm(pred - gt, axis=-1)
    hits = (counted & (distance <= threshold * torso[:, None])).sum(axis=0)
    count = counted.sum(axis=0)
    scores = {f"PCK@{threshold:g}": _percent(hits.sum(), count.sum())}
    scores.update(
        (joint, _percent(hits[index], count[index])) for index, joint in enumerate(skeleton.joints)
    )
    return scores


def _percent(hits: np.integer, count: np.integer) -> float:
    return float(100 * hits / count) if count else float("nan")
