"""How far a file is from its model for whole images: all outputs, and the people in them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxpose.codecs.arrays import image_of
from jaxpose.skeletons import Skeleton
from jaxpose.tasks.agreement import HEATMAP_TOLERANCE, KEYPOINT_TOLERANCE, MismatchError
from jaxpose.tasks.whole_images.prediction import ImageDecoder

TRIALS = 16  # of small changes to the model's maps, to prove a tie
LEAST_PEAK = 0.1  # share of the highest peak above which people are looked for

Outputs = Sequence[np.ndarray]  # [N, h, w, C] each, as the network gives them


@dataclass(frozen=True)
class ImageAgreement:
    """How far a file is from its model over some images.

    Attributes:
      maps: for each output, the largest difference and the largest value of the model.
      keypoint: largest distance between keypoints, in input pixels; infinite where one is missing.
      people: how many the model finds.
      extra: people that only one of the two finds, summed over the images.
      keypoints: how many were compared.
      ties: how many were left out because rounding alone decides them.
    """

    maps: tuple[tuple[float, float], ...]
    keypoint: float
    people: int
    extra: int
    keypoints: int
    ties: int

    @property
    def holds(self) -> bool:
        """Whether all differences are within the tolerances."""
        near = all(error <= HEATMAP_TOLERANCE * max(scale, 1e-12) for error, scale in self.maps)
        return near and self.keypoint <= KEYPOINT_TOLERANCE and self.extra == 0

    def __str__(self) -> str:
        errors = [f"{error:.2g} (largest value {scale:.2g})" for error, scale in self.maps]
        ties = f", {self.ties} left out as ties" if self.ties else ""
        extra = f"; {self.extra} people are in one of the two alone" if self.extra else ""
        return (
            f"outputs differ by at most {', '.join(errors)}, keypoints of {self.people} people by "
            f"{self.keypoint:.2g} px ({self.keypoints} keypoints{ties}){extra}"
        )


def compare(
    expected: Outputs,
    actual: Outputs,
    input_size: tuple[int, int],
    decoder: ImageDecoder,
    skeleton: Skeleton,
) -> ImageAgreement:
    """Differences between the outputs of two networks and between the people found in them.

    People are looked for above a tenth of the highest peak, or above the decoder's threshold where
    that is lower, so that drawn images and untrained networks have some. Grouping decides much by
    comparing numbers, so rounding may change a whole person. A keypoint that differs is left out as
    a tie when the model's own maps, changed at random by no more than rounding does, lose it, too;
    likewise the number of people in an image.

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
    *_, heatmaps, _ = _peaks(expected, (input_size, decoder, skeleton))
    threshold = min(
        decoder.grouping.detection_threshold, max(LEAST_PEAK * float(heatmaps.max()), 0.0)
    )
    grouping = dataclasses.replace(decoder.grouping, detection_threshold=threshold)
    how = (input_size, dataclasses.replace(decoder, grouping=grouping), skeleton)

    ours, theirs = (_people(outputs, how) for outputs in (expected, actual))
    worst, extra, keypoints, ties = 0.0, 0, 0, 0
    for i, (own, other) in enumerate(zip(ours, theirs, strict=True)):
        distance, difference = _distances(own, other), abs(len(own) - len(other))
        if difference or (distance > KEYPOINT_TOLERANCE).any():
            image = [x[i : i + 1] for x in expected]
            loose, uncertain = _unstable(own, image, noise, how)
            tied = (distance > KEYPOINT_TOLERANCE) & loose
            distance = np.where(tied, 0, distance)
            ties += int(tied.sum())
            keypoints -= int(tied.sum())
            difference = 0 if uncertain else difference
        worst = max(worst, float(distance.max(initial=0)))
        extra += difference
        keypoints += distance.size
    return ImageAgreement(maps, worst, sum(map(len, ours)), extra, keypoints, ties)


@functools.cache
def _compiled_find() -> Any:
    import jax

    def find(outputs, how):
        size, decoder, skeleton = how
        return decoder.codec.find({1.0: (outputs, None)}, size, decoder.grouping, skeleton)

    return jax.jit(find, static_argnums=1)


# Input size, decoder and skeleton: how people are found.
How = tuple[tuple[int, int], ImageDecoder, Skeleton]


def _peaks(outputs: Outputs, how: How) -> Any:
    import jax

    return jax.device_get(_compiled_find()(tuple(outputs), how))


def _people(outputs: Outputs, how: How) -> list[np.ndarray]:
    """Keypoints [P, K, 3] of each image, on the input's grid; zeros where one is missing."""
    peaks, decoder = _peaks(outputs, how), how[1]
    return [
        decoder.codec.group(*image_of(peaks, row), decoder.grouping)[0]
        for row in range(len(outputs[0]))
    ]


def _distances(people: np.ndarray, others: np.ndarray) -> np.ndarray:
    """[P, K]: how far each keypoint is from that of the person of `others` who is most alike.

    No two have the same partner; infinite without one, or where only one of the two has the
    keypoint.
    """
    ours, theirs = people[:, None, :, 2] > 0, others[None, :, :, 2] > 0
    apart = np.linalg.norm(people[:, None, :, :2] - others[None, :, :, :2], axis=-1)
    apart = np.where(ours & theirs, apart, np.where(ours | theirs, np.inf, 0))
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment((apart > KEYPOINT_TOLERANCE).sum(-1))
    distance = np.full(people.shape[:2], np.inf)
    distance[rows] = apart[rows, columns]
    return distance


def _unstable(
    people: np.ndarray,
    outputs: Outputs,
    noise: Sequence[float],
    how: How,
) -> tuple[np.ndarray, bool]:
    """What changes by `noise` (of each output) take away.

    Returns:
      Keypoints, bool [P, K], and whether the number of people changes.
    """
    rng = np.random.default_rng(0)
    loose, uncertain = np.zeros(people.shape[:2], bool), False
    for _ in range(TRIALS):
        changed = [
            x + rng.uniform(-n, n, x.shape).astype(np.float32)
            for x, n in zip(outputs, noise, strict=True)
        ]
        (others,) = _people(changed, how)
        loose |= _distances(people, others) > KEYPOINT_TOLERANCE
        uncertain |= len(people) != len(others)
    return loose, uncertain
