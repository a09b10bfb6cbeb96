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
    """Computes the percentage of correct keypoints, relative to the torso.

    A keypoint is correct if its distance to the ground truth is at most `threshold` times the
    distance from the left hip to the right shoulder (the usual metric on Leeds Sports Pose; PCK is
    defined in Yang and Ramanan, "Articulated Human Detection with Flexible Mixtures of Parts", PAMI
    2013). Only people with both of these keypoints labeled count; the percentages are over all
    labeled keypoints of these people.

    Args:
      pred: [N, K, 2] (x, y).
      gt: [N, K, 2] (x, y), in the pixel frame of `pred`.
      visible: [N, K], nonzero where the ground truth is labeled.
      skeleton: keypoint names.
      threshold: largest distance of a correct keypoint, in torso lengths.

    Returns:
      {"PCK@0.2": percent over all keypoints (the key contains the threshold), keypoint name:
      percent, ...}; NaN if nothing is labeled.

    Raises:
      ValueError: the skeleton has no left hip or right shoulder, or the shapes do not match.
    """
    if skeleton.torso is None:
        raise ValueError(
            "PCK relative to the torso needs a left hip and a right shoulder; skeleton "
            f"{skeleton.name!r} has {', '.join(skeleton.joints)}"
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
