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
shift belongs to this grid.

With `udp=True`, targets and decoding follow Huang et al., The Devil Is in the Details: Delving into
Unbiased Data Processing for Human Pose Estimation, CVPR 2020, in the form of mmpose 1.x. Heatmap
pixel i then stands for input pixel (W - 1) / (w - 1) * i, because lengths are measured between
pixel centers. This grid is aligned with that of the mirrored image, so `flip_back` needs no shift.
Targets are Gaussians around the unrounded keypoint. Crops must be those of
`geometry.affine(udp=True)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from jaxpose import geometry
from jaxpose.codecs.arrays import as_array, namespace
from jaxpose.codecs.peaks import check_kernel, first_maximum, smoothed, values_at
from jaxpose.codecs.udp import refine

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
    udp: bool = False,
) -> tuple[jax.Array, jax.Array]:
    """Gaussian target heatmaps of one person.

    The center is mu = trunc(p / stride + 0.5) per axis (truncation toward zero, which rounds
    slightly negative coordinates up to pixel 0). The heatmap is exp(-|q - mu|^2 / (2 sigma^2)) on
    the square |q - mu| <= 3 sigma and exactly 0 outside; its peak is exactly 1, not normalized. A
    keypoint whose square misses the heatmap gets weight 0 and an empty heatmap; one whose center is
    outside but whose square overlaps the heatmap keeps its weight.

    With `udp`, the position on the heatmap is q = p * (w - 1, h - 1) / (W - 1, H - 1), the square
    is that around mu = trunc(q + 0.5), and the Gaussian is that around q, so its peak is below 1
    unless q is a pixel.

    Args:
      keypoints: [K, 2] (x, y) in input pixels.
      visible: [K], 1 where the keypoint is labeled, else 0.
      input_size: (H, W) of the network's input.
      heatmap_size: (h, w) of the heatmaps.
      sigma: of the Gaussian, in heatmap pixels.
      udp: use the grid and the centers of UDP.

    Returns:
      heatmaps [h, w, K] and weights [K], float32.
    """
    import jax.numpy as jnp

    keypoints = jnp.asarray(keypoints, jnp.float32)
    visible = jnp.clip(jnp.asarray(visible, jnp.float32), 0, 1)
    size = np.array([heatmap_size[1], heatmap_size[0]], np.float32)
    input_length = np.array([input_size[1], input_size[0]], np.float32)
    stride = (input_length - 1) / (size - 1) if udp else input_length / size
    radius = 3 * sigma

    position = keypoints / stride
    center = jnp.trunc(position + 0.5)
    peak = position if udp else center
    reaches = jnp.all((center - radius < size) & (center + radius + 1 >= 0), axis=-1)
    weights = jnp.where(reaches, visible, 0)

    def profile(length: int, axis: int) -> jax.Array:
        pixels = jnp.arange(length, dtype=jnp.float32)[:, None]
        value = jnp.exp(-((pixels - peak[:, axis]) ** 2) / (2 * sigma**2))
        # Testing the weights here leaves an empty heatmap where an unlabeled coordinate is NaN.
        inside = (jnp.abs(pixels - center[:, axis]) <= radius) & (weights > 0)
        return jnp.where(inside, value, 0)

    rows = profile(heatmap_size[0], 1)  # [h, K]
    columns = profile(heatmap_size[1], 0)  # [w, K]
    return rows[:, None, :] * columns[None, :, :], weights


def encode_batch(
    keypoints: ArrayLike,
    input_size: tuple[int, int],
    heatmap_size: tuple[int, int],
    sigma: float,
    udp: bool = False,
) -> tuple[jax.Array, jax.Array]:
    """`encode` for a batch.

    Args:
      keypoints: [B, K, 3] (x, y, visible) in input pixels, as in a batch of the input pipeline.
      input_size: as for `encode`.
      heatmap_size: as for `encode`.
      sigma: as for `encode`.
      udp: as for `encode`.

    Returns:
      heatmaps [B, h, w, K] and weights [B, K], float32.
    """
    import jax
    import jax.numpy as jnp

    keypoints = jnp.asarray(keypoints, jnp.float32)

    def one(person: jax.Array) -> tuple[jax.Array, jax.Array]:
        return encode(person[:, :2], person[:, 2], input_size, heatmap_size, sigma, udp)

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
      shift: correct for the unaligned grid; False with UDP.

    Returns:
      [B, h, w, K].

    Raises:
      ValueError: a pair outside the channels, or a channel in two pairs.
    """
    xp = namespace(heatmaps)
    heatmaps = as_array(xp, heatmaps)
    order = paired_order(flip_pairs, heatmaps.shape[-1])
    flipped = heatmaps[:, :, ::-1, :][..., order]
    if shift:
        flipped = xp.concatenate([flipped[:, :, :1], flipped[:, :, :-1]], axis=2)
    return flipped


def paired_order(flip_pairs: Sequence[tuple[int, int]], channels: int) -> np.ndarray:
    """The permutation [channels] that swaps the paired channels.

    Raises:
      ValueError: a pair outside the channels, or a channel in two pairs.
    """
    paired = [int(index) for pair in flip_pairs for index in pair]
    if len(set(paired)) != len(paired) or not all(0 <= index < channels for index in paired):
        raise ValueError(
            f"flip pairs {[tuple(pair) for pair in flip_pairs]} must name each of the channels "
            f"0..{channels - 1} at most once"
        )
    order = np.arange(channels)
    for first, second in flip_pairs:
        order[first], order[second] = second, first
    return order


def decode(
    heatmaps: ArrayLike,
    center: ArrayLike,
    scale: ArrayLike,
    udp: bool = False,
    kernel: int = 11,
) -> tuple[Array, Array]:
    """Keypoints in image pixels from heatmaps, with the quarter offset or UDP's refinement.

    The first maximum in row-major order is the position (0, 0 when the maximum is not positive) and
    its value the score (not clipped). Where 1 < x < w - 1 and 1 < y < h - 1 both hold, the position
    moves a quarter pixel toward the higher neighbor on either axis (not at all between equal
    ones). The result goes back through the crop given by `center` and `scale`.

    With `udp`, the position moves by the offset of `jaxpose.codecs.udp.refine` instead, also at the
    borders, and the crop is that of `geometry.affine(udp=True)`.

    Args:
      heatmaps: [B, h, w, K].
      center: [B, 2] of the crop, in image pixels.
      scale: [B, 2] of the crop, in units of 200 pixels; without `udp`, only x is used.
      udp: whether the targets were made with `udp`.
      kernel: odd width of UDP's smoothing kernel in heatmap pixels. mmpose 1.x uses 11 at all
        sizes; mmpose 0.x used 17 for targets with a sigma of 3 (384x288).

    Returns:
      keypoints [B, K, 2] (x, y) in image pixels and scores [B, K], float32.

    Raises:
      ValueError: an even kernel or one below 3.
    """
    xp = namespace(heatmaps, center, scale)
    heatmaps = as_array(xp, heatmaps, np.float32)
    height, width = heatmaps.shape[1:3]
    x, y, scores = first_maximum(heatmaps)
    if udp:
        offset = refine(heatmaps, x, y, scores, kernel)
        return _to_image(x, y, offset, center, scale, (height, width), udp=True), scores
    inner = (x > 1) & (x < width - 1) & (y > 1) & (y < height - 1)
    dx = xp.sign(values_at(heatmaps, x + 1, y) - values_at(heatmaps, x - 1, y))
    dy = xp.sign(values_at(heatmaps, x, y + 1) - values_at(heatmaps, x, y - 1))
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
    check_kernel("DARK", kernel)
    xp = namespace(heatmaps, center, scale)
    heatmaps = as_array(xp, heatmaps, np.float32)
    height, width = heatmaps.shape[1:3]
    x, y, scores = first_maximum(heatmaps)
    log = xp.log(xp.maximum(smoothed(heatmaps, scores, kernel), 1e-10))

    def at(dx: int, dy: int) -> Array:
        return values_at(log, x + dx, y + dy)

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


def _to_image(
    x: Array,
    y: Array,
    offset: Array,
    center: ArrayLike,
    scale: ArrayLike,
    heatmap_size: tuple[int, int],
    udp: bool = False,
) -> Array:
    """Heatmap pixels x, y [B, K] and offsets [B, K, 2] as points [B, K, 2] of the image."""
    xp = namespace(x, center, scale)
    points = xp.stack([x, y], -1).astype(np.float32) + offset
    center, scale = as_array(xp, center, np.float32), as_array(xp, scale, np.float32)
    return geometry.heatmap_to_image(points, center, scale, heatmap_size, udp)
