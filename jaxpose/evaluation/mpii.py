"""PCKh on MPII, with the official head boxes or, without them, from the joints of the head."""

import pathlib

import numpy as np

from jaxpose import annotations, metrics
from jaxpose.evaluation import comparison
from jaxpose.evaluation.predictions import Predictions
from jaxpose.metrics.mpii import HEAD_SIZE

_UPPER_NECK, _HEAD_TOP = 8, 9


def scores(
    predictions: Predictions, truth: annotations.Dataset, head_boxes: pathlib.Path | None
) -> tuple[dict[str, float], list[str]]:
    """PCKh and what it rests on: the official head boxes, or the joints of the head.

    Raises:
        ValueError: annotations that are not MPII's; head boxes that cannot be read, or that are of
            fewer people than the annotations.
    """
    if truth.format != "mpii":
        raise ValueError(f"config.eval.metric=mpii needs an MPII file; {truth.path} is COCO's form")
    rows = predictions.annotation_id  # row numbers of the annotation file
    if head_boxes is not None:
        joints, labelled, boxes = read_truth(head_boxes)
        if len(joints) <= rows.max():
            raise ValueError(
                f"{head_boxes} holds {len(joints)} people, {truth.path} has a row {rows.max()}"
            )
        note = f"head sizes from {head_boxes}"
        # The file counts pixels from 1.
        joints, boxes = joints[rows] - 1, boxes[rows] - 1
        labelled = labelled[rows]
    else:
        compared = comparison.of_boxes(predictions, truth)
        joints, labelled = compared.joints, compared.labelled
        # 0.6 of the head box's diagonal stands for the length of the head; here it is measured.
        head = labelled[:, _UPPER_NECK] & labelled[:, _HEAD_TOP]
        length = np.linalg.norm(joints[:, _HEAD_TOP] - joints[:, _UPPER_NECK], axis=-1)
        boxes = np.zeros((len(rows), 2, 2))
        boxes[:, 1, 0] = length / HEAD_SIZE
        labelled = labelled & head[:, None]
        note = (
            "approximate: no head boxes given (config.data.head_boxes=mpii_gt_val.mat), head size "
            f"is the distance from upper neck to head top; {int((~head).sum())} of {len(rows)} "
            "people without both joints are left out"
        )
    return metrics.mpii_pckh(predictions.keypoints, joints, labelled, boxes), [note]


def read_truth(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reads mpii_gt_val.mat.

    Returns:
        joints [N, 16, 2] and head boxes [N, 2, 2] as (x1, y1), (x2, y2), 1-based pixels; labelled
        [N, 16] bool.

    Raises:
        ValueError: it cannot be read.
    """
    import scipy.io

    try:
        content = scipy.io.loadmat(path)
        missing, joints = content["jnt_missing"], content["pos_gt_src"]
        boxes = content["headboxes_src"]
    except (OSError, ValueError, KeyError, scipy.io.matlab.MatReadError) as error:
        raise ValueError(f"{path} cannot be read as mpii_gt_val.mat: {error}") from None
    return np.moveaxis(joints, -1, 0), missing.T == 0, np.moveaxis(boxes, -1, 0)
