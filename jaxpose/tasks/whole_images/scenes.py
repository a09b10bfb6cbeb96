"""What a bottom-up network says about pictures of so many people, drawn: no weights are needed.

People stand in the cells of a grid, their joints somewhere in the middle; each has a tag of its
own, some joints are missing, and the maps have a little noise everywhere.
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

SIGMA = 2.0  # of the peaks, in pixels of each map, as trained networks have them
# Distance of one person's tags from the next one's. It is rounded up where grouping rounds, and
# twice it down: else two people who each lack a joint could be matched across a third.
APART = 2.7

Outputs = tuple[np.ndarray, np.ndarray]  # [1, H/4, W/4, 2K] and [1, H/2, W/2, K]
Maps = tuple[jax.Array, jax.Array]  # heatmaps [1, H, W, K] and tags [1, H, W, K, T]


@dataclasses.dataclass(frozen=True)
class Scene:
    """The outputs of a network for one picture, and for its mirror image (None without one).

    `size` (H, W) is that of the network's input; `joints` [P, K, 3] (x, y, 1 where it is there, in
    pixels of the input) is what was drawn.
    """

    outputs: Outputs
    mirrored: Outputs | None
    size: tuple[int, int]
    joints: np.ndarray
    skeleton: Skeleton

    def on_device(self) -> Scene:
        """The same with its maps on the device."""
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
    """A scene of so many people, the same for the same seed.

    Args:
      people: P.
      size: (H, W) of the network's input, multiples of 32.
      skeleton: whose joints.
      missing: share of joints that are not there: each is then looked for by `refine`.
      flip: with the outputs for the mirror image.
    """
    rng = np.random.default_rng(seed)
    count, (height, width) = skeleton.num_joints, size
    columns = max(1, math.ceil(math.sqrt(people * width / height)))
    rows = max(1, math.ceil(people / columns))
    cell = np.array([width / columns, height / rows])
    corner = np.array([divmod(n, columns)[::-1] for n in range(people)]).reshape(-1, 2) * cell
    # On the grid of the low map, so that peaks are sharp in both.
    points = corner[:, None] + rng.uniform(0.3, 0.7, (people, count, 2)) * cell
    points = points // 4 * 4 + 2
    there = rng.uniform(size=(people, count)) >= missing
    joints = np.concatenate([points, there[..., None]], -1)
    spacing = APART / math.sqrt(2 if flip else 1)
    tags = spacing * np.arange(people)[:, None] + rng.normal(0, 0.02, (people, count))
    heat = rng.uniform(0.5, 0.9, (people, count)) * there

    low = rng.normal(0, 0.01, (height // 4, width // 4, 2 * count))
    high = rng.normal(0, 0.01, (height // 2, width // 2, count))
    for person in range(people):
        for k in np.flatnonzero(there[person]):
            for maps, stride in ((low, 4), (high, 2)):
                stamp = heat[person, k] * _stamp(maps.shape[:2], points[person, k] / stride)
                higher = stamp > maps[..., k]
                maps[..., k][higher] = stamp[higher]
                if stride == 4:
                    maps[..., count + k][higher & (stamp > 0.05)] = tags[person, k]
    outputs = low[None].astype(np.float32), high[None].astype(np.float32)
    mirrored = None
    if flip:
        turn = skeleton.flip_indices
        both = np.concatenate([turn, count + turn])
        mirrored = (outputs[0][:, :, ::-1, both], outputs[1][:, :, ::-1, turn])
    return Scene(outputs, mirrored, size, joints, skeleton)


def _stamp(grid: tuple[int, int], center: np.ndarray) -> np.ndarray:
    """A Gaussian of peak 1 at the pixel of (x, y)."""
    across, down = (
        np.exp(-((np.arange(length) - int(middle)) ** 2) / (2 * SIGMA**2))
        for length, middle in zip(grid[::-1], center, strict=True)
    )
    return down[:, None] * across[None, :]


def merge(scene: Scene) -> Maps:
    """On the device: both outputs, both passes, at the size of the input."""
    return _merge(scene.outputs, scene.mirrored, scene.size, tuple(scene.skeleton.flip_indices))


@partial(jax.jit, static_argnums=(2, 3))
def _merge(outputs, mirrored, size, flip_indices):
    return associative_embedding.aggregate(outputs, mirrored, np.array(flip_indices), size)


def peaks(maps: Maps, options: Grouping) -> Candidates:
    """On the device: the highest peaks of every joint."""
    return _peaks(*maps, options=options)


_peaks = jax.jit(associative_embedding.candidates, static_argnames="options")


def people(found: Candidates, maps: tuple[np.ndarray, np.ndarray], options: Grouping) -> np.ndarray:
    """On the host: keypoints [N, K, 3] from the peaks and maps of one picture, numpy arrays."""
    first = jax.tree.map(lambda array: array[0], found)
    return associative_embedding.group(first, maps[0][0], maps[1][0], options)[0]


def find(scene: Scene, options: Grouping) -> np.ndarray:
    """All three, from a network's outputs to keypoints [N, K, 3]."""
    maps = merge(scene)
    found, maps = jax.device_get((peaks(maps, options), maps))
    return people(found, maps, options)
