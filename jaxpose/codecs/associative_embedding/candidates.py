"""What grouping needs to know about the maps: peaks and bounds, in arrays of fixed shapes."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jaxpose.codecs.arrays import (
    as_array,
    gather,
    halve,
    max_pool,
    namespace,
    pad,
    strip_max,
    top_k,
)

if TYPE_CHECKING:
    from jax.typing import ArrayLike

    from jaxpose.codecs.arrays import Array

# Sides, in pixels, of the squares over which `Bounds` are taken; each is twice the next.
SIDES = (16, 8, 4)
# Pixels of a row that are searched for peaks together; a power of two.
STRIP = 16


@dataclasses.dataclass(frozen=True)
class Grouping:
    """Grouping options; the defaults are those of HigherHRNet's and LitePose's test configurations.

    Args:
      max_people: candidates per keypoint, and groups that take part in matching. The result may
        have more groups.
      detection_threshold: candidates must be above it; not negative.
      tag_threshold: maximum distance between the tags of a candidate and of the group that it
        joins.
      nms_kernel: odd side of the window in which a candidate is the maximum, in pixels.
      adjust: move keypoints by a quarter pixel toward the higher neighbor and by half a pixel.
      refine: fill in each person's missing keypoints from the maps.

    Raises:
      ValueError: an option outside its range.
    """

    max_people: int = 30
    detection_threshold: float = 0.1
    tag_threshold: float = 1.0
    nms_kernel: int = 5
    adjust: bool = True
    refine: bool = True

    def __post_init__(self) -> None:
        if self.max_people < 1:
            raise ValueError(f"max_people must be at least 1, got {self.max_people}")
        if not self.detection_threshold >= 0:
            raise ValueError(
                f"detection_threshold must not be negative, got {self.detection_threshold}"
            )
        if self.nms_kernel < 1 or self.nms_kernel % 2 == 0:
            raise ValueError(
                f"nms_kernel must be an odd number of at least 1, got {self.nms_kernel}"
            )


class Bounds(NamedTuple):
    """Extremes of the maps over squares of s pixels to a side.

    They let the host search whole maps for the best pixel of a person while reading few pixels.
    """

    heat: Array  # float32 [B, H/s, W/s, K], largest
    tag_low: Array  # float32 [B, H/s, W/s, K, T], smallest by component
    tag_high: Array  # float32 [B, H/s, W/s, K, T], largest by component


class Candidates(NamedTuple):
    """The M = max_people highest peaks of every keypoint, highest first, and bounds of the maps.

    `arrays.image_of(candidates, i)` are those of image i, without the [B].
    """

    values: Array  # float32 [B, K, M], of the heatmap; 0 where there are fewer peaks
    positions: Array  # int32 [B, K, M, 2], (x, y) of the pixel
    tags: Array  # float32 [B, K, M, T]
    bounds: tuple[Bounds, ...]  # for each of `SIDES`; none where nothing is to be refined


def candidates(heatmaps: ArrayLike, tags: ArrayLike, options: Grouping) -> Candidates:
    """Peaks and bounds of a batch of maps.

    A peak is a pixel that equals the maximum of the window around it; of neighboring equal pixels,
    both are peaks. Equal peaks are in row-major order.

    Args:
      heatmaps: [B, H, W, K].
      tags: [B, H, W, K, T].
      options: static under `jax.jit`.
    """
    xp = namespace(heatmaps, tags)
    heatmaps, tags = as_array(xp, heatmaps, np.float32), as_array(xp, tags, np.float32)
    batch, height, width, keypoints = heatmaps.shape
    values, index = _peaks(heatmaps, options.nms_kernel, options.max_people)
    x, y = index % width, index // width
    image, keypoint = xp.arange(batch)[:, None, None], xp.arange(keypoints)[:, None]
    return Candidates(
        values=values,
        positions=xp.stack([x, y], axis=-1),
        tags=tags[image, y, x, keypoint],
        bounds=_bounds(heatmaps, tags) if options.refine else (),
    )


def _peaks(heatmaps: Array, window: int, number: int) -> tuple[Array, Array]:
    """Values and row-major indices [B, K, M] of the highest peaks, 0 where there are no more.

    Pixels are chosen among those of the M strips of largest maximum, where the M highest are. On a
    CPU that is several times faster than sorting all pixels.
    """
    xp = namespace(heatmaps)
    batch, height, width, keypoints = heatmaps.shape
    pooled = max_pool(heatmaps, window)
    columns = -(-width // STRIP)
    peaks = xp.where(heatmaps == pooled, heatmaps, 0)
    peaks = pad(peaks, ((0, 0), (0, 0), (0, columns * STRIP - width), (0, 0)))
    strips = strip_max(peaks.reshape(batch, height * columns, STRIP, keypoints))
    _, chosen = top_k(strips.swapaxes(1, 2), min(number, height * columns))
    # Row-major again, so that equal peaks stay so.
    chosen = xp.sort(chosen)[..., None]
    y = xp.repeat(chosen // columns, STRIP, axis=3)
    x = chosen % columns * STRIP + xp.arange(STRIP, dtype=np.int32)
    y, x = (each.reshape(batch, keypoints, -1) for each in (y, x))

    pixel = xp.arange(batch)[:, None, None], y, x, xp.arange(keypoints)[:, None]
    heat = gather(heatmaps, pixel)
    peak = (heat == gather(pooled, pixel)) & (x < width)
    values, order = top_k(xp.where(peak, heat, 0), min(number, x.shape[2]))
    return values, xp.take_along_axis(y * width + x, order, axis=2)


def _bounds(heatmaps: Array, tags: Array) -> tuple[Bounds, ...]:
    """Bounds for each of `SIDES`. The last squares of a row or column may be smaller."""
    heat = _extremes(heatmaps, largest=True)
    low, high = (_extremes(tags, largest) for largest in (False, True))
    return tuple(map(Bounds, heat, low, high))


def _extremes(maps: Array, largest: bool) -> list[Array]:
    """Extremes of maps [B, H, W, ...] over squares, for each of `SIDES`."""
    xp = namespace(maps)
    smallest = SIDES[-1]
    padding = [(0, 0), *((0, -length % smallest) for length in maps.shape[1:3])]
    padding += [(0, 0)] * (maps.ndim - 3)
    padded = pad(maps, padding, mode="edge")
    height, width = (length // smallest for length in padded.shape[1:3])
    squares = padded.reshape(-1, height, smallest, width, smallest, *maps.shape[3:])
    # Pixel by pixel of all squares at once: on a CPU faster than a reduction.
    pixels = itertools.product(range(smallest), repeat=2)
    of_two = xp.maximum if largest else xp.minimum
    extremes = [functools.reduce(of_two, (squares[:, :, i, :, j] for i, j in pixels))]
    for _ in SIDES[1:]:
        extremes.insert(0, halve(extremes[0], largest))
    return extremes
