"""Comparison of a file with its model on whole images: all outputs, and the people found."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxpose.codecs.arrays import image_of
from jaxpose.skeletons import Skeleton
from jaxpose.tasks.agreement import (
    FP32,
    LEAST_SCALE,
    Distances,
    MismatchError,
    Tolerance,
    describe,
    summarize,
    within,
)
from jaxpose.tasks.whole_images.prediction import ImageDecoder
from jaxpose.wording import quantity

TRIALS = 16  # random changes to the model's outputs, to recognize ties
FAR = 1e4  # pixels: no keypoint of an image is farther away
LEAST_PEAK = 0.1  # threshold for keypoints, as a fraction of the highest peak

Outputs = Sequence[np.ndarray]  # of the network, [N, h, w, C] each


@dataclass(frozen=True)
class MapError:
    """Differences between one output of a file and of its model.

    Attributes:
      largest, mean: absolute differences.
      scale: largest absolute value of the model.
    """

    largest: float
    mean: float
    scale: float


@dataclass(frozen=True)
class ImageAgreement:
    """Differences between a file and its model on some images.

    Attributes:
      images: number of images.
      maps: one per output.
      distances: between the keypoints of the people that the model finds.
      people: number of people that the model finds.
      extra: number of people that only one of the two finds.
      ties: number of keypoints left out because rounding alone decides them.
      tolerance: by which `holds` judges.
    """

    images: int
    maps: tuple[MapError, ...]
    distances: Distances
    people: int
    extra: int
    ties: int
    tolerance: Tolerance = FP32

    @property
    def error(self) -> float:
        """Largest difference between the outputs, as a fraction of the output's largest value."""
        return max(one.largest / max(one.scale, LEAST_SCALE) for one in self.maps)

    @property
    def mean_error(self) -> float:
        """Mean difference of the worst output, as a fraction of the output's largest value."""
        return max(one.mean / max(one.scale, LEAST_SCALE) for one in self.maps)

    @property
    def holds(self) -> bool:
        """Whether all differences are within the tolerances."""
        few_extra = self.extra == 0 or self.extra <= self.tolerance.moved * self.people
        return few_extra and within(self.error, self.distances, self.tolerance)

    def __str__(self) -> str:
        errors = [f"{one.largest:.2g} (largest value {one.scale:.2g})" for one in self.maps]
        extra = f"; only one of the two finds {self.extra} of the people" if self.extra else ""
        return (
            f"outputs differ by at most {', '.join(errors)}, keypoints of "
            f"{quantity(self.people, 'person', 'people')} by "
            f"{describe(self.distances, self.ties)}{extra}"
        )


def compare(
    expected: Outputs,
    actual: Outputs,
    input_size: tuple[int, int],
    decoder: ImageDecoder,
    skeleton: Skeleton,
    tolerance: Tolerance = FP32,
) -> ImageAgreement:
    """Differences between the outputs of two networks and between the people found in them.

    The threshold for keypoints is a tenth of the highest peak, or the decoder's threshold if that
    is lower, so that people are found in synthetic images and by untrained networks. Grouping
    compares numbers, so rounding may change a whole person. A keypoint that differs is left out as
    a tie if it also changes when random noise as large as rounding is added to the model's own
    outputs. The same holds for the number of people in an image.

    Raises:
      MismatchError: outputs of different shapes, or values that are not finite.
    """
    shapes = [tuple(x.shape for x in outputs) for outputs in (expected, actual)]
    if shapes[0] != shapes[1]:
        raise MismatchError(f"the file returns outputs of shape {shapes[1]}, the model {shapes[0]}")
    for name, outputs in (("model", expected), ("file", actual)):
        if not all(np.isfinite(x).all() for x in outputs):
            raise MismatchError(f"the {name} returns values that are not finite")
    maps = []
    for one, other in zip(expected, actual, strict=True):
        errors = np.abs(one - other)
        maps.append(MapError(float(errors.max()), float(errors.mean()), float(np.abs(one).max())))
    # The rounding of float32 may decide ties, so they are left out, with reduced precision too.
    # `noise` is capped: a large difference between the outputs must not turn all keypoints into
    # ties.
    noise = [4 * min(one.largest, FP32.heatmap * one.scale) for one in maps]
    *_, heatmaps, _ = _peaks(expected, (input_size, decoder, skeleton))
    threshold = min(
        decoder.grouping.detection_threshold, max(LEAST_PEAK * float(heatmaps.max()), 0.0)
    )
    grouping = dataclasses.replace(decoder.grouping, detection_threshold=threshold)
    search = (input_size, dataclasses.replace(decoder, grouping=grouping), skeleton)

    limit = tolerance.near
    by_model, by_file = (_people(outputs, search) for outputs in (expected, actual))
    distances, extra, ties = [np.zeros(0)], 0, 0
    for i, (people, others) in enumerate(zip(by_model, by_file, strict=True)):
        distance = _distances(people, others, limit)
        difference = abs(len(people) - len(others))
        tied = np.zeros(distance.shape, bool)
        if difference or (distance > limit).any():
            image = [x[i : i + 1] for x in expected]
            unstable, uncertain = _unstable(people, image, noise, search, limit)
            tied = (distance > limit) & unstable
            difference = 0 if uncertain else difference
        distances.append(distance[~tied])
        ties += int(tied.sum())
        extra += difference
    found = sum(map(len, by_model))
    summary = summarize(np.concatenate(distances))
    return ImageAgreement(len(expected[0]), tuple(maps), summary, found, extra, ties, tolerance)


@functools.cache
def _compiled_find() -> Any:
    import jax

    def find(outputs, search):
        size, decoder, skeleton = search
        return decoder.codec.find({1.0: (outputs, None)}, size, decoder.grouping, skeleton)

    return jax.jit(find, static_argnums=1)


# Input size, decoder and skeleton.
Search = tuple[tuple[int, int], ImageDecoder, Skeleton]


def _peaks(outputs: Outputs, search: Search) -> Any:
    import jax

    return jax.device_get(_compiled_find()(tuple(outputs), search))


def _people(outputs: Outputs, search: Search) -> list[np.ndarray]:
    """Keypoints [P, K, 3] of each image, in input pixels; zeros where one is missing."""
    peaks, decoder = _peaks(outputs, search), search[1]
    return [
        decoder.codec.group(*image_of(peaks, row), decoder.grouping)[0]
        for row in range(len(outputs[0]))
    ]


def _distances(people: np.ndarray, others: np.ndarray, limit: float) -> np.ndarray:
    """[P, K]: distance of each keypoint from that of the most similar person of `others`.

    The most similar person has the fewest keypoints farther away than `limit` pixels, and among
    equals the nearest keypoints.

    The matching is one to one. The distance is infinite without a match, or if only one of the two
    has the keypoint.
    """
    present, other_present = people[:, None, :, 2] > 0, others[None, :, :, 2] > 0
    pairwise = np.linalg.norm(people[:, None, :, :2] - others[None, :, :, :2], axis=-1)
    missing = np.where(present | other_present, np.inf, 0)
    pairwise = np.where(present & other_present, pairwise, missing)
    from scipy.optimize import linear_sum_assignment

    nearness = np.minimum(pairwise, FAR).mean(-1) / (2 * FAR)  # below 1: decides between equals
    rows, columns = linear_sum_assignment((pairwise > limit).sum(-1) + nearness)
    distance = np.full(people.shape[:2], np.inf)
    distance[rows] = pairwise[rows, columns]
    return distance


def _unstable(
    people: np.ndarray,
    outputs: Outputs,
    noise: Sequence[float],
    search: Search,
    limit: float,
) -> tuple[np.ndarray, bool]:
    """What changes if noise is added to the outputs of one image.

    Args:
      people: keypoints [P, K, 3] without noise.
      outputs: [1, h, w, C] each.
      noise: largest noise for each output.
      search: see `Search`.
      limit: pixels up to which a keypoint has not moved.

    Returns:
      bool [P, K], whether a keypoint moves or disappears, and whether the number of people changes.
    """
    rng = np.random.default_rng(0)
    unstable, uncertain = np.zeros(people.shape[:2], bool), False
    for _ in range(TRIALS):
        changed = [
            x + rng.uniform(-n, n, x.shape).astype(np.float32)
            for x, n in zip(outputs, noise, strict=True)
        ]
        (others,) = _people(changed, search)
        unstable |= _distances(people, others, limit) > limit
        uncertain |= len(people) != len(others)
    return unstable, uncertain
