"""People from candidates: matching by tags, scores, and filling in; numpy, on the host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jaxpose.codecs.arrays import image_of, map_arrays
from jaxpose.codecs.associative_embedding.candidates import Candidates, Grouping, candidates
from jaxpose.codecs.associative_embedding.refinement import find_missing

if TYPE_CHECKING:
    from jax.typing import ArrayLike

# Keypoints in the order in which they are matched: COCO's face and shoulders, hips, arms, legs.
# HigherHRNet takes the first K of the same list for other skeletons.
KEYPOINT_ORDER = (0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16)

# Cost of staying outside all groups when there are more candidates than groups.
_OUTSIDE = 1e10


def decode(
    heatmaps: ArrayLike,
    tags: ArrayLike,
    max_people: int = 30,
    detection_threshold: float = 0.1,
    tag_threshold: float = 1.0,
    nms_kernel: int = 5,
    adjust: bool = True,
    refine: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """People of one image: `candidates`, then `group`; numpy throughout.

    Args:
      heatmaps: [h, w, K].
      tags: [h, w, K, T].
      max_people: see `Grouping`.
      detection_threshold: see `Grouping`.
      tag_threshold: see `Grouping`.
      nms_kernel: see `Grouping`.
      adjust: see `Grouping`.
      refine: see `Grouping`.

    Returns:
      keypoints [N, K, 3] (x, y, score) on the maps' grid and scores [N], as `group` returns.
    """
    options = Grouping(max_people, detection_threshold, tag_threshold, nms_kernel, adjust, refine)
    heatmaps, tags = np.asarray(heatmaps, np.float32), np.asarray(tags, np.float32)
    peaks = image_of(candidates(heatmaps[None], tags[None], options), 0)
    return group(peaks, heatmaps, tags, options)


def group(
    peaks: Candidates, heatmaps: ArrayLike, tags: ArrayLike, options: Grouping
) -> tuple[np.ndarray, np.ndarray]:
    """Groups the candidates of one image into people, as HigherHRNet's test code does.

    Args:
      peaks: candidates of one image, see `candidates`.
      heatmaps: [H, W, K], and
      tags: [H, W, K, T], from which the candidates were taken; read only to fill in missing
        keypoints and to adjust positions.
      options: those with which the candidates were taken.

    Returns:
      keypoints float32 [N, K, 3] (x, y, score) on the maps' grid, zeros where a keypoint is
      missing, and scores float32 [N]: the mean over all K keypoints of their scores before the
      missing ones were filled in. People are in the order in which their groups were created.

    Raises:
      ValueError: tags that are not finite at candidates, or maps that are not finite where
        keypoints are to be filled in.
    """
    peaks = map_arrays(np.asarray, peaks)
    heatmaps, tags = (np.ascontiguousarray(maps, np.float32) for maps in (heatmaps, tags))
    members = _match(peaks, options)
    person, keypoint = np.nonzero(members >= 0)
    member = members[person, keypoint]
    x, y = np.asarray(peaks.positions)[keypoint, member].T
    keypoints = np.zeros((*members.shape, 3), np.float32)
    keypoints[person, keypoint, :2] = np.stack([x, y], axis=-1)
    if options.adjust:
        keypoints[person, keypoint, :2] = _adjusted(heatmaps, x, y, keypoint)
    keypoints[person, keypoint, 2] = peaks.values[keypoint, member]
    scores = keypoints[..., 2].mean(axis=1)

    if options.refine and len(members):
        member_tags = np.zeros((*members.shape, tags.shape[-1]), np.float32)
        member_tags[person, keypoint] = peaks.tags[keypoint, member]
        means = member_tags.sum(axis=1) / (members >= 0).sum(axis=1, dtype=np.float32)[:, None]
        keypoint, person = np.nonzero(members.T < 0)
        pixel = find_missing(heatmaps, tags, peaks.bounds, keypoint, means[person])
        y, x = np.divmod(pixel, heatmaps.shape[1])
        heat = heatmaps[y, x, keypoint]
        filled = np.column_stack([_adjusted(heatmaps, x, y, keypoint), heat])
        keypoints[person, keypoint] = np.where(heat[:, None] > 0, filled, 0)
    return keypoints, scores


def keypoint_order(keypoints: int) -> list[int]:
    """The order in which K keypoints are matched."""
    known = [keypoint for keypoint in KEYPOINT_ORDER if keypoint < keypoints]
    return known + list(range(len(known), keypoints))


def _match(peaks: Candidates, options: Grouping) -> np.ndarray:
    """int [N, K]: number of each person's candidate among those of the keypoint, -1 for none."""
    from scipy.optimize import linear_sum_assignment  # half a second that training need not spend

    keypoints, _, components = peaks.tags.shape
    # Compared in double precision, as the reference does: 0.1 in float32 is above 0.1.
    values = peaks.values.astype(np.float64)
    counts = np.count_nonzero(values > options.detection_threshold, axis=1)
    capacity = int(counts.sum())
    members = np.full((capacity, keypoints), -1)
    # A group's key is the first tag component of the candidate that created it; another candidate
    # of the same value that creates a group replaces it. A group's tag is the mean of its members'.
    keys: dict[float, int] = {}
    sums = np.zeros((capacity, components), np.float32)
    sizes = np.zeros((capacity, 1), np.float32)
    for keypoint in keypoint_order(keypoints):
        count = counts[keypoint]
        if count == 0:
            continue
        tags = peaks.tags[keypoint, :count]
        if not np.isfinite(tags).all():
            raise ValueError(f"tags of keypoint {keypoint} are not finite at its peaks")
        groups = min(len(keys), options.max_people)
        joins = [False] * count
        if groups:
            difference = tags[:, None].astype(np.float64) - sums[:groups] / sizes[:groups]
            distance = np.sqrt(np.square(difference).sum(axis=2))
            cost = np.rint(distance) * 100 - values[keypoint, :count, None]
            if count > groups:
                outside = np.full((count, count - groups), _OUTSIDE)
                cost = np.concatenate([cost, outside], axis=1)
            _, choice = linear_sum_assignment(cost)
            chosen = distance[np.arange(count), np.minimum(choice, groups - 1)]
            joins = ((choice < groups) & (chosen < options.tag_threshold)).tolist()
        for row in range(count):
            if joins[row]:
                at = choice[row]
                sums[at] += tags[row]
                sizes[at] += 1
            else:
                at = keys.setdefault(float(tags[row, 0]), len(keys))
                sums[at] = tags[row]
                sizes[at] = 1
            members[at, keypoint] = row
    return members[: len(keys)]


def _adjusted(
    heatmaps: np.ndarray, x: np.ndarray, y: np.ndarray, keypoint: np.ndarray
) -> np.ndarray:
    """Pixels of keypoints [n] moved by half a pixel and a quarter toward the higher neighbor.

    Between equal neighbors the quarter is to the left, or up; the border is repeated.

    Returns:
      (x, y) [n, 2].
    """
    height, width, _ = heatmaps.shape
    right = heatmaps[y, np.minimum(x + 1, width - 1), keypoint]
    left = heatmaps[y, np.maximum(x - 1, 0), keypoint]
    below = heatmaps[np.minimum(y + 1, height - 1), x, keypoint]
    above = heatmaps[np.maximum(y - 1, 0), x, keypoint]
    return np.stack([x + 0.25 + 0.5 * (right > left), y + 0.25 + 0.5 * (below > above)], axis=-1)
