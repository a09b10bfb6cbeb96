"""SimCC codec: the coordinates of a keypoint as two classifications, one per axis.

Li et al., SimCC: A Simple Coordinate Classification Perspective for Human Pose Estimation, ECCV
2022, with the targets, the decoding and the flip test of RTMPose (Jiang et al., RTMPose: Real-Time
Multi-Person Pose Estimation based on MMPose, 2023) as released in mmpose 1.x.

Each axis of the input is divided into `split_ratio` bins per pixel; bin i stands for the coordinate
i / split_ratio. Targets are Gaussians over all bins of an axis. `encode` and `encode_batch` make
them with jax, on the device. Decoding computes with jax for jax arrays, eagerly or inside
`jax.jit`, and with numpy for all others (see `jaxpose.codecs.arrays`). The arithmetic is float32
whatever comes in.

Sizes are (H, W), but points, sigmas and the two vectors of a keypoint are in the order x, y. Crops
are those of `geometry.affine` without `udp`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxpose import geometry
from jaxpose.codecs.arrays import as_array, namespace
from jaxpose.codecs.topdown import paired_order

if TYPE_CHECKING:
    import jax
    from jax.typing import ArrayLike

    from jaxpose.codecs.arrays import Array

SPLIT_RATIO = 2.0  # bins per pixel of the input, in RTMPose


def default_sigma(input_size: tuple[int, int]) -> tuple[float, float]:
    """RTMPose's sigma (x, y) in bins: 6 for a side of 288 pixels, growing with its square root.

    Rounded to two decimals, this gives the values of all public configurations.

    >>> default_sigma((256, 192)), default_sigma((384, 288))
    ((4.9, 5.66), (6.0, 6.93))
    """
    height, width = input_size
    return round(6 * (width / 288) ** 0.5, 2), round(6 * (height / 288) ** 0.5, 2)


def bins(input_size: tuple[int, int], split_ratio: float = SPLIT_RATIO) -> tuple[int, int]:
    """Number of bins in x and in y.

    >>> bins((256, 192))
    (384, 512)
    """
    height, width = input_size
    return int(width * split_ratio), int(height * split_ratio)


def encode(
    keypoints: ArrayLike,
    visible: ArrayLike,
    input_size: tuple[int, int],
    sigma: tuple[float, float],
    split_ratio: float = SPLIT_RATIO,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Target vectors of one person.

    With mu = p * split_ratio, rounded half to even, the vector of an axis is
    exp(-(i - mu)^2 / (2 sigma^2)) over all bins i, not normalized: its peak is 1 if mu is a bin. An
    unlabeled keypoint has two empty vectors and keeps its weight; a keypoint that is 3 sigma or
    more outside on either axis has two empty vectors and weight 0.

    Args:
      keypoints: [K, 2] (x, y) in input pixels.
      visible: [K], 1 where the keypoint is labeled, else 0.
      input_size: (H, W) of the network's input.
      sigma: (x, y) of the Gaussians, in bins.
      split_ratio: bins per pixel.

    Returns:
      x [K, split_ratio * W], y [K, split_ratio * H] and weights [K], float32.
    """
    import jax.numpy as jnp

    keypoints = jnp.asarray(keypoints, jnp.float32)
    visible = jnp.asarray(visible, jnp.float32)
    counts = np.array(bins(input_size, split_ratio), np.float32)
    spread = np.array(sigma, np.float32)

    center = jnp.round(keypoints * split_ratio)
    reaches = jnp.all((center - 3 * spread < counts) & (center + 3 * spread + 1 >= 0), axis=-1)
    labeled = visible >= 0.5
    weights = jnp.where(labeled & ~reaches, 0, visible)

    def vector(axis: int) -> jax.Array:
        positions = jnp.arange(int(counts[axis]), dtype=jnp.float32)
        value = jnp.exp(-((positions - center[:, axis, None]) ** 2) / (2 * spread[axis] ** 2))
        # A condition, not a product: unlabeled coordinates may be NaN.
        return jnp.where((labeled & reaches)[:, None], value, 0)

    return vector(0), vector(1), weights


def encode_batch(
    keypoints: ArrayLike,
    input_size: tuple[int, int],
    sigma: tuple[float, float],
    split_ratio: float = SPLIT_RATIO,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """`encode` for a batch.

    Args:
      keypoints: [B, K, 3] (x, y, visible) in input pixels, as in a batch of the input pipeline.
      input_size: as for `encode`.
      sigma: as for `encode`.
      split_ratio: as for `encode`.

    Returns:
      x [B, K, split_ratio * W], y [B, K, split_ratio * H] and weights [B, K], float32.
    """
    import jax
    import jax.numpy as jnp

    keypoints = jnp.asarray(keypoints, jnp.float32)

    def one(person: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        return encode(person[:, :2], person[:, 2], input_size, sigma, split_ratio)

    return jax.vmap(one)(keypoints)


def flip_back(
    x: ArrayLike, y: ArrayLike, flip_pairs: Sequence[tuple[int, int]]
) -> tuple[Array, Array]:
    """Vectors of the mirrored image, flipped back to be averaged with the direct ones.

    The bins of x are reversed, and the paired keypoints are swapped on both axes. Bin i of the
    mirrored image stands for the same coordinate as bin n - 2 - i of the direct one, not
    n - 1 - i: the reversed vector is one bin off, so that the average is a quarter of a pixel off.
    The public scores of RTMPose contain this error; so does this function.

    Args:
      x: [B, K, n] of the mirrored image.
      y: [B, K, m] of the mirrored image.
      flip_pairs: pairs of keypoints that swap, `Skeleton.flip_pairs`.

    Returns:
      x [B, K, n] and y [B, K, m].

    Raises:
      ValueError: a pair outside the keypoints, or a keypoint in two pairs.
    """
    xp = namespace(x, y)
    x, y = as_array(xp, x), as_array(xp, y)
    order = paired_order(flip_pairs, x.shape[1])
    return x[:, order, ::-1], y[:, order]


def decode(x: ArrayLike, y: ArrayLike, center: ArrayLike, scale: ArrayLike) -> tuple[Array, Array]:
    """Keypoints in image pixels from two vectors per keypoint: `locate`, then `in_image`.

    Args:
      x: [B, K, n], n bins over the width of the crop.
      y: [B, K, m], m bins over the height of the crop.
      center: [B, 2] of the crop, in image pixels.
      scale: [B, 2] of the crop, in units of 200 pixels.

    Returns:
      keypoints [B, K, 2] (x, y) in image pixels and scores [B, K], float32.
    """
    places, scores = locate(x, y)
    return in_image(places, (np.shape(x)[-1], np.shape(y)[-1]), center, scale), scores


def locate(x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    """Positions in bins from two vectors per keypoint.

    The first maximum of each vector is the position; the smaller of the two maxima is the score,
    which is neither a probability nor clipped. Where the score is not positive, both positions are
    -1. The exporter can write these operations into a file.

    Args:
      x: [B, K, n].
      y: [B, K, m].

    Returns:
      positions [B, K, 2] (x, y) in bins and scores [B, K], float32.
    """
    xp = namespace(x, y)
    x, y = as_array(xp, x, np.float32), as_array(xp, y, np.float32)
    scores = xp.minimum(x.max(axis=-1), y.max(axis=-1))
    highest = [v.argmax(axis=-1).astype(np.float32)[..., None] for v in (x, y)]
    places = xp.concatenate(highest, axis=-1)
    return xp.where((scores <= 0)[..., None], np.float32(-1), places), scores


def in_image(
    points: ArrayLike, extent: tuple[int, int], center: ArrayLike, scale: ArrayLike
) -> Array:
    """Points of crops in image pixels; both components of the scale are used.

    Args:
      points: [B, K, 2] (x, y).
      extent: (width, height) of a crop, in the unit of the points.
      center: [B, 2] of the crop, in image pixels.
      scale: [B, 2] of the crop, in units of 200 pixels.

    Returns:
      [B, K, 2], float32.
    """
    xp = namespace(points, center, scale)
    size = as_array(xp, scale, np.float32)[:, None] * np.float32(geometry.PIXEL_STD)
    corner = as_array(xp, center, np.float32)[:, None] - size / 2
    return as_array(xp, points, np.float32) / np.array(extent, np.float32) * size + corner


def heatmaps(x: Array, y: Array, group: int) -> Array:
    """Heatmaps that show two vectors per keypoint: at (i, j) the smaller of x_i and y_j.

    A pixel has the largest value of its bins. The highest value of a heatmap is therefore the score
    of `decode`, at the position of the keypoint.

    Args:
      x: [B, K, n].
      y: [B, K, m].
      group: bins per heatmap pixel on each axis, a divisor of n and m.

    Returns:
      [B, m / group, n / group, K].
    """
    xp = namespace(x, y)
    columns, rows = (v.reshape(*v.shape[:2], -1, group).max(axis=-1) for v in (x, y))
    return xp.minimum(rows[:, :, :, None], columns[:, :, None, :]).transpose(0, 2, 3, 1)
