"""Synthetic outputs of a bottom-up network for an image with a given number of people.

People are placed in the cells of a grid, with random keypoints near the center of the cell. Each
person has a tag of their own, some keypoints are missing, and all outputs have a little noise.
"""

from __future__ import annotations

import dataclasses
import math
from functools import partial

import jax
import numpy as np

from jaxpose.codecs import associative_embedding
from jaxpose.codecs.associative_embedding import Candidates, Grouping
from jaxpose.skeletons import COCO, Skeleton

SIGMA = 2.0  # of the peaks, in heatmap pixels, as for trained networks
# Distance between the tags of one person and the next. Grouping rounds this value up and twice this
# value down; otherwise two people with missing keypoints could be matched across a third person.
APART = 2.7

Outputs = tuple[np.ndarray, np.ndarray]  # [1, H/4, W/4, 2K] and [1, H/2, W/2, K]
Maps = tuple[jax.Array, jax.Array]  # heatmaps [1, H, W, K] and tags [1, H, W, K, T]


@dataclasses.dataclass(frozen=True)
class Scene:
    """Synthetic outputs of a network for one image.

    Attributes:
      outputs: for the image.
      mirrored: for its mirror image, or None.
      size: (H, W) of the network's input.
      joints: [P, K, 3], the true keypoints: x, y in input pixels, and 1 if present.
      skeleton: of the people.
    """

    outputs: Outputs
    mirrored: Outputs | None
    size: tuple[int, int]
    joints: np.ndarray
    skeleton: Skeleton

    def on_device(self) -> Scene:
        """The scene with its outputs on the device."""
        outputs, mirrored = jax.device_put((self.outputs, self.mirrored))
        return dataclasses.replace(self, outputs=outputs, mirrored=mirrored)


def draw(
    people: int,
    size: tuple[int, int],
    *,
    skeleton: Skeleton = COCO,
    missing: float = 0.1,
    flip: bool = True,
    seed: int = 0,
) -> Scene:
    """A scene of P people; the same seed gives the same scene.

    Args:
      people: P.
      size: (H, W) of the network's input, multiples of 32.
      skeleton: of the people.
      missing: fraction of keypoints that are missing, which `refine` then searches for.
      flip: whether to include the outputs for the mirror image.
      seed: of the random numbers.
    """
    rng = np.random.default_rng(seed)
    count, (height, width) = skeleton.num_joints, size
    columns = max(1, math.ceil(math.sqrt(people * width / height)))
    rows = max(1, math.ceil(people / columns))
    cell = np.array([width / columns, height / rows])
    corner = np.array([divmod(n, columns)[::-1] for n in range(people)]).reshape(-1, 2) * cell
    # At pixels of the 1/4 heatmaps, so that peaks are sharp at both resolutions.
    points = corner[:, None] + rng.uniform(0.3, 0.7, (people, count, 2)) * cell
    points = points // 4 * 4 + 2
    present = rng.uniform(size=(people, count)) >= missing
    joints = np.concatenate([points, present[..., None]], -1)
    spacing = APART / math.sqrt(2 if flip else 1)
    tags = spacing * np.arange(people)[:, None] + rng.normal(0, 0.02, (people, count))
    heat = rng.uniform(0.5, 0.9, (people, count)) * present

    low = rng.normal(0, 0.01, (height // 4, width // 4, 2 * count))
    high = rng.normal(0, 0.01, (height // 2, width // 2, count))
    for person in range(people):
        for k in np.flatnonzero(present[person]):
            for maps, stride in ((low, 4), (high, 2)):
                stamp = heat[person, k] * _stamp(maps.shape[:2], points[person, k] / stride)
                higher = stamp > maps[..., k]
                maps[..., k][higher] = stamp[higher]
                if stride == 4:
                    maps[..., count + k][higher & (stamp > 0.05)] = tags[person, k]
    outputs = low[None].astype(np.float32), high[None].astype(np.float32)
    mirrored = None
    if flip:
        swapped = skeleton.flip_indices
        both = np.concatenate([swapped, count + swapped])
        mirrored = (outputs[0][:, :, ::-1, both], outputs[1][:, :, ::-1, swapped])
    return Scene(outputs, mirrored, size, joints, skeleton)


def _stamp(size: tuple[int, int], center: np.ndarray) -> np.ndarray:
    """A Gaussian of peak 1 at the pixel of `center` (x, y), in an array of `size` (h, w)."""
    across, down = (
        np.exp(-((np.arange(length) - int(middle)) ** 2) / (2 * SIGMA**2))
        for length, middle in zip(size[::-1], center, strict=True)
    )
    return down[:, None] * across[None, :]


def merge(scene: Scene) -> Maps:
    """Both outputs, of the image and its mirror image, at the size of the input (on device)."""
    return _merge(scene.outputs, scene.mirrored, scene.size, tuple(scene.skeleton.flip_indices))


@partial(jax.jit, static_argnums=(2, 3))
def _merge(outputs, mirrored, size, flip_indices):
    return associative_embedding.aggregate(outputs, mirrored, np.array(flip_indices), size)


def peaks(maps: Maps, options: Grouping) -> Candidates:
    """The highest peaks of every keypoint (on device)."""
    return _peaks(*maps, options=options)


_peaks = jax.jit(associative_embedding.candidates, static_argnames="options")


def people(
    candidates: Candidates, maps: tuple[np.ndarray, np.ndarray], options: Grouping
) -> np.ndarray:
    """Keypoints [N, K, 3] from the peaks and maps of one image, given as numpy arrays (on host)."""
    first = jax.tree.map(lambda array: array[0], candidates)
    return associative_embedding.group(first, maps[0][0], maps[1][0], options)[0]


def find(scene: Scene, options: Grouping) -> np.ndarray:
    """All three steps, from the outputs of a network to keypoints [N, K, 3]."""
    maps = merge(scene)
    candidates, maps = jax.device_get((peaks(maps, options), maps))
    return people(candidates, maps, options)
