"""Scores of people in annotated or detected boxes: AP/AR of COCO or CrowdPose, PCKh, PCK."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from jaxpose import geometry, metrics, skeletons
from jaxpose.annotations import Dataset
from jaxpose.tasks import mpii
from jaxpose.tasks.comparison import compare_boxes
from jaxpose.tasks.crops.prediction import CropPredictions, Predict, predict_all
from jaxpose.tasks.protocol import Batch
from jaxpose.tasks.scoring import (
    Case,
    Evaluation,
    Subset,
    annotated_pose,
    score_by_oks,
    torso_pck,
)
from jaxpose.wording import quantity


def describe_examples(config: ConfigDict) -> str:
    """The boxes that are evaluated."""
    return "detected boxes" if config.data.detections else "annotated boxes"


def metric_of(skeleton: skeletons.Skeleton) -> str:
    """MPII and CrowdPose have their own metrics; all other datasets use COCO's."""
    own = {skeletons.MPII.joints: "mpii", skeletons.CROWDPOSE.joints: "crowdpose"}
    return own.get(skeleton.joints, "coco")


def evaluate(
    predict: Predict,
    batches: Iterable[Batch],
    dataset: Dataset,
    config: ConfigDict,
    *,
    head_boxes: pathlib.Path | None = None,
) -> Evaluation:
    """See `Task.evaluate`."""
    predictions = predict_all(predict, batches)
    results = _results(predictions, dataset, config)
    comparison = None
    if not config.data.detections:
        comparison = compare_boxes(predictions.annotation_id, predictions.keypoints, dataset)
    if config.eval.metric == "mpii":
        scores, note = mpii.pckh(
            predictions.annotation_id, predictions.keypoints, dataset, head_boxes
        )
        return Evaluation(scores, scores["Mean"], results, [note], predictions, comparison)

    images = f"{quantity(len(dataset.images), 'image')} of {dataset.path}"
    notes = [f"{len(predictions.image_id)} {describe_examples(config)}, {images}"]
    subset = None
    if config.data.limit:
        notes.append(f"data.limit={config.data.limit}: only these people are scored")
        subset = Subset(
            frozenset(predictions.image_id.tolist()),
            frozenset(dataset.people.annotation_id.tolist()),
        )
    scores, truth = score_by_oks(dataset, subset, results, config.eval.metric, config.eval.area)
    scores |= torso_pck(comparison, dataset)
    return Evaluation(scores, scores["AP"], results, notes, predictions, comparison, truth)


def predict_results(
    predict: Predict, batches: Iterable[Batch], dataset: Dataset, config: ConfigDict
) -> list[dict[str, Any]]:
    """See `Task.predict_results`. People are rescored, and duplicates are removed by OKS."""
    return _results(predict_all(predict, batches), dataset, config)


def _results(
    predictions: CropPredictions, dataset: Dataset, config: ConfigDict
) -> list[dict[str, Any]]:
    results = metrics.assemble_results(
        predictions.image_id,
        predictions.keypoints,
        predictions.scores,
        predictions.box_score,
        predictions.scale,
        annotation_id=predictions.annotation_id,
        category_id=dataset.category_id,
        sigmas=dataset.skeleton.sigmas,
        rescore_threshold=config.eval.rescore_threshold,
        oks_nms_threshold=config.eval.oks_nms,
    )
    return dataset.with_original_ids(results)


def worst_cases(evaluation: Evaluation, count: int) -> list[Case]:
    """One person per case, shown in the crop that the network received."""
    predictions, comparison = evaluation.predictions, evaluation.comparison
    if comparison is None:
        return []
    cases = []
    for row in np.argsort(comparison.similarity, kind="stable")[:count]:
        sides = geometry.PIXEL_STD * predictions.scale[row]
        corner = predictions.center[row] - sides / 2
        x0, y0 = np.maximum(corner, 0).astype(int)
        x1, y1 = np.ceil(corner + sides).astype(int)
        caption = (
            f"person {comparison.annotation_id[row]}: OKS {comparison.similarity[row]:.3f}, "
            f"mean score {predictions.scores[row].mean():.2f}"
        )
        cases.append(
            Case(
                int(predictions.image_id[row]),
                caption,
                [annotated_pose(comparison, row)],
                [(predictions.keypoints[row], None)],
                (x0, y0, x1, y1),
            )
        )
    return cases
