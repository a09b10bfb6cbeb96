"""How far a file is from its model: all outputs, and the people found in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from scipy.optimize import linear_sum_assignment

from jaxpose import codecs
from jaxpose.export.agreement import HEATMAP_TOLERANCE, KEYPOINT_TOLERANCE, MismatchError

TRIALS = 16  # of small changes of the model's maps, to prove a tie
LEAST_PEAK = 0.1  # share of the highest peak from which people are looked for

Outputs = Sequence[np.ndarray]  # [N, h, w, C] each, as the network gives them
Grouping = Any  # the options of one of the codecs in `codecs.PEOPLE`


@dataclass(frozen=True)
class PeopleAgreement:
    """How far a file is from its model over some pictures."""

    maps: tuple[tuple[float, float], ...]  # of each output: difference, largest value of the model
    keypoint: float  # largest distance of a joint, in input pixels; infinite where one is missing
    people: int  # that the model finds
    more: int  # people by which the file differs from that, picture by picture
    joints: int  # compared
    ties: int  # joints left out, which rounding decides

    @property
    def holds(self) -> bool:
        """Whether all is within the tolerances."""
        near = all(error <= HEATMAP_TOLERANCE * max(scale, 1e-12) for error, scale in self.maps)
        return near and self.keypoint <= KEYPOINT_TOLERANCE and self.more == 0

    def __str__(self) -> str:
        errors = [f"{error:.2g} (largest value {scale:.2g})" for error, scale in self.maps]
        tied = f", {self.ties} left out as ties" if self.ties else ""
        more = f"; {self.more} people more or less" if self.more else ""
        return (
            f"outputs differ by at most {', '.join(errors)}, joints of {self.people} people by "
            f"{self.keypoint:.2g} px ({self.joints} joints{tied}){more}"
        )


def compare_people(
    expected: Outputs, actual: Outputs, input_size: tuple[int, int], grouping: Grouping
) -> PeopleAgreement:
    """Differences of the outputs of a network and of the people found in them.

    People are looked for from a tenth of the highest peak on, or from `grouping`'s threshold where
    that is lower, so that drawn pictures and untrained networks have some. Grouping decides much by
    comparing numbers, so that rounding may change a person altogether. A joint that differs is left
    out as a tie when the model's own maps, changed at random by no more than rounding does, lose
    it, too; likewise the number of people of a picture.

    Raises:
      MismatchError: outputs of other shapes, or that are not finite.
    """
    shapes = [tuple(x.shape for x in outputs) for outputs in (expected, actual)]
    if shapes[0] != shapes[1]:
        raise MismatchError(f"the file gives maps {shapes[1]}, the model {shapes[0]}")
    for name, outputs in (("model", expected), ("file", actual)):
        if not all(np.isfinite(x).all() for x in outputs):
            raise MismatchError(f"the {name} gives values that are not finite")
    maps = tuple(
        (float(np.abs(x - y).max()), float(np.abs(x).max()))
        for x, y in zip(expected, actual, strict=True)
    )
    # Rounding may flip what it decides, but only rounding: a large difference is no excuse.
    noise = [4 * min(error, HEATMAP_TOLERANCE * scale) for error, scale in maps]
    highest = float(_highest(tuple(expected), size=input_size, options=grouping))
    threshold = min(grouping.detection_threshold, max(LEAST_PEAK * highest, 0.0))
    options = dataclasses.replace(grouping, detection_threshold=threshold)

    ours, theirs = (_people(outputs, input_size, options) for outputs in (expected, actual))
    worst, more, joints, ties = 0.0, 0, 0, 0
    for i, (own, other) in enumerate(zip(ours, theirs, strict=True)):
        distance, difference = _distances(own, other), abs(len(own) - len(other))
        if difference or (distance > KEYPOINT_TOLERANCE).any():
            picture = [x[i : i + 1] for x in expected]
            loose, uncertain = _unstable(own, picture, noise, input_size, options)
            tied = (distance > KEYPOINT_TOLERANCE) & loose
            distance = np.where(tied, 0, distance)
            ties += int(tied.sum())
            joints -= int(tied.sum())
            difference = 0 if uncertain else difference
        worst = max(worst, float(distance.max(initial=0)))
        more += difference
        joints += distance.size
    return PeopleAgreement(maps, worst, sum(map(len, ours)), more, joints, ties)


@partial(jax.jit, static_argnames=("size", "options"))
def _find(outputs: Outputs, size: tuple[int, int], options: Grouping) -> Any:
    return codecs.of_grouping(options).find({1.0: (outputs, None)}, size, options)


@partial(jax.jit, static_argnames=("size", "options"))
def _highest(outputs: Outputs, size: tuple[int, int], options: Grouping) -> jax.Array:
    *_, heatmaps, _ = _find(outputs, size, options)
    return heatmaps.max()


def _people(outputs: Outputs, size: tuple[int, int], options: Grouping) -> list[np.ndarray]:
    """Keypoints [P, K, 3] of each picture, on the input's grid; zeros where a joint is missing."""
    found = jax.device_get(_find(tuple(outputs), size=size, options=options))
    group = codecs.of_grouping(options).group
    return [
        group(*jax.tree.map(lambda x, row=i: x[row], found), options)[0]
        for i in range(len(outputs[0]))
    ]


def _distances(people: np.ndarray, others: np.ndarray) -> np.ndarray:
    """[P, K]: how far each joint is from that of the person of `others` who is most alike.

    No two have the same partner; infinite without one, or where only one of the two has the joint.
    """
    found, also = people[:, None, :, 2] > 0, others[None, :, :, 2] > 0
    apart = np.linalg.norm(people[:, None, :, :2] - others[None, :, :, :2], axis=-1)
    apart = np.where(found & also, apart, np.where(found | also, np.inf, 0))
    rows, columns = linear_sum_assignment((apart > KEYPOINT_TOLERANCE).sum(-1))
    distance = np.full(people.shape[:2], np.inf)
    distance[rows] = apart[rows, columns]
    return distance


def _unstable(
    people: np.ndarray,
    outputs: Outputs,
    noise: Sequence[float],
    size: tuple[int, int],
    options: Grouping,
) -> tuple[np.ndarray, bool]:
    """What changes by `noise` (of each output) take away: joints bool [P, K]; and their number."""
    rng = np.random.default_rng(0)
    loose, uncertain = np.zeros(people.shape[:2], bool), False
    for _ in range(TRIALS):
        changed = [
            x + rng.uniform(-n, n, x.shape).astype(np.float32)
            for x, n in zip(outputs, noise, strict=True)
        ]
        (others,) = _people(changed, size, options)
        loose |= _distances(people, others) > KEYPOINT_TOLERANCE
        uncertain |= len(people) != len(others)
    return loose, uncertain
