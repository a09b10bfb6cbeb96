"""PCKh on MPII, with the official head boxes or with head sizes from keypoints."""

from __future__ import annotations

import pathlib

import numpy as np

from jaxpose import metrics
from jaxpose.annotations import Dataset
from jaxpose.metrics.mpii import HEAD_SIZE
from jaxpose.tasks.comparison import compare_boxes
from jaxpose.wording import quantity

_UPPER_NECK, _HEAD_TOP = 8, 9


def pckh(
    rows: np.ndarray,
    keypoints: np.ndarray,
    dataset: Dataset,
    head_boxes: pathlib.Path | None,
) -> tuple[dict[str, float], str]:
    """PCKh in percent, and a note on the source of the head sizes.

    Args:
      rows: [N], row numbers in the annotation file.
      keypoints: [N, 16, 2], predicted, in image pixels.
      dataset: the annotations.
      head_boxes: mpii_gt_val.mat; None measures the head from upper neck to head top.

    Raises:
      ValueError: annotations in a format other than MPII's, or head boxes that cannot be read or
        lack annotated people.
    """
    if dataset.format != "mpii":
        raise ValueError(
            f"config.eval.metric=mpii needs an MPII annotation file; {dataset.path} is in COCO "
            "format"
        )
    if head_boxes is not None:
        joints, labeled, boxes = read_head_boxes(head_boxes)
        if len(joints) <= rows.max():
            raise ValueError(
                f"{head_boxes} has {quantity(len(joints), 'person', 'people')}, but "
                f"{dataset.path} refers to row {rows.max()}"
            )
        # Pixels are 1-based in this file.
        joints, boxes, labeled = joints[rows] - 1, boxes[rows] - 1, labeled[rows]
        note = f"head sizes from {head_boxes}"
    else:
        comparison = compare_boxes(rows, keypoints, dataset)
        joints, labeled = comparison.keypoints, comparison.labeled
        # The head size is 0.6 of the diagonal of the head box; this gives the measured length.
        head = labeled[:, _UPPER_NECK] & labeled[:, _HEAD_TOP]
        length = np.linalg.norm(joints[:, _HEAD_TOP] - joints[:, _UPPER_NECK], axis=-1)
        boxes = np.zeros((len(rows), 2, 2))
        boxes[:, 1, 0] = length / HEAD_SIZE
        labeled = labeled & head[:, None]
        note = (
            "approximate: without head boxes (config.data.head_boxes=mpii_gt_val.mat) the head "
            "size is the distance from upper neck to head top; people left out because they lack "
            f"one of the two: {int((~head).sum())} of {len(rows)}"
        )
    return metrics.mpii_pckh(keypoints, joints, labeled, boxes), note


def read_head_boxes(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reads mpii_gt_val.mat.

    Returns:
      Keypoints [N, 16, 2]; bool [N, 16], whether they are labeled; head boxes [N, 2, 2] as
      (x1, y1), (x2, y2). Pixels are 1-based.

    Raises:
      ValueError: the file cannot be read.
    """
    import scipy.io

    try:
        content = scipy.io.loadmat(path)
        missing, joints = content["jnt_missing"], content["pos_gt_src"]
        boxes = content["headboxes_src"]
    except (OSError, ValueError, KeyError, scipy.io.matlab.MatReadError) as error:
        raise ValueError(f"{path} cannot be read as mpii_gt_val.mat: {error}") from None
    return np.moveaxis(joints, -1, 0), missing.T == 0, np.moveaxis(boxes, -1, 0)
