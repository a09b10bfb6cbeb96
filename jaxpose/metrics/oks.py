"""Object keypoint similarity (OKS), and conversion of predictions to COCO results.

Rescoring and non-maximum suppression follow the public HRNet and mmpose 0.x code.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jaxpose import geometry


def keypoint_similarity(
    first: ArrayLike, second: ArrayLike, area: ArrayLike, sigmas: ArrayLike
) -> np.ndarray:
    """Computes the similarity per keypoint: exp(-d^2 / (2 (2 sigma)^2 area)), d their distance.

    Args:
      first: [..., K, 2] (x, y) in image pixels.
      second: like `first`; leading axes broadcast.
      area: [...], area of the person, square pixels.
      sigmas: [K] OKS sigmas of the skeleton.

    Returns:
      [..., K] float64 in 0..1.
    """
    squared = ((np.asarray(first, np.float64) - np.asarray(second, np.float64)) ** 2).sum(-1)
    areas = np.asarray(area, np.float64) + np.spacing(1)
    variances = (2 * np.asarray(sigmas, np.float64)) ** 2
    return np.exp(-squared / (2 * variances * areas[..., None]))


def oks(
    first: ArrayLike,
    second: ArrayLike,
    area: ArrayLike,
    sigmas: ArrayLike,
    labeled: ArrayLike | None = None,
) -> np.ndarray:
    """Computes the object keypoint similarity: the mean of `keypoint_similarity`.

    Args:
      first: as for `keypoint_similarity`.
      second: as for `keypoint_similarity`.
      area: as for `keypoint_similarity`.
      sigmas: as for `keypoint_similarity`.
      labeled: bool [..., K], the keypoints to average over; None for all.

    Returns:
      [...] float64 in 0..1; 0 if no keypoint is labeled.

    >>> predicted, truth = [[100, 100], [200, 100]], [[103, 104], [200, 100]]
    >>> float(oks(predicted, truth, area=10_000, sigmas=[0.05, 0.05]).round(4))
    0.9412
    """
    similarity = keypoint_similarity(first, second, area, sigmas)
    if labeled is None:
        return similarity.mean(-1)
    labeled = np.asarray(labeled, bool)
    return (similarity * labeled).sum(-1) / np.maximum(labeled.sum(-1), 1)


def oks_nms(
    keypoints: ArrayLike,
    scores: ArrayLike,
    areas: ArrayLike,
    sigmas: ArrayLike,
    threshold: float = 0.9,
) -> list[int]:
    """Selects the predictions of one image to keep (non-maximum suppression by OKS).

    Greedy by score: a prediction is dropped if its OKS with a kept prediction of higher score is
    above `threshold`. The area in the OKS is the mean of the two areas.

    Args:
      keypoints: [N, K, 2] (x, y); a third column is ignored.
      scores: [N]; equal scores keep their order.
      areas: [N], areas of the padded crops (200 scale_x * 200 scale_y), square pixels.
      sigmas: [K] OKS sigmas.
      threshold: largest OKS that is not suppressed.

    Returns:
      Indexes of the kept predictions, best first.
    """
    points = np.asarray(keypoints, np.float64)[..., :2]
    areas = np.asarray(areas, np.float64)
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    kept: list[int] = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        similar = oks(points[best], points[rest], (areas[best] + areas[rest]) / 2, sigmas)
        order = rest[similar <= threshold]
    return kept


def rescore(
    box_scores: ArrayLike, keypoint_scores: ArrayLike, threshold: float = 0.2
) -> np.ndarray:
    """Computes person scores: box score times the mean of the keypoint scores above `threshold`.

    Args:
      box_scores: [N].
      keypoint_scores: [N, K].
      threshold: keypoints with this score or less are ignored; the result is 0 if none is left.

    Returns:
      [N] float64.
    """
    keypoint_scores = np.asarray(keypoint_scores, np.float64)
    good = keypoint_scores > threshold
    total = np.where(good, keypoint_scores, 0).sum(axis=-1)
    return np.asarray(box_scores, np.float64) * total / np.maximum(good.sum(axis=-1), 1)


def assemble_results(
    image_id: ArrayLike,
    keypoints: ArrayLike,
    scores: ArrayLike,
    box_score: ArrayLike,
    scale: ArrayLike,
    *,
    sigmas: ArrayLike,
    annotation_id: ArrayLike | None = None,
    category_id: int = 1,
    rescore_threshold: float = 0.2,
    oks_nms_threshold: float = 0.9,
) -> list[dict[str, Any]]:
    """Converts the predictions of a dataset to a COCO results list.

    Per image: sort by box id, drop repeated ids, rescore, OKS-NMS. With ids, the order of the rows
    does not matter.

    Args:
      image_id: [N] integers.
      keypoints: [N, K, 2] (x, y) in image pixels.
      scores: [N, K] keypoint scores.
      box_score: [N] box scores (1 for ground-truth boxes).
      scale: [N, 2], size of the crops in units of 200 pixels; the OKS-NMS uses their area.
      sigmas: [K] OKS sigmas.
      annotation_id: [N] integer ids of the boxes, unique per image; None keeps all rows.
      category_id: written into the results.
      rescore_threshold: see `rescore`.
      oks_nms_threshold: see `oks_nms`; 1 or more disables the suppression.

    Returns:
      [{image_id, category_id, keypoints (3K floats: x, y, score), score}], sorted by image id and
      then by score, highest first.
    """
    image_id = np.asarray(image_id, np.int64)
    keypoints = np.asarray(keypoints, np.float64)
    scores = np.asarray(scores, np.float64)
    ids = np.arange(len(image_id)) if annotation_id is None else np.asarray(annotation_id)
    people = rescore(box_score, scores, rescore_threshold)
    areas = np.prod(np.asarray(scale, np.float64) * geometry.PIXEL_STD, axis=-1)
    groups: dict[int, dict[int, int]] = {}  # image -> box id -> first row
    for row in np.lexsort((ids, image_id)).tolist():
        groups.setdefault(int(image_id[row]), {}).setdefault(int(ids[row]), row)

    results = []
    for image, boxes in groups.items():
        rows = np.array(list(boxes.values()))
        kept = oks_nms(keypoints[rows], people[rows], areas[rows], sigmas, oks_nms_threshold)
        for row in rows[kept].tolist():
            values = np.concatenate([keypoints[row], scores[row][:, None]], axis=1)
            results.append(
                {
                    "image_id": image,
                    "category_id": category_id,
                    "keypoints": values.ravel().tolist(),
                    "score": float(people[row]),
                }
            )
    return results
