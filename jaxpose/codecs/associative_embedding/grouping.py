"""People from candidates: matching by tags, scores, and filling in. Runs on the host."""

from __future__ import annotations

import jax
import numpy as np
from jax.typing import ArrayLike
from scipy.optimize import linear_sum_assignment

from jaxpose.codecs.associative_embedding.candidates import Candidates, Grouping, candidates
from jaxpose.codecs.associative_embedding.refinement import find_missing

# Joints in the order in which they are matched: COCO's face and shoulders, hips, arms, legs.
# HigherHRNet takes the first K of the same list for other joint sets.
JOINT_ORDER = (0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16)

# Cost of staying outside all groups when there are more candidates than groups.
_OUTSIDE = 1e10

_candidates = jax.jit(candidates, static_argnames="options")


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
    """People of one picture: `candidates`, then `group`.

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
    found = jax.device_get(_candidates(heatmaps[None], tags[None], options=options))
    return group(jax.tree.map(lambda array: array[0], found), heatmaps, tags, options)


def group(
    found: Candidates, heatmaps: ArrayLike, tags: ArrayLike, options: Grouping
) -> tuple[np.ndarray, np.ndarray]:
    """Candidates of one picture put together to people, as HigherHRNet's test code does it.

    Args:
      found: of one picture, see `candidates`.
      heatmaps: [H, W, K] and
      tags: [H, W, K, T], those that `found` was made from; read only to fill in missing joints.
      options: those with which it was made.

    Returns:
      keypoints float32 [N, K, 3] (x, y, score) on the maps' grid, zeros where a joint is missing,
      and scores float32 [N]: the mean over all K joints of their scores before the missing ones
      were filled in. People are in the order in which they were founded.

    Raises:
      ValueError: tags that are not finite at candidates, or maps that are not where joints are to
        be filled in.
    """
    found = jax.tree.map(np.asarray, found)
    heatmaps, tags = (np.ascontiguousarray(maps, np.float32) for maps in (heatmaps, tags))
    members = _match(found, options)
    person, joint = np.nonzero(members >= 0)
    member = members[person, joint]
    x, y = found.places[joint, member].T
    keypoints = np.zeros((*members.shape, 3), np.float32)
    keypoints[person, joint, :2] = np.stack([x, y], axis=-1)
    if options.adjust:
        keypoints[person, joint, :2] = _adjusted(heatmaps, x, y, joint)
    keypoints[person, joint, 2] = found.values[joint, member]
    scores = keypoints[..., 2].mean(axis=1)

    if options.refine and len(members):
        seen = np.zeros((*members.shape, tags.shape[-1]), np.float32)
        seen[person, joint] = found.tags[joint, member]
        means = seen.sum(axis=1) / (members >= 0).sum(axis=1, dtype=np.float32)[:, None]
        joint, person = np.nonzero(members.T < 0)
        y, x = np.divmod(
            find_missing(heatmaps, tags, found.bounds, joint, means[person]), heatmaps.shape[1]
        )
        heat = heatmaps[y, x, joint]
        filled = np.column_stack([_adjusted(heatmaps, x, y, joint), heat])
        keypoints[person, joint] = np.where(heat[:, None] > 0, filled, 0)
    return keypoints, scores


def joint_order(joints: int) -> list[int]:
    """The order in which K joints are matched."""
    known = [joint for joint in JOINT_ORDER if joint < joints]
    return known + list(range(len(known), joints))


def _match(found: Candidates, options: Grouping) -> np.ndarray:
    """int [N, K]: which of its joint's candidates each person has, -1 for none."""
    joints, _, components = found.tags.shape
    # Compared in double precision, as the reference does: 0.1 in float32 is above 0.1.
    values = found.values.astype(np.float64)
    counts = np.count_nonzero(values > options.detection_threshold, axis=1)
    capacity = int(counts.sum())
    members = np.full((capacity, joints), -1)
    # Groups are known by the first tag component of the candidate that founded them; a second
    # founder of the same value takes the group over. A group's tag is the mean of its members'.
    keys: dict[float, int] = {}
    sums = np.zeros((capacity, components), np.float32)
    sizes = np.zeros((capacity, 1), np.float32)
    for joint in joint_order(joints):
        count = counts[joint]
        if count == 0:
            continue
        tags = found.tags[joint, :count]
        if not np.isfinite(tags).all():
            raise ValueError(f"tags of joint {joint} are not finite where its peaks are")
        groups = min(len(keys), options.max_people)
        joins = [False] * count
        if groups:
            difference = tags[:, None].astype(np.float64) - sums[:groups] / sizes[:groups]
            distance = np.sqrt(np.square(difference).sum(axis=2))
            cost = np.rint(distance) * 100 - values[joint, :count, None]
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
            members[at, joint] = row
    return members[: len(keys)]


def _adjusted(heatmaps: np.ndarray, x: np.ndarray, y: np.ndarray, joint: np.ndarray) -> np.ndarray:
    """Pixels of joints [n] moved by half a pixel and a quarter toward the higher neighbour.

    Between equal neighbours the quarter is to the left, or up; beyond the border stands the border.

    Returns:
      (x, y) [n, 2].
    """
    height, width, _ = heatmaps.shape
    right = heatmaps[y, np.minimum(x + 1, width - 1), joint]
    left = heatmaps[y, np.maximum(x - 1, 0), joint]
    below = heatmaps[np.minimum(y + 1, height - 1), x, joint]
    above = heatmaps[np.maximum(y - 1, 0), x, joint]
    return np.stack([x + 0.25 + 0.5 * (right > left), y + 0.25 + 0.5 * (below > above)], axis=-1)
