"""Training targets: one heatmap per keypoint for all people, and the positions of their tags.

As HigherHRNet's data code makes them. Everything but `ignore_mask` is jax and runs on the device,
eagerly or inside `jax.jit`; sizes and sigma are static; the arithmetic is float32. jax is imported
by the functions that use it, so that decoding can do without.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxpose.annotations import regions
from jaxpose.codecs.drawing import draw_people

if TYPE_CHECKING:
    import jax
    from jax.typing import ArrayLike


def encode(
    keypoints: ArrayLike, heatmap_size: tuple[int, int], sigma: float = 2, max_people: int = 30
) -> tuple[jax.Array, jax.Array]:
    """Targets of one image.

    A labeled keypoint lies at its coordinates truncated toward zero (so -0.9 lies at 0) and is
    dropped where that is outside the heatmap. Its Gaussian exp(-d^2 / (2 sigma^2)), of peak 1, is
    cut to the square |dx|, |dy| <= 3 sigma + 1; a heatmap is the maximum over all people.

    Args:
      keypoints: [P, K, 3] (x, y, labeled) in heatmap pixels; labeled where the third is > 0.
      heatmap_size: (h, w) of the heatmaps.
      sigma: of the Gaussians, in heatmap pixels, the same at every resolution.
      max_people: number of slots. Person n has slot n; further people are in the heatmaps only.

    Returns:
      heatmaps float32 [h, w, K] and joints int32 [max_people, K, 3]: (x, y, 1) of each keypoint
      that is on the heatmap, zeros elsewhere.
    """
    import jax.numpy as jnp

    keypoints = jnp.asarray(keypoints, jnp.float32)
    points, valid = _pixels(keypoints[None, ..., :2], keypoints[None, ..., 2], heatmap_size)
    heatmaps = _stamp(points, valid, heatmap_size, sigma)[0]
    joints = _slots(points, valid)[0, :max_people]
    return heatmaps, jnp.pad(joints, ((0, max_people - len(joints)), (0, 0), (0, 0)))


def encode_batch(
    keypoints: ArrayLike,
    mirrored: ArrayLike,
    input_size: tuple[int, int],
    heatmap_size: tuple[int, int],
    sigma: float = 2,
) -> tuple[jax.Array, jax.Array]:
    """`encode` for a batch given in pixels of the network's input.

    HigherHRNet scales the keypoints to each heatmap's resolution before it mirrors them there
    (x <- w - 1 - x), which is not the same as mirroring them in the input (x <- W - 1 - x) before
    scaling. So for a mirrored example, the mirroring is undone before scaling and repeated after
    it.

    Args:
      keypoints: [B, P, K, 3] (x, y, labeled) in input pixels; mirrored where the input is.
      mirrored: bool [B], whether the input was mirrored.
      input_size: (H, W) of the network's input.
      heatmap_size: (h, w) of the heatmaps.
      sigma: of the Gaussians, in heatmap pixels.

    Returns:
      heatmaps float32 [B, h, w, K] and joints int32 [B, P, K, 3] as `encode` returns.
    """
    import jax.numpy as jnp

    keypoints = jnp.asarray(keypoints, jnp.float32)
    ratio_y, ratio_x = (heatmap_size[i] / input_size[i] for i in (0, 1))
    x, y = keypoints[..., 0], keypoints[..., 1] * ratio_y
    flipped = (heatmap_size[1] - 1) - (input_size[1] - 1 - x) * ratio_x
    x = jnp.where(jnp.asarray(mirrored, bool)[:, None, None], flipped, x * ratio_x)
    points, valid = _pixels(jnp.stack([x, y], -1), keypoints[..., 2], heatmap_size)
    return _stamp(points, valid, heatmap_size, sigma), _slots(points, valid)


def ignore_mask(
    annotations: Iterable[Mapping[str, Any]], image_size: tuple[int, int]
) -> np.ndarray:
    """uint8 [H, W]: 0 inside crowd regions and people without a labeled keypoint, 1 elsewhere.

    Args:
      annotations: COCO annotation records of one image, with polygons or run lengths under
        `segmentation`; a record without one (CrowdPose) has no region.
      image_size: (H, W) of the image.

    Raises:
      ValueError: a segmentation that is malformed or does not have the size of the image.
    """
    return regions.mask(regions.ignored(annotations), image_size)


def _pixels(
    points: jax.Array, labeled: jax.Array, size: tuple[int, int]
) -> tuple[jax.Array, jax.Array]:
    """Integer positions [B, P, K, 2] (0, 0 where not valid) and which are valid, [B, P, K]."""
    import jax.numpy as jnp

    points = jnp.trunc(points)
    limits = np.array([size[1], size[0]], np.float32)
    valid = (labeled > 0) & jnp.all((points >= 0) & (points < limits), axis=-1)
    return jnp.where(valid[..., None], points, 0).astype(jnp.int32), valid


def _slots(points: jax.Array, valid: jax.Array) -> jax.Array:
    """(x, y, valid), int32 [B, P, K, 3]."""
    import jax.numpy as jnp

    return jnp.concatenate([points, valid[..., None].astype(jnp.int32)], axis=-1)


def _stamp(points: jax.Array, valid: jax.Array, size: tuple[int, int], sigma: float) -> jax.Array:
    """Heatmaps [B, h, w, K] of keypoints [B, P, K]."""
    import jax.numpy as jnp

    batch, _, keypoints = valid.shape
    radius = 3 * sigma + 1

    def profile(length: int, center: jax.Array, valid: jax.Array) -> jax.Array:
        distance = jnp.arange(length)[:, None] - center[:, None, :]  # [B, length, K]
        value = jnp.exp(-(distance.astype(jnp.float32) ** 2) / (2 * sigma**2))
        return jnp.where((jnp.abs(distance) <= radius) & valid[:, None, :], value, 0)

    def draw(maps: jax.Array, position: jax.Array, drawn: jax.Array) -> jax.Array:
        rows = profile(size[0], position[..., 1], drawn)[:, :, None, :]
        columns = profile(size[1], position[..., 0], drawn)[:, None, :, :]
        return jnp.maximum(maps, rows * columns)

    empty = jnp.zeros((batch, *size, keypoints), jnp.float32)
    return draw_people(draw, empty, points, valid)
