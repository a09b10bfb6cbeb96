"""Annotated people and the results that COCO's evaluation matches with them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxpose.metrics import coco

LOOSE = 0.1  # lowest OKS of a match whose keypoints are analyzed, as in Ronchi and Perona's code
THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).round(2).tolist())  # of COCO's AP


@dataclasses.dataclass(frozen=True)
class Matching:
    """P annotated people that count (no crowds, at least one labeled keypoint), one row each.

    Attributes:
      image_id, area: [P].
      keypoints, labeled: [P, K, 2] in pixels, and bool [P, K].
      loose, strict: [P, K, 2], the matched result at an OKS of at least `LOOSE` and 0.5; NaN
        without a match.
      unmatched: number of results that match nobody at `LOOSE`, of the 20 best of each image.
      recall: [101], the recalls of the precision-recall curve.
      precision: [10, 101], highest precision at each recall or above, for each of `THRESHOLDS`; -1
        if nobody counts.
    """

    image_id: np.ndarray
    area: np.ndarray
    keypoints: np.ndarray
    labeled: np.ndarray
    loose: np.ndarray
    strict: np.ndarray
    unmatched: int
    recall: np.ndarray
    precision: np.ndarray


def match(
    annotation_file: coco.Annotations,
    results: Sequence[Mapping[str, Any]],
    sigmas: Sequence[float],
) -> Matching:
    """Matches results with people, by the greedy matching of COCO's evaluation.

    Args:
      annotation_file: as for `metrics.coco_keypoints`.
      results: the COCO results list.
      sigmas: [K] OKS sigmas.

    Raises:
      ValueError: as `metrics.coco_keypoints`.
    """
    from pycocotools.cocoeval import COCOeval

    truth = coco.as_truth(annotation_file)
    predictions = coco.load_results(truth, results)
    with coco.quiet():
        evaluation = COCOeval(truth.coco, predictions, "keypoints")
        evaluation.params.kpt_oks_sigmas = np.asarray(sigmas, np.float64)
        evaluation.params.iouThrs = np.array([LOOSE, *THRESHOLDS])
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    people: list[dict[str, Any]] = []
    matches: list[tuple[int, int]] = []  # ids of results at the first two thresholds; 0 for none
    unmatched = 0
    for image in filter(None, evaluation.evalImgs):
        counted = np.flatnonzero(np.logical_not(image["gtIgnore"]))
        people += [truth.coco.anns[image["gtIds"][index]] for index in counted]
        matches += [tuple(image["gtMatches"][:2, index].astype(int)) for index in counted]
        free = (image["dtMatches"][0] == 0) & ~image["dtIgnore"][0].astype(bool)
        unmatched += int(free.sum())
    count, joints = len(people), len(truth.names)
    values = np.array([p["keypoints"] for p in people], np.float64).reshape(count, joints, 3)
    matched = np.full((2, count, joints, 2), np.nan)
    for row, pair in enumerate(matches):
        for level, identity in enumerate(pair):
            if identity:
                points = np.asarray(predictions.anns[identity]["keypoints"], np.float64)
                matched[level, row] = points.reshape(joints, 3)[:, :2]
    return Matching(
        image_id=np.array([person["image_id"] for person in people], np.int64),
        area=np.array([person["area"] for person in people], np.float64),
        keypoints=values[..., :2],
        labeled=values[..., 2] > 0,
        loose=matched[0],
        strict=matched[1],
        unmatched=unmatched,
        recall=np.asarray(evaluation.params.recThrs),
        # One category, area range "all", the 20 best results per image.
        precision=evaluation.eval["precision"][1:, :, 0, 0, 0],
    )
