"""MPII PCKh (Andriluka et al., "2D Human Pose Estimation: New Benchmark and State of the Art
Analysis", CVPR 2014), as the public HRNet code evaluates the validation set."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from jaxpose.skeletons import MPII

# Head size as a fraction of the diagonal of the head box (the benchmark's constant).
HEAD_SIZE = 0.6
_COLUMNS = {
    "Head": (9,),
    "Shoulder": (12, 13),
    "Elbow": (11, 14),
    "Wrist": (10, 15),
    "Hip": (2, 3),
    "Knee": (1, 4),
    "Ankle": (0, 5),
}
# Pelvis and thorax are in no column and not in the mean; the upper neck (8) is only in the mean.
_OUTSIDE_MEAN = (6, 7)


def mpii_pckh(
    pred: ArrayLike, gt: ArrayLike, visible: ArrayLike, head_boxes: ArrayLike
) -> dict[str, float]:
    """Computes PCKh in percent: the columns of the MPII table, their mean, and the mean at 0.1.

    A joint is correct if its distance to the ground truth is at most 0.5 (for `Mean@0.1`: 0.1) of
    the head size, which is 0.6 times the diagonal of the head box. `Mean` is the mean over all
    joints except pelvis and thorax, weighted by their number of labels.

    All coordinates must be in the same pixel frame; nothing is added here. (MPII's own files are
    1-based, everything inside jaxpose is 0-based.)

    Args:
      pred: [N, 16, 2] (x, y).
      gt: [N, 16, 2] (x, y).
      visible: [N, 16], nonzero where the ground truth is labeled.
      head_boxes: [N, 2, 2] as (x1, y1), (x2, y2).

    Returns:
      Head Shoulder Elbow Wrist Hip Knee Ankle Mean Mean@0.1 as floats; NaN for a column without a
      labeled joint.

    Raises:
      ValueError: the shapes of the arrays do not match.
    """
    rate, count = pckh_per_joint(pred, gt, visible, head_boxes)
    fine, _ = pckh_per_joint(pred, gt, visible, head_boxes, threshold=0.1)
    scores = {}
    for column, joints in _COLUMNS.items():
        labeled = [rate[joint] for joint in joints if count[joint]]
        scores[column] = float(np.mean(labeled)) if labeled else float("nan")
    count[list(_OUTSIDE_MEAN)] = 0
    for name, values in (("Mean", rate), ("Mean@0.1", fine)):
        used = count > 0
        total = count[used].sum()
        mean = (values[used] * count[used]).sum() / total if total else np.nan
        scores[name] = float(mean)
    return scores


def pckh_per_joint(
    pred: ArrayLike,
    gt: ArrayLike,
    visible: ArrayLike,
    head_boxes: ArrayLike,
    threshold: float = 0.5,
) -> tuple[np.ndarray, np.ndarray]:
    """Computes PCKh per joint.

    Args:
      pred: as for `mpii_pckh`.
      gt: as for `mpii_pckh`.
      visible: as for `mpii_pckh`.
      head_boxes: as for `mpii_pckh`.
      threshold: allowed distance in head sizes.

    Returns:
      (percent [16], NaN for a joint without labels; number of labels [16]), in MPII's joint order.

    Raises:
      ValueError: the shapes of the arrays do not match.
    """
    pred, gt = np.asarray(pred, np.float64), np.asarray(gt, np.float64)
    visible = np.asarray(visible).astype(bool)
    head_boxes = np.asarray(head_boxes, np.float64)
    people, joints = len(gt), MPII.num_joints
    expected = {
        "pred": (pred, (people, joints, 2)),
        "gt": (gt, (people, joints, 2)),
        "visible": (visible, (people, joints)),
        "head_boxes": (head_boxes, (people, 2, 2)),
    }
    for name, (array, shape) in expected.items():
        if array.shape != shape:
            raise ValueError(f"{name} has shape {array.shape}, expected {shape}")
    size = HEAD_SIZE * np.linalg.norm(head_boxes[:, 1] - head_boxes[:, 0], axis=-1)
    # An empty head box gives inf or NaN, which never count as correct.
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.linalg.norm(pred - gt, axis=-1) / size[:, None]
    count = visible.sum(axis=0)
    hits = (visible & (error <= threshold)).sum(axis=0)
    return np.where(count > 0, 100 * hits / np.maximum(count, 1), np.nan), count
