"""What grouping needs to know of the maps, found on the device with fixed shapes."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

# Sides, in pixels, of the squares over which `Bounds` are taken; each twice the next.
SIDES = (16, 8, 4)
# Pixels of a row among which peaks are looked for together.
STRIP = 16


@dataclasses.dataclass(frozen=True)
class Grouping:
    """How people are found in maps; the defaults are those of HigherHRNet's and LitePose's tests.

    Args:
      max_people: candidates of a joint, and groups that take part in matching. More groups may
        come out.
      detection_threshold: candidates must be above it; not negative.
      tag_threshold: a candidate joins a group when its tag is nearer than this to the group's.
      nms_kernel: odd side of the window in which a candidate is a maximum, in pixels.
      adjust: move joints by a quarter pixel toward the higher neighbour and by half a pixel.
      refine: fill each person's missing joints from the maps.

    Raises:
      ValueError: a value that cannot be.
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
            raise ValueError(f"nms_kernel must be an odd number from 1, got {self.nms_kernel}")


class Bounds(NamedTuple):
    """Extremes of the maps over squares of s pixels to a side.

    They let the host search whole maps for the best pixel of a person while reading few of them.
    """

    heat: jax.Array  # float32 [B, H/s, W/s, K], greatest
    tag_low: jax.Array  # float32 [B, H/s, W/s, K, T], smallest by component
    tag_high: jax.Array  # float32 [B, H/s, W/s, K, T], greatest by component


class Candidates(NamedTuple):
    """The M = max_people highest peaks of every joint, highest first, and bounds of the maps.

    `jax.tree.map(lambda array: array[i], candidates)` are those of picture i, without the [B].
    """

    values: jax.Array  # float32 [B, K, M], heat; 0 where there are fewer peaks
    places: jax.Array  # int32 [B, K, M, 2], (x, y) of the pixel
    tags: jax.Array  # float32 [B, K, M, T]
    bounds: tuple[Bounds, ...]  # for each of `SIDES`; none where nothing is to be refined


def candidates(heatmaps: ArrayLike, tags: ArrayLike, options: Grouping) -> Candidates:
    """The part of grouping that runs on the device, for a batch of maps.

    A peak is a pixel that equals the maximum of the window around it; neighbouring equal pixels are
    peaks both. Equal peaks are in row-major order.

    Args:
      heatmaps: [B, H, W, K].
      tags: [B, H, W, K, T].
      options: static under `jax.jit`.
    """
    heatmaps, tags = jnp.asarray(heatmaps, jnp.float32), jnp.asarray(tags, jnp.float32)
    batch, height, width, joints = heatmaps.shape
    values, index = _peaks(heatmaps, options.nms_kernel, options.max_people)
    x, y = index % width, index // width
    picture, joint = jnp.arange(batch)[:, None, None], jnp.arange(joints)[:, None]
    return Candidates(
        values=values,
        places=jnp.stack([x, y], axis=-1),
        tags=tags[picture, y, x, joint],
        bounds=_bounds(heatmaps, tags) if options.refine else (),
    )


def _peaks(heatmaps: jax.Array, window: int, number: int) -> tuple[jax.Array, jax.Array]:
    """Values and row-major places [B, K, M] of the highest peaks, 0 where there are no more.

    Pixels are chosen among those of the M strips of greatest maximum, where the M highest are. On a
    CPU that is several times quicker than sorting all pixels.
    """
    batch, height, width, joints = heatmaps.shape
    pooled = heatmaps
    for axis in (2, 1):
        size, padding = [1] * 4, [(0, 0)] * 4
        size[axis], padding[axis] = window, (window // 2,) * 2
        pooled = lax.reduce_window(pooled, -np.inf, lax.max, size, (1,) * 4, padding)

    columns = -(-width // STRIP)
    peaks = jnp.where(heatmaps == pooled, heatmaps, 0)
    peaks = jnp.pad(peaks, ((0, 0), (0, 0), (0, columns * STRIP - width), (0, 0)))
    strips = peaks.reshape(batch, height * columns, STRIP, joints).max(axis=2).swapaxes(1, 2)
    _, chosen = lax.top_k(strips, min(number, height * columns))
    chosen = jnp.sort(chosen)[..., None]  # row-major again, so that equal peaks stay so
    y = jnp.repeat(chosen // columns, STRIP, axis=3)
    x = chosen % columns * STRIP + jnp.arange(STRIP)
    y, x = (each.reshape(batch, joints, -1) for each in (y, x))

    pixel = jnp.arange(batch)[:, None, None], y, x, jnp.arange(joints)[:, None]
    heat = heatmaps.at[pixel].get(mode="clip")
    peak = (heat == pooled.at[pixel].get(mode="clip")) & (x < width)
    values, order = lax.top_k(jnp.where(peak, heat, 0), min(number, x.shape[2]))
    return values, jnp.take_along_axis(y * width + x, order, axis=2)


def _bounds(heatmaps: jax.Array, tags: jax.Array) -> tuple[Bounds, ...]:
    """Bounds for each of `SIDES`. The last squares of a row or column may be smaller ones."""
    most, least = (jnp.maximum, lax.max, -np.inf), (jnp.minimum, lax.min, np.inf)
    heat, low, high = _extremes(heatmaps, *most), _extremes(tags, *least), _extremes(tags, *most)
    return tuple(map(Bounds, heat, low, high))


def _extremes(
    maps: jax.Array, of_two: Callable[..., jax.Array], reducer: Callable[..., Any], start: float
) -> list[jax.Array]:
    """Extremes of maps [B, H, W, ...] over squares, for each of `SIDES`."""
    smallest = SIDES[-1]
    padding = [(0, 0), *((0, -length % smallest) for length in maps.shape[1:3])]
    padding += [(0, 0)] * (maps.ndim - 3)
    padded = jnp.pad(maps, padding, mode="edge")
    height, width = (length // smallest for length in padded.shape[1:3])
    squares = padded.reshape(-1, height, smallest, width, smallest, *maps.shape[3:])
    # Pixel by pixel of all squares at once: on a CPU quicker than a reduction.
    pixels = itertools.product(range(smallest), repeat=2)
    found = [functools.reduce(of_two, (squares[:, :, i, :, j] for i, j in pixels))]
    for _ in SIDES[1:]:
        window = (1, 2, 2) + (1,) * (maps.ndim - 3)
        padding[1:3] = ((0, length % 2) for length in found[0].shape[1:3])
        found.insert(0, lax.reduce_window(found[0], start, reducer, window, window, padding))
    return found
