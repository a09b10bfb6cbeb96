"""Kinds of keypoint errors, after Ronchi and Perona, "Benchmarking and Error Diagnosis in
Multi-Instance Pose Estimation", ICCV 2017.

The paper compares a keypoint with the same keypoint of other people and with its left or right
counterpart. Here, an inversion may be near any other keypoint of the person, and a swap near any
keypoint of another person.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike

from jaxpose.evaluation.matching import Matching
from jaxpose.metrics.oks import keypoint_similarity
from jaxpose.skeletons import Skeleton

KINDS = ("good", "jitter", "inversion", "swap", "miss")
GOOD, JITTER, INVERSION, SWAP, MISS = range(len(KINDS))
NEAR, PRECISE = 0.5, 0.85  # lowest keypoint similarity of jitter and of a good keypoint


@dataclasses.dataclass(frozen=True)
class Errors:
    """The kind of error of every labeled keypoint of every matched person.

    Attributes:
      kinds: int [P, K], index in `KINDS`; -1 for people without a match and unlabeled keypoints.
      mirrored: bool [P, K], inversions to the left or right counterpart.
    """

    kinds: np.ndarray
    mirrored: np.ndarray

    def counts(self) -> np.ndarray:
        """Returns int [K, 5]: keypoints of each kind."""
        return np.stack([(self.kinds == kind).sum(axis=0) for kind in range(len(KINDS))], axis=1)


def classify(matching: Matching, skeleton: Skeleton) -> Errors:
    """Returns the kind of error of each labeled keypoint of the people matched at OKS 0.1.

    With the keypoint similarity ks, that of the OKS for one keypoint:

    * good: ks to the annotated keypoint >= 0.85;
    * jitter: 0.5 <= ks < 0.85;
    * inversion: ks < 0.5, but ks >= 0.5 to another keypoint of the same person;
    * swap: ks < 0.5, but ks >= 0.5 to a keypoint of another person;
    * miss: ks < 0.5 to all labeled keypoints of all people.

    If a prediction is near other keypoints of both its own person and another one, the higher
    similarity decides between inversion and swap; if they are equal, it is an inversion. ks to an
    annotated keypoint uses the sigma of that keypoint and the area of its person.
    """
    counterpart = skeleton.flip_indices
    kinds = np.full(matching.labeled.shape, -1)
    mirrored = np.zeros(matching.labeled.shape, bool)
    for identity in np.unique(matching.image_id):
        rows = np.flatnonzero(matching.image_id == identity)
        for place, row in enumerate(rows):
            if np.isnan(matching.loose[row]).any():
                continue
            similarity = _to_everyone(
                matching.loose[row],
                matching.keypoints[rows],
                matching.labeled[rows],
                matching.area[rows],
                skeleton.sigmas,
            )
            for k in np.flatnonzero(matching.labeled[row]).tolist():
                kinds[row, k], nearest = _kind(similarity[k], place, k)
                mirrored[row, k] = kinds[row, k] == INVERSION and nearest == counterpart[k] != k
    return Errors(kinds, mirrored)


def _to_everyone(
    predicted: np.ndarray,
    keypoints: np.ndarray,
    labeled: np.ndarray,
    area: np.ndarray,
    sigmas: ArrayLike,
) -> np.ndarray:
    """ks [K, Q, K] of predicted keypoints [K, 2] to those of Q people; 0 where not labeled."""
    similarity = keypoint_similarity(predicted[:, None, None], keypoints[None], area[None], sigmas)
    return np.where(labeled, similarity, 0)


def _kind(similarity: np.ndarray, person: int, k: int) -> tuple[int, int]:
    """Kind of keypoint k from its ks [Q, K] to everyone, and the nearest keypoint of the person."""
    own = similarity[person]
    nearest = int(own.argmax())
    if own[k] >= NEAR:
        return (GOOD if own[k] >= PRECISE else JITTER), k
    others = np.delete(similarity, person, axis=0).max(initial=0.0)
    if max(own[nearest], others) < NEAR:
        return MISS, nearest
    return (INVERSION if own[nearest] >= others else SWAP), nearest
