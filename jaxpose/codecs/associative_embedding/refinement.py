"""Filling in the keypoints that a person lacks, from all pixels of the maps; numpy, on the host.

For keypoint k of a person of mean tag m, the best pixel is the one of largest
heat_k - round(|tag_k - m|), the first of several in row-major order. Scoring whole maps for every
missing keypoint would take a second for a crowded image. So squares of pixels that cannot hold the
best one are left out, first large ones, then smaller ones inside the remaining ones: over a square,
the score lies between bounds that follow from the square's extremes (`Bounds`). They hold for the
scores as computed, not only for exact ones, since every step of the score rounds monotonically and
the bounds take the same steps.

What remains is a list of pairs: a missing keypoint (its row, ascending) and a square, by its
row-major number. Many people lack the same keypoint; what their pairs need of the maps is read once
and shared.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jaxpose.codecs.associative_embedding.candidates import SIDES, Bounds

if TYPE_CHECKING:
    from jaxpose.codecs.arrays import Array

# Pairs whose pixels are read together: few enough for the processor's cache.
_AT_ONCE = 2048


class Level(NamedTuple):
    """Squares of one side, in pixels, that cover an image; single pixels are their own bounds."""

    side: int
    bounds: Bounds


class Pairs(NamedTuple):
    """Squares that may hold the best pixel of a row; arrays [M], rows ascending."""

    row: np.ndarray
    square: np.ndarray
    upper: np.ndarray  # bound of the square's scores for that row

    def only(self, which: np.ndarray) -> Pairs:
        return Pairs(*(array[which] for array in self))


def find_missing(
    heatmaps: np.ndarray,
    tags: np.ndarray,
    bounds: Sequence[Bounds],
    keypoints: np.ndarray,
    means: np.ndarray,
) -> np.ndarray:
    """The best pixel of each missing keypoint.

    Args:
      heatmaps: float32 [H, W, K].
      tags: float32 [H, W, K, T].
      bounds: of these maps, as `candidates` makes them.
      keypoints: int [n], the missing keypoints, ascending.
      means: float32 [n, T], the mean tags of the people who lack them.

    Returns:
      int [n], y * W + x.

    Raises:
      ValueError: maps that are not finite.
    """
    best = np.zeros(len(keypoints), np.int64)
    if len(keypoints) == 0:
        return best
    levels = [*map(Level, SIDES, bounds), Level(1, Bounds(heatmaps, tags, tags))]
    pairs = _begin(levels, keypoints, means)
    # Where many squares remain, as in the maps of an untrained network, all pixels are read.
    whole = np.bincount(pairs.row) > bounds[0].heat[..., 0].size * 3 // 4
    for number in np.flatnonzero(whole):
        best[number] = _scan(heatmaps, tags, keypoints[number], means[number])
    pairs = pairs.only(~whole[pairs.row])
    for outer, inner in itertools.pairwise(levels[:-1]):
        pairs = _narrow(levels, outer, inner, keypoints, means, pairs)
    row, pixel = _finish(levels, keypoints, means, pairs)
    best[row] = pixel
    return best


def _begin(levels: Sequence[Level], keypoints: np.ndarray, means: np.ndarray) -> Pairs:
    """The largest squares that may hold best pixels."""
    rows, columns, channels = levels[0].bounds.heat.shape
    every = np.arange(rows * columns) * channels + np.arange(channels)[:, None]  # [K, N]
    (heat,), low, high = (_read(each, every) for each in levels[0].bounds)
    parts = []
    for keypoint in np.unique(keypoints):
        start, stop = np.searchsorted(keypoints, [keypoint, keypoint + 1])
        lowest, highest = ([component[keypoint] for component in tag] for tag in (low, high))
        mean = means[start:stop].T[:, :, None]
        upper, lower = _between(heat[keypoint], lowest, highest, mean)
        best = lower.max(axis=1, keepdims=True)
        if not np.isfinite(best).all():
            raise ValueError(f"maps of keypoint {keypoint} are not finite")
        kept = np.flatnonzero(upper >= best)
        row, square = np.divmod(kept, rows * columns)
        parts.append((row + start, square, upper.take(kept), lower.take(kept)))
    row, square, upper, lower = (np.concatenate(part) for part in zip(*parts, strict=True))
    return _first(levels, levels[0], Pairs(row, square, upper), lower)


def _narrow(
    levels: Sequence[Level],
    outer: Level,
    inner: Level,
    keypoints: np.ndarray,
    means: np.ndarray,
    pairs: Pairs,
) -> Pairs:
    """Of the inner squares in outer ones, those that may hold best pixels."""
    inside, read, source = _inside(outer, inner, keypoints[pairs.row], pairs.square)
    (heat,), low, high = (
        [part.take(source, axis=0).ravel() for part in _read(each, read)] for each in inner.bounds
    )
    number = inside.shape[1]
    mean = [np.repeat(component, number) for component in means[pairs.row].T]
    upper, lower = _between(heat, low, high, mean)  # [M * number]
    start = _starts(pairs.row) * number
    best = np.maximum.reduceat(lower, start)
    kept = np.flatnonzero(upper >= np.repeat(best, np.diff(start, append=len(lower))))
    of, which = np.divmod(kept, number)
    remaining = Pairs(pairs.row[of], inside[source[of], which], upper[kept])
    return _first(levels, inner, remaining, lower[kept])


def _finish(
    levels: Sequence[Level], keypoints: np.ndarray, means: np.ndarray, pairs: Pairs
) -> tuple[np.ndarray, np.ndarray]:
    """The rows of the pairs, each once, and their best pixels.

    The most promising squares come first: in a crowd, their pixels rule out most of the others.
    """
    score = np.full(len(keypoints), -np.inf, np.float32)
    best = np.zeros(len(keypoints), np.int64)
    rows = pairs.row[_starts(pairs.row)]
    for promising in (True, True, False):
        if len(pairs.row) == 0:
            break
        chosen = np.ones(len(pairs.row), bool)
        if promising:
            chosen = pairs.upper == _over_rows(np.maximum, pairs.upper, pairs.row)
        for start in range(0, chosen.sum(), _AT_ONCE):
            part = pairs.only(np.flatnonzero(chosen)[start : start + _AT_ONCE])
            row, value, pixel = _pixels(levels, keypoints, means, part)
            better = (value > score[row]) | ((value == score[row]) & (pixel < best[row]))
            score[row[better]], best[row[better]] = value[better], pixel[better]
        pairs = pairs.only(~chosen & (pairs.upper >= score[pairs.row]))
    return rows, best[rows]


def _pixels(
    levels: Sequence[Level], keypoints: np.ndarray, means: np.ndarray, pairs: Pairs
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows of pairs with the smallest squares, each once, their best scores and pixels."""
    heatmaps, tags, _ = levels[-1].bounds
    pixel = _split(levels[-2], levels[-1], pairs.square)  # [M, number]
    read = pixel * heatmaps.shape[2] + keypoints[pairs.row][:, None]
    squared = np.float32(0)
    for component, mean in zip(_read(tags, read), means[pairs.row].T[..., None], strict=True):
        squared = squared + np.square(component - mean)
    score = (_read(heatmaps, read)[0] - np.rint(np.sqrt(squared))).ravel()
    start = _starts(pairs.row)
    best = np.maximum.reduceat(score, start * pixel.shape[1])
    ends = np.diff(start, append=len(pairs.row)) * pixel.shape[1]
    first = np.where(score == np.repeat(best, ends), pixel.ravel(), heatmaps[..., 0].size)
    return pairs.row[start], best, np.minimum.reduceat(first, start * pixel.shape[1])


def _scan(heatmaps: np.ndarray, tags: np.ndarray, keypoint: int, mean: np.ndarray) -> int:
    """The best pixel, from all of the map."""
    heat, components = heatmaps[..., keypoint], np.moveaxis(tags[:, :, keypoint], -1, 0)
    return int(np.argmax(_between(heat, components, components, mean)[0]))


def _between(
    heat: np.ndarray,
    low: Iterable[np.ndarray],
    high: Iterable[np.ndarray],
    mean: Iterable[np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Upper and lower bounds of the best score in squares; equal where low and high are.

    No pixel's tag is nearer to the mean than the nearest point of the box that the square's tags
    lie in, and that of the pixel of largest heat is no farther than the box's farthest point.

    Args:
      heat: largest of the square.
      low, high, mean: one array for each of the T components of the tags.
    """
    near = far = np.float32(0)
    for lowest, highest, middle in zip(low, high, mean, strict=True):
        under, over = lowest - middle, middle - highest
        outside = np.maximum(under, over)
        near = near + np.square(np.maximum(outside, np.zeros_like(outside)))
        far = far + np.square(np.minimum(under, over))
    return heat - np.rint(np.sqrt(near)), heat - np.rint(np.sqrt(far))


def _first(levels: Sequence[Level], level: Level, pairs: Pairs, lower: np.ndarray) -> Pairs:
    """Those of the pairs that may hold the first of their row's best pixels.

    Where a square's upper bound equals the largest lower bound, some square certainly holds a pixel
    as good; if that square comes first, this one is left out. (Heat that is exactly 0 all over the
    background has such ties everywhere.)
    """
    height, width, _ = levels[-1].bounds.heat.shape
    row, square, upper = pairs
    best = _over_rows(np.maximum, lower, row)
    y, x = np.divmod(square, level.bounds.heat.shape[1])
    y, x = y * level.side, x * level.side
    last = np.minimum(y + level.side, height) * width + np.minimum(x + level.side, width)
    last = np.where(lower == best, last - width - 1, height * width)
    early = y * width + x <= _over_rows(np.minimum, last, row)
    return pairs.only((upper > best) | ((upper == best) & early))


def _inside(
    outer: Level, inner: Level, keypoint: np.ndarray, square: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The inner squares of M outer ones, one keypoint each; each outer square of a keypoint once.

    Returns:
      numbers [U, n] of the inner squares, where they are read (`_read`) [U, n], and which of the U
      each of the M is.
    """
    count, channels = outer.bounds.heat[..., 0].size, outer.bounds.heat.shape[2]
    code = keypoint * count + square
    order = np.zeros(channels * count, np.int64)
    order[code] = 1
    distinct = np.flatnonzero(order)
    order[distinct] = np.arange(len(distinct))
    keypoint, square = np.divmod(distinct, count)
    inside = _split(outer, inner, square)
    return inside, inside * channels + keypoint[:, None], order[code]


def _split(outer: Level, inner: Level, square: np.ndarray) -> np.ndarray:
    """The inner squares of outer ones [M], by number; [M, n].

    Where some would be outside the image, the last ones inside are repeated.
    """
    rows, columns, _ = inner.bounds.heat.shape
    times = outer.side // inner.side
    y, x = np.divmod(square, outer.bounds.heat.shape[1])
    step = np.arange(times)
    y = np.minimum(y[:, None, None] * times + step[:, None], rows - 1)
    x = np.minimum(x[:, None, None] * times + step, columns - 1)
    return (y * columns + x).reshape(len(square), times * times)


def _read(maps: Array, where: np.ndarray) -> list[np.ndarray]:
    """Values at flat indices of [H, W, K]; of maps [H, W, K, T], those of each component."""
    depth = 1 if maps.ndim == 3 else maps.shape[3]
    flat = np.asarray(maps).reshape(-1)
    return [flat.take(where * depth + component) for component in range(depth)]


def _starts(row: np.ndarray) -> np.ndarray:
    """Where each run of equal rows begins."""
    return np.flatnonzero(np.diff(row, prepend=-1))


def _over_rows(extreme: np.ufunc, values: np.ndarray, row: np.ndarray) -> np.ndarray:
    """The extreme of each run of rows, for every member of the run."""
    start = _starts(row)
    return np.repeat(extreme.reduceat(values, start), np.diff(start, append=len(row)))
