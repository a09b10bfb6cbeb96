"""Annotated people, each with its prediction."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from jaxpose.annotations import Dataset, People
from jaxpose.annotations.completion import area_of
from jaxpose.metrics.oks import oks


@dataclasses.dataclass(frozen=True)
class Comparison:
    """P annotated people, one row each, and a prediction for each of them.

    Attributes:
      image_id: [P].
      annotation_id: of each person, as in the file.
      keypoints, labeled: [P, K, 2] and bool [P, K] of the annotation.
      predicted: [P, K, 2]; infinite where there is no prediction.
      similarity: [P], OKS over the labeled keypoints; 0 where there is no prediction.
    """

    image_id: np.ndarray
    annotation_id: list[Any]
    keypoints: np.ndarray
    labeled: np.ndarray
    predicted: np.ndarray
    similarity: np.ndarray


def compare_boxes(annotation_id: np.ndarray, keypoints: np.ndarray, dataset: Dataset) -> Comparison:
    """Compares predictions in annotated boxes; row n is the person of box n.

    Args:
      annotation_id: [P], of the boxes.
      keypoints: [P, K, 2], predicted in these boxes.
      dataset: the annotations.
    """
    row_of = {int(identity): row for row, identity in enumerate(dataset.people.annotation_id)}
    people = dataset.people.select([row_of[int(identity)] for identity in annotation_id])
    similarity = _similarity(keypoints, people, dataset.skeleton.sigmas)
    return _comparison(dataset, people, keypoints, similarity)


def compare_images(
    image_ids: np.ndarray, image_id: np.ndarray, keypoints: np.ndarray, dataset: Dataset
) -> Comparison:
    """Compares each labeled person with the prediction of highest OKS in the same image.

    Two people may have the same prediction.

    Args:
      image_ids: ids of all images that were predicted.
      image_id: [N], of the predicted people.
      keypoints: [N, K, 2], of the predicted people.
      dataset: the annotations.
    """
    rows = np.flatnonzero(np.isin(dataset.labeled.image_id, image_ids))
    people = dataset.labeled.select(rows)
    predicted = np.full((len(rows), dataset.skeleton.num_joints, 2), np.inf)
    similarity = np.zeros(len(rows))
    for row, identity in enumerate(people.image_id):
        candidates = keypoints[image_id == identity]
        if not len(candidates):
            continue
        person = people.select(slice(row, row + 1))
        scores = _similarity(candidates, person, dataset.skeleton.sigmas)
        predicted[row], similarity[row] = candidates[scores.argmax()], scores.max()
    return _comparison(dataset, people, predicted, similarity)


def _comparison(
    dataset: Dataset, people: People, predicted: np.ndarray, similarity: np.ndarray
) -> Comparison:
    keypoints = people.keypoints
    return Comparison(
        people.image_id,
        [dataset.person_id_in_file(number) for number in people.annotation_id.tolist()],
        keypoints[..., :2],
        keypoints[..., 2] > 0,
        predicted,
        similarity,
    )


def _similarity(predicted: np.ndarray, people: People, sigmas: tuple[float, ...]) -> np.ndarray:
    """OKS [P] of predictions [P, K, 2] and people (P, or one), over the labeled keypoints."""
    keypoints, labeled = people.keypoints[..., :2], people.keypoints[..., 2] > 0
    area = area_of(people.box)
    return oks(predicted, keypoints, area, sigmas, labeled)
