"""Annotated people beside what was predicted for each of them."""

import dataclasses

import numpy as np

from jaxpose import annotations
from jaxpose.annotations import People
from jaxpose.evaluation.people import FoundPeople
from jaxpose.evaluation.predictions import Predictions
from jaxpose.metrics.coco import BOX_AREA


@dataclasses.dataclass(frozen=True)
class Comparison:
    """P annotated people, one row each, and one prediction for each.

    image_id, annotation_id [P]; joints [P, K, 2] and labelled [P, K] of the annotation; predicted
    [P, K, 2], infinite where there was no prediction; similarity [P], the OKS of the two over the
    labelled joints, 0 where there was none.
    """

    image_id: np.ndarray
    annotation_id: np.ndarray
    joints: np.ndarray
    labelled: np.ndarray
    predicted: np.ndarray
    similarity: np.ndarray


def of_boxes(predictions: Predictions, truth: annotations.Dataset) -> Comparison:
    """Row n: the person of the box of prediction n (predictions on annotated boxes)."""
    row_of = {int(identity): row for row, identity in enumerate(truth.people.annotation_id)}
    rows = [row_of[int(identity)] for identity in predictions.annotation_id]
    people = truth.people.select(rows)
    similarity = _similarity(predictions.keypoints, people, truth.skeleton.sigmas)
    return _compare(people, predictions.keypoints, similarity)


def of_pictures(found: FoundPeople, truth: annotations.Dataset) -> Comparison:
    """Row n: labelled person n of the pictures that were looked at, with the prediction of greatest
    OKS in the same picture; two people may have the same one."""
    rows = np.flatnonzero(np.isin(truth.labelled.image_id, found.pictures))
    people = truth.labelled.select(rows)
    predicted = np.full((len(rows), truth.skeleton.num_joints, 2), np.inf)
    similarity = np.zeros(len(rows))
    for row, image_id in enumerate(people.image_id):
        candidates = found.keypoints[found.image_id == image_id]
        if not len(candidates):
            continue
        person = people.select(slice(row, row + 1))
        alike = _similarity(candidates, person, truth.skeleton.sigmas)
        predicted[row], similarity[row] = candidates[alike.argmax()], alike.max()
    return _compare(people, predicted, similarity)


def _compare(people: People, predicted: np.ndarray, similarity: np.ndarray) -> Comparison:
    joints = people.keypoints
    return Comparison(
        people.image_id,
        people.annotation_id,
        joints[..., :2],
        joints[..., 2] > 0,
        predicted,
        similarity,
    )


def _similarity(predicted: np.ndarray, people: People, sigmas: tuple[float, ...]) -> np.ndarray:
    """OKS [P] of predictions [P, K, 2] with people (P of them, or one), over labelled joints."""
    joints, labelled = people.keypoints[..., :2], people.keypoints[..., 2] > 0
    area = BOX_AREA * people.box[:, 2] * people.box[:, 3] + np.spacing(1)
    squared = ((predicted - joints) ** 2).sum(-1)
    variances = (2 * np.asarray(sigmas)) ** 2
    terms = np.exp(-squared / (2 * variances * area[:, None]))
    return (terms * labelled).sum(-1) / np.maximum(labelled.sum(-1), 1)
