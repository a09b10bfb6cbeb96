"""From heatmaps and part affinity fields of one image to people; numpy, on the host."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from jaxpose.codecs.part_affinity.keypoints import LIMBS, OPENPOSE, to_coco

# Limbs in the order in which they are added to people: from the neck outwards, the head last.
_ORDER = tuple(
    LIMBS.index(limb)
    for limb in (
        (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11),
        (11, 12), (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17), (2, 16), (5, 17),
    )
)  # fmt: skip
# Limbs that close a loop: they may add a keypoint that a person lacks, but nothing to its score.
_SPARE = (LIMBS.index((2, 16)), LIMBS.index((5, 17)))


@dataclasses.dataclass(frozen=True)
class Grouping:
    """Options of `decode`; distances are pixels of the maps given to it.

    Attributes:
      detection_threshold: minimum value of a keypoint.
      peak_distance: a keypoint suppresses others of the same kind that are nearer than this.
      samples: points along a limb at which the field is read, both ends included.
      field_threshold: a point counts where the field agrees with the limb's direction by more than
        this.
      agreement: a limb needs more than this share of points that count.
      least_joints: minimum number of keypoints per person.
      least_score: minimum of a person's score divided by its number of keypoints.

    Raises:
      ValueError: fewer than 2 samples.
    """

    detection_threshold: float = 0.1
    peak_distance: float = 6.0
    samples: int = 10
    field_threshold: float = 0.05
    agreement: float = 0.8
    least_joints: int = 3
    least_score: float = 0.2

    def __post_init__(self) -> None:
        if self.samples < 2:
            raise ValueError(f"samples must be at least 2 (the ends of a limb), got {self.samples}")


@dataclasses.dataclass
class _Person:
    parts: dict[int, int]  # keypoint of the skeleton -> number among its candidates
    score: float
    count: int  # of keypoints that count for the score


def decode(
    heatmaps: np.ndarray, fields: np.ndarray, options: Grouping = Grouping()
) -> tuple[np.ndarray, np.ndarray]:
    """People of one image.

    Keypoints are peaks of the heatmaps. For each limb, every pair of candidates for its ends is
    scored by the mean agreement of the field with the line between them; the best pairs that share
    no candidate become limbs. People grow limb by limb: a limb is added to the person that has its
    first keypoint.

    Args:
      heatmaps: [h, w, 18] or more channels (the background is not read), on the grid of the result:
        the network's heatmaps after `resize_cubic`.
      fields: [h, w, 38] on the same grid.
      options: thresholds.

    Returns:
      keypoints [N, 18, 3] (x, y, score) on the grid, zeros for missing keypoints, and scores [N]:
      the sum of the scores of keypoints and limbs, times one less than the number of keypoints.

    Raises:
      ValueError: arrays whose shapes do not fit.
    """
    heatmaps, fields = np.asarray(heatmaps, np.float32), np.asarray(fields, np.float32)
    channels = OPENPOSE.num_joints
    if heatmaps.ndim != 3 or heatmaps.shape[-1] < channels:
        raise ValueError(
            f"heatmaps have shape {heatmaps.shape}, expected [h, w, {channels}] or more"
        )
    if fields.shape != (*heatmaps.shape[:2], 2 * len(LIMBS)):
        raise ValueError(f"fields have shape {fields.shape}, expected [h, w, {2 * len(LIMBS)}]")
    # Each heatmap is read several times, which is faster if its pixels are contiguous.
    contiguous = np.ascontiguousarray(np.moveaxis(heatmaps[..., :channels], -1, 0))
    candidates = [peaks(heatmap, options) for heatmap in contiguous]
    people: list[_Person] = []
    for limb in _ORDER:
        first, second = LIMBS[limb]
        a, b = candidates[first], candidates[second]
        if len(a) and len(b):
            pairs = connections(a, b, fields[..., 2 * limb : 2 * limb + 2], options)
            if limb in _SPARE:
                _complete(people, first, second, pairs)
            else:
                _grow(people, first, second, pairs, a, b)
        else:
            # A keypoint without any partner may still start a person.
            for end, points in ((first, a), (second, b)):
                owned = {person.parts.get(end) for person in people}
                people += [
                    _Person({end: i}, float(score), 1)
                    for i, (_, _, score) in enumerate(points)
                    if i not in owned
                ]
    kept = [
        person
        for person in people
        if person.count >= options.least_joints
        and person.score / person.count >= options.least_score
    ]
    keypoints = np.zeros((len(kept), channels, 3), np.float32)
    for number, person in enumerate(kept):
        for keypoint, index in person.parts.items():
            keypoints[number, keypoint] = candidates[keypoint][index]
    scores = np.array([person.score * (person.count - 1) for person in kept], np.float32)
    return keypoints, scores


def group(
    heatmaps: np.ndarray, fields: np.ndarray, options: Grouping = Grouping()
) -> tuple[np.ndarray, np.ndarray]:
    """`decode` with only COCO's keypoints: keypoints [N, 17, 3] and scores [N]."""
    keypoints, scores = decode(heatmaps, fields, options)
    return to_coco(keypoints), scores


def peaks(heatmap: np.ndarray, options: Grouping = Grouping()) -> np.ndarray:
    """[n, 3] (x, y, score) of a heatmap's local maxima, sorted by x, then y.

    A maximum is strictly above all four neighbors; pixels outside count as 0. From left to right,
    each maximum suppresses later ones that are near; a suppressed one suppresses none.
    """
    heatmap = np.where(heatmap < options.detection_threshold, 0, heatmap)
    padded = np.pad(heatmap, 1)
    inner = padded[1:-1, 1:-1]
    higher = (inner > padded[:-2, 1:-1]) & (inner > padded[2:, 1:-1])
    higher &= (inner > padded[1:-1, :-2]) & (inner > padded[1:-1, 2:])
    y, x = np.nonzero(higher)
    order = np.lexsort((y, x))  # of a few peaks: faster than to search the transposed map
    y, x = y[order], x[order]
    alive = np.ones(len(x), bool)
    for i in range(len(x)):
        if alive[i]:
            distance = np.hypot(x[i + 1 :] - x[i], y[i + 1 :] - y[i])
            alive[i + 1 :] &= distance >= options.peak_distance
    x, y = x[alive], y[alive]
    return np.stack([x, y, heatmap[y, x]], axis=-1).astype(np.float64)


def connections(
    a: np.ndarray, b: np.ndarray, field: np.ndarray, options: Grouping = Grouping()
) -> list[tuple[int, int, float]]:
    """(number in a, number in b, score) of the limbs between keypoints, the best first.

    The score of a pair is the mean of field . direction over those of the sampled points where it
    is above the threshold, less a penalty for limbs longer than half the image's height. Each
    keypoint is in one limb at most.

    Args:
      a, b: keypoints [n, 3] and [m, 3], neither empty.
      field: [h, w, 2].
    """
    vector = b[None, :, :2] - a[:, None, :2]
    length = np.linalg.norm(vector, axis=-1)
    direction = vector / np.where(length > 0, length, 1)[..., None]
    step = vector[:, :, None] / (options.samples - 1)
    points = a[:, None, None, :2] + np.arange(options.samples)[:, None] * step
    x, y = np.rint(points).astype(int).transpose(3, 0, 1, 2)
    agreement = (field[y, x] * direction[:, :, None]).sum(-1)
    passed = agreement > options.field_threshold
    count = passed.sum(-1)
    mean = np.where(passed, agreement, 0).sum(-1) / np.maximum(count, 1)
    half = field.shape[0] // 2
    score = mean + np.minimum(half / np.where(length > 0, length, 1) - 1, 0)
    usable = (length > 0) & (score > 0) & (count / options.samples > options.agreement)
    rows, columns = np.nonzero(usable)
    best = np.argsort(-score[rows, columns], kind="stable")
    chosen, taken_a, taken_b = [], set(), set()
    for i, j in zip(rows[best].tolist(), columns[best].tolist(), strict=True):
        if i not in taken_a and j not in taken_b:
            chosen.append((i, j, float(score[i, j])))
            taken_a.add(i)
            taken_b.add(j)
    return chosen


def _grow(
    people: list[_Person],
    first: int,
    second: int,
    pairs: Sequence[tuple[int, int, float]],
    a: np.ndarray,
    b: np.ndarray,
) -> None:
    """Adds limbs to the people who have their first keypoint; other limbs start new people."""
    for i, j, score in pairs:
        owners = [person for person in people if person.parts.get(first) == i]
        for person in owners:
            person.parts[second] = j
            person.count += 1
            person.score += b[j, 2] + score
        if not owners:
            people.append(_Person({first: i, second: j}, a[i, 2] + b[j, 2] + score, 2))


def _complete(
    people: list[_Person], first: int, second: int, pairs: Sequence[tuple[int, int, float]]
) -> None:
    """Adds the keypoint at the other end to people who lack it."""
    for i, j, _ in pairs:
        for person in people:
            if person.parts.get(first) == i and second not in person.parts:
                person.parts[second] = j
            elif person.parts.get(second) == j and first not in person.parts:
                person.parts[first] = i
