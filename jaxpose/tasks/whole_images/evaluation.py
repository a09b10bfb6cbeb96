"""Scores of the people found in whole images: COCO's or CrowdPose's AP, and PCK."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from jaxpose import draw
from jaxpose.annotations import Dataset
from jaxpose.tasks.comparison import compare_images
from jaxpose.tasks.protocol import Batch
from jaxpose.tasks.scoring import (
    Case,
    Evaluation,
    Subset,
    annotated_pose,
    score_by_oks,
    torso_pck,
)
from jaxpose.tasks.whole_images.prediction import ImagePredictions, Predict, predict_all
from jaxpose.wording import agree, quantity


def describe_examples(config: ConfigDict) -> str:
    """The examples that are evaluated."""
    del config
    return "images"


def evaluate(
    predict: Predict,
    batches: Iterable[Batch],
    dataset: Dataset,
    config: ConfigDict,
    *,
    head_boxes: pathlib.Path | None = None,
) -> Evaluation:
    """See `Task.evaluate`. There is one result per person, with the network's person score."""
    del head_boxes
    predictions = predict_all(predict, batches, dataset.skeleton.num_joints)
    notes, subset = [], None
    if config.data.limit:
        notes.append(f"data.limit={config.data.limit}: only these images are scored")
        subset = Subset(frozenset(predictions.image_ids.tolist()))
    return score(predictions, dataset, config.eval.metric, notes, subset, area=config.eval.area)


def predict_results(
    predict: Predict, batches: Iterable[Batch], dataset: Dataset, config: ConfigDict
) -> list[dict[str, Any]]:
    """See `Task.predict_results`."""
    del config
    predictions = predict_all(predict, batches, dataset.skeleton.num_joints)
    return dataset.with_original_ids(predictions.results(dataset.category_id))


def score(
    predictions: ImagePredictions,
    dataset: Dataset,
    metric: str,
    notes: list[str],
    subset: Subset | None = None,
    *,
    area: str = "annotated",
) -> Evaluation:
    """Scores the people predicted in whole images.

    Args:
      predictions: of all images to score.
      dataset: the annotations.
      metric: "coco" or "crowdpose".
      notes: sentences about `subset`.
      subset: the part of the dataset to score; None for all of it.
      area: `config.eval.area`.

    Raises:
      ValueError: annotations that do not suit the metric.
    """
    results = dataset.with_original_ids(predictions.results(dataset.category_id))
    comparison = compare_images(
        predictions.image_ids, predictions.image_id, predictions.keypoints, dataset
    )
    images = f"{quantity(len(predictions.image_ids), 'image')} of {dataset.path}"
    notes = [
        f"{quantity(len(predictions.image_id), 'person', 'people')} predicted in {images}",
        *notes,
    ]
    scores, truth = score_by_oks(dataset, subset, results, metric, area)
    pck = torso_pck(comparison, dataset)
    if pck:
        missed = int(np.count_nonzero(~np.isfinite(comparison.predicted).all((1, 2))))
        notes.append(
            "PCK compares each annotated person with the predicted person of highest OKS; "
            f"{missed} of {quantity(len(comparison.image_id), 'person', 'people')} "
            f"{agree(missed, 'is in an image', 'are in images')} without a prediction, so "
            "all of their keypoints count as wrong"
        )
    return Evaluation(scores | pck, scores["AP"], results, notes, predictions, comparison, truth)


def worst_cases(evaluation: Evaluation, count: int) -> list[Case]:
    """One whole image per case, ordered by the mean OKS of its annotated people."""
    predictions, comparison = evaluation.predictions, evaluation.comparison
    if comparison is None:
        return []
    identities, place = np.unique(comparison.image_id, return_inverse=True)
    means = np.bincount(place, comparison.similarity) / np.bincount(place)
    cases = []
    for number in np.argsort(means, kind="stable")[:count]:
        rows = np.flatnonzero(place == number)
        people = np.flatnonzero(predictions.image_id == identities[number])
        scores = predictions.person_score[people]
        drawn = people[scores >= draw.LEAST_PERSON_SCORE]
        highest = ", ".join(f"{score:.2f}" for score in np.sort(scores)[::-1][:5])
        caption = (
            f"mean OKS {means[number]:.3f} of {quantity(len(rows), 'person', 'people')}; "
            f"{len(people)} predicted, "
            f"{len(drawn)} of them drawn (score at least {draw.LEAST_PERSON_SCORE}); "
            f"highest scores {highest}"
        )
        cases.append(
            Case(
                int(identities[number]),
                caption,
                [annotated_pose(comparison, int(row)) for row in rows],
                # Missing keypoints are at the origin with score 0.
                [(predictions.keypoints[row], predictions.scores[row]) for row in drawn],
            )
        )
    return cases
