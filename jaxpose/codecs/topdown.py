"""Top-down heatmap codec: one person per crop, one Gaussian heatmap per keypoint.

The arithmetic is that of the public HRNet and mmpose 0.x code, to which the published scores
belong. `encode` and `encode_batch` make training targets with jax, on the device. Decoding computes
with jax for jax arrays, eagerly or inside `jax.jit`, and with numpy for all others (see
`jaxpose.codecs.arrays`). Sizes, pairs and sigma are static. The arithmetic is float32 whatever
comes in.

Heatmap pixel i stands for input pixel `stride * i`: `encode` rounds p / stride to the nearest pixel
and `decode` multiplies by the stride. This grid is *not aligned* with the mirror of the image:
input pixel x goes to W - 1 - x, in heatmap pixels from x / stride to w - 1 / stride - x / stride,
while mirroring the heatmap takes i to w - 1 - i. Mirrored heatmaps land 1 - 1 / stride = 3/4 pixel
too far left. That is why `flip_back` moves them right by one pixel: with the rounding of `encode`,
a mirrored and flipped-back target then equals the direct one exactly, for every integer pixel. The
shift belongs to this codec; a codec with an aligned grid has none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from jaxpose import geometry
from jaxpose.codecs.arrays import as_array, einsum, namespace

if TYPE_CHECKING:
    import jax
    from jax.typing import ArrayLike

    from jaxpose.codecs.arrays import Array


def encode(
    keypoints: ArrayLike,
    visible: ArrayLike,
    input_size: tuple[int, int],
    heatmap_size: tuple[int, int],
    sigma: float,
) -> tuple[jax.Array, jax.Array]:
    """Gaussian target heatmaps of one person.

    The center is mu = trunc(p / stride + 0.5) per axis (truncation toward zero, which rounds
    slightly negative coordinates up to pixel 0). The heatmap is exp(-|q - mu|^2 / (2 sigma^2)) on
    the square |q - mu| <= 3 sigma and exactly 0 outside; its peak is exactly 1, not normalized. A
    keypoint whose square misses the heatmap gets weight 0 and an empty heatmap; one whose center is
    outside but whose square reaches in keeps its weight.

    Args:
      keypoints: [K, 2] (x, y) in input pixels.
      visible: [K], 1 where the keypoint is labeled, else 0.
      input_size: (H, W) of the network's input.
      heatmap_size: (h, w) of the heatmaps.
      sigma: of the Gaussian, in heatmap pixels.

    Returns:
      heatmaps [h, w, K] and weights [K], float32.
    """
    import jax.numpy as jnp

    keypoints = jnp.asarray(keypoints, jnp.float32)
    visible = jnp.clip(jnp.asarray(visible, jnp.float32), 0, 1)
    size = np.array([heatmap_size[1], heatmap_size[0]], np.float32)
    stride = np.array([input_size[1], input_size[0]], np.float32) / size
    radius = 3 * sigma

    center = jnp.trunc(keypoints / stride + 0.5)
    reaches = jnp.all((center - radius < size) & (center + radius + 1 >= 0), axis=-1)
    weights = jnp.where(reaches, visible, 0)

    def profile(length: int, middle: jax.Array) -> jax.Array:
        distance = jnp.arange(length, dtype=jnp.float32)[:, None] - middle
        value = jnp.exp(-(distance**2) / (2 * sigma**2))
        # Testing the weights here leaves an empty heatmap where an unlabeled coordinate is NaN.
        return jnp.where((jnp.abs(distance) <= radius) & (weights > 0), value, 0)

    rows = profile(heatmap_size[0], center[:, 1])  # [h, K]
    columns = profile(heatmap_size[1], center[:, 0])  # [w, K]
    return rows[:, None, :] * columns[None, :, :], weights


def encode_batch(
    keypoints: ArrayLike,
    input_size: tuple[int, int],
    heatmap_size: tuple[int, int],
    sigma: float,
) -> tuple[jax.Array, jax.Array]:
    """`encode` for a batch.

    Args:
      keypoints: [B, K, 3] (x, y, visible) in input pixels, as in a batch of the input pipeline.
      input_size: as for `encode`.
      heatmap_size: as for `encode`.
      sigma: as for `encode`.

    Returns:
      heatmaps [B, h, w, K] and weights [B, K], float32.
    """
    import jax
    import jax.numpy as jnp

    keypoints = jnp.asarray(keypoints, jnp.float32)

    def one(person: jax.Array) -> tuple[jax.Array, jax.Array]:
        return encode(person[:, :2], person[:, 2], input_size, heatmap_size, sigma)

    return jax.vmap(one)(keypoints)


def flip_back(
    heatmaps: ArrayLike, flip_pairs: Sequence[tuple[int, int]], shift: bool = True
) -> Array:
    """Heatmaps of the mirrored image, flipped back to be averaged with the direct ones.

    Mirrors along w, swaps the paired channels, then (shift) moves the heatmaps right by one pixel;
    column 0 keeps its value. The module's docstring explains the shift.

    Args:
      heatmaps: [B, h, w, K] of the mirrored image.
      flip_pairs: pairs of channels that swap, `Skeleton.flip_pairs`.
      shift: correct for the unaligned grid; True for this codec.

    Returns:
      [B, h, w, K].

    Raises:
      ValueError: a pair outside the channels, or a channel in two pairs.
    """
    xp = namespace(heatmaps)
    heatmaps = as_array(xp, heatmaps)
    channels = heatmaps.shape[-1]
    paired = [int(index) for pair in flip_pairs for index in pair]
    if len(set(paired)) != len(paired) or not all(0 <= index < channels for index in paired):
        raise ValueError(
            f"flip pairs {[tuple(pair) for pair in flip_pairs]} must name each of the channels "
            f"0..{channels - 1} at most once"
        )
    order = np.arange(channels)
    for first, second in flip_pairs:
        order[first], order[second] = second, first
    flipped = heatmaps[:, :, ::-1, :][..., order]
    if shift:
        flipped = xp.concatenate([flipped[:, :, :1], flipped[:, :, :-1]], axis=2)
    return flipped


def decode(heatmaps: ArrayLike, center: ArrayLike, scale: ArrayLike) -> tuple[Array, Array]:
    """Keypoints in image pixels from heatmaps, with the quarter offset.

    The first maximum in row-major order is the position (0, 0 when the maximum is not positive) and
    its value the score (not clipped). Where 1 < x < w - 1 and 1 < y < h - 1 both hold, the position
    moves a quarter pixel toward the higher neighbor on either axis (not at all between equal
    ones). The result goes back through the crop given by `center` and `scale`.

    Args:
      heatmaps: [B, h, w, K].
      center: [B, 2] of the crop, in image pixels.
      scale: [B, 2] of the crop, in units of 200 pixels; only x is used.

    Returns:
      keypoints [B, K, 2] (x, y) in image pixels and scores [B, K], float32.
    """
    xp = namespace(heatmaps, center, scale)
    heatmaps = as_array(xp, heatmaps, np.float32)
    height, width = heatmaps.shape[1:3]
    x, y, scores = _peaks(heatmaps)
    inner = (x > 1) & (x < width - 1) & (y > 1) & (y < height - 1)
    dx = xp.sign(_at(heatmaps, x + 1, y) - _at(heatmaps, x - 1, y))
    dy = xp.sign(_at(heatmaps, x, y + 1) - _at(heatmaps, x, y - 1))
    offset = xp.where(inner[..., None], 0.25 * xp.stack([dx, dy], -1), 0)
    return _to_image(x, y, offset, center, scale, (height, width)), scores


def decoder(name: str, sigma: float) -> Callable[..., tuple[Array, Array]]:
    """`decode` for "quarter", `decode_dark` for "dark".

    DARK smooths with the kernel that fits targets of `sigma` heatmap pixels: the odd width, at
    least 3, whose sigma is nearest. For 2 and 3 these are the widths of its authors, 11 and 17.
    """
    if name == "quarter":
        return decode
    return partial(decode_dark, kernel=max(3, 2 * round((sigma - 0.8) / 0.3 + 1) + 1))


def decode_dark(
    heatmaps: ArrayLike, center: ArrayLike, scale: ArrayLike, kernel: int = 11
) -> tuple[Array, Array]:
    """Keypoints in image pixels from heatmaps, with the distribution-aware (DARK) offset.

    Zhang, Zhu, Dai, Ye and Zhu, "Distribution-Aware Coordinate Representation for Human Pose
    Estimation", CVPR 2020. The heatmap is smoothed with a Gaussian kernel and scaled to its former
    maximum ("distribution modulation"). The offset leads from the maximum of the unsmoothed heatmap
    to that of the second-order Taylor expansion of the smoothed heatmap's logarithm there, -H^-1 g
    with central differences. It is applied where 1 < x < w - 2 and 1 < y < h - 2, as in the
    authors' code.

    Two guards go beyond that code, for heatmaps without a real peak: no offset where the smoothed
    heatmap does not curve down in all directions, and never more than two pixels, which is as far
    as the differences reach.

    Args:
      heatmaps: as for `decode`.
      center: as for `decode`.
      scale: as for `decode`.
      kernel: odd width of the smoothing kernel in heatmap pixels. Its sigma is
        0.3 * ((kernel - 1) / 2 - 1) + 0.8, 2 pixels for 11; it should match the targets' sigma,
        see `decoder`.

    Returns:
      keypoints [B, K, 2] (x, y) in image pixels and scores [B, K], float32.

    Raises:
      ValueError: an even kernel or one below 3.
    """
    if kernel % 2 == 0 or kernel < 3:
        raise ValueError(f"the DARK kernel must be odd and at least 3, got {kernel}")
    xp = namespace(heatmaps, center, scale)
    heatmaps = as_array(xp, heatmaps, np.float32)
    height, width = heatmaps.shape[1:3]
    x, y, scores = _peaks(heatmaps)

    rows, columns = _smoothing_matrix(height, kernel), _smoothing_matrix(width, kernel)
    smooth = einsum("yj,xi,bjik->byxk", rows, columns, heatmaps)
    top = smooth.max(axis=(1, 2), keepdims=True)
    smooth = smooth * (scores[:, None, None] / xp.where(top > 0, top, 1))
    log = xp.log(xp.maximum(smooth, 1e-10))

    def at(dx: int, dy: int) -> Array:
        return _at(log, x + dx, y + dy)

    middle = at(0, 0)
    gx = 0.5 * (at(1, 0) - at(-1, 0))
    gy = 0.5 * (at(0, 1) - at(0, -1))
    hxx = 0.25 * (at(2, 0) - 2 * middle + at(-2, 0))
    hyy = 0.25 * (at(0, 2) - 2 * middle + at(0, -2))
    hxy = 0.25 * (at(1, 1) - at(-1, 1) - at(1, -1) + at(-1, -1))
    determinant = hxx * hyy - hxy**2
    usable = (determinant > 0) & (hxx < 0)
    usable &= (x > 1) & (x < width - 2) & (y > 1) & (y < height - 2)
    divisor = xp.where(usable, determinant, 1)
    step = xp.stack([hxy * gy - hyy * gx, hxy * gx - hxx * gy], -1) / divisor[..., None]
    offset = xp.where(usable[..., None], xp.clip(step, -2, 2), 0)
    return _to_image(x, y, offset, center, scale, (height, width)), scores


def _peaks(heatmaps: Array) -> tuple[Array, Array, Array]:
    """First row-major maximum: integer x, y and its value, each [B, K]."""
    xp = namespace(heatmaps)
    batch, height, width, keypoints = heatmaps.shape
    flat = heatmaps.reshape(batch, height * width, keypoints)
    scores = flat.max(axis=1)
    index = xp.where(scores <= 0, 0, flat.argmax(axis=1))
    return index % width, index // width, scores


def _at(maps: Array, x: Array, y: Array) -> Array:
    """Values [B, K] at integer positions [B, K]; positions outside read the nearest border."""
    xp = namespace(maps)
    batch, height, width, keypoints = maps.shape
    index = xp.clip(y, 0, height - 1) * width + xp.clip(x, 0, width - 1)
    flat = maps.reshape(batch, height * width, keypoints)
    return xp.take_along_axis(flat, index[:, None], axis=1)[:, 0]


def _smoothing_matrix(length: int, kernel: int) -> np.ndarray:
    """[length, length] band matrix: a normalized Gaussian along one axis, zeros outside the map.

    A product of two such matrices is a separable convolution that is fast on every device.
    """
    sigma = 0.3 * ((kernel - 1) / 2 - 1) + 0.8
    distance = np.arange(length)[:, None] - np.arange(length)[None, :]
    taps = np.exp(-((np.arange(kernel) - kernel // 2) ** 2) / (2 * sigma**2))
    band = np.exp(-(distance**2) / (2 * sigma**2)) * (np.abs(distance) <= kernel // 2)
    return (band / taps.sum()).astype(np.float32)


def _to_image(
    x: Array,
    y: Array,
    offset: Array,
    center: ArrayLike,
    scale: ArrayLike,
    heatmap_size: tuple[int, int],
) -> Array:
    """Heatmap pixels x, y [B, K] and offsets [B, K, 2] as points [B, K, 2] of the image."""
    xp = namespace(x, center, scale)
    points = xp.stack([x, y], -1).astype(np.float32) + offset
    center, scale = as_array(xp, center, np.float32), as_array(xp, scale, np.float32)
    return geometry.heatmap_to_image(points, center, scale, heatmap_size)
