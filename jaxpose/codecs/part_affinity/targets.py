"""Training targets and loss of heatmaps and part affinity fields; jax, on the device.

jax is imported by the functions that use it, so that decoding can do without.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxpose.codecs.drawing import draw_people
from jaxpose.codecs.part_affinity.keypoints import LIMBS
from jaxpose.wording import quantity

if TYPE_CHECKING:
    import jax
    from jax.typing import ArrayLike

# A Gaussian ends where it falls below 1 %.
_LARGEST_EXPONENT = 4.6052


def encode_batch(
    keypoints: ArrayLike,
    input_size: tuple[int, int],
    *,
    stride: int = 8,
    sigma: float = 7.0,
    thickness: float = 1.0,
    limbs: Sequence[tuple[int, int]] = LIMBS,
) -> tuple[jax.Array, jax.Array]:
    """Heatmaps and fields of all people of each image.

    A keypoint at (x, y) adds exp(-d^2 / (2 sigma^2)) to its heatmap, d being the distance in input
    pixels from a cell's center (stride * i + (stride - 1) / 2), where that is at least 1 %; the sum
    over people is cut at 1. The background is 1 minus the largest heatmap.

    A limb writes its unit vector to the cells within `thickness` of the line through its keypoints
    and inside the box around them that is `thickness` larger on each side, all in cells
    (coordinates divided by the stride, without the half cell above). Where two people overlap, the
    later one overwrites the earlier.

    Args:
      keypoints: [B, P, K, 3] (x, y, labeled) in input pixels; they may lie outside the input.
      input_size: (H, W) of the input, multiples of the stride.
      stride: of the maps.
      sigma: of the Gaussians, in input pixels.
      thickness: half the width of the fields, in cells.
      limbs: pairs of keypoints.

    Returns:
      heatmaps [B, H/stride, W/stride, K+1] and fields [B, H/stride, W/stride, 2L], float32.
    """
    import jax.numpy as jnp

    keypoints = jnp.asarray(keypoints, jnp.float32)
    if keypoints.ndim != 4 or keypoints.shape[-1] != 3:
        raise ValueError(f"keypoints have shape {keypoints.shape}, expected [B, P, K, 3]")
    if input_size[0] % stride or input_size[1] % stride:
        raise ValueError(f"input size {input_size} must be multiples of the stride {stride}")
    batch, _, channels, _ = keypoints.shape
    height, width = input_size[0] // stride, input_size[1] // stride
    labeled = keypoints[..., 2] > 0
    points = jnp.where(labeled[..., None], keypoints[..., :2], 0)
    first, second = np.array(limbs).T

    def draw(
        maps: tuple[jax.Array, jax.Array], position: jax.Array, valid: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        heatmaps, fields = maps
        heatmaps += _gaussians(position, valid, (height, width), stride, sigma)
        a, b = position[:, first] / stride, position[:, second] / stride
        inside, direction = _limbs(a, b, (height, width), thickness)
        inside &= (valid[:, first] & valid[:, second])[:, None, None]
        fields = jnp.where(inside[..., None], direction[:, None, None], fields)
        return heatmaps, fields

    heatmaps = jnp.zeros((batch, height, width, channels), jnp.float32)
    fields = jnp.zeros((batch, height, width, len(limbs), 2), jnp.float32)
    heatmaps, fields = draw_people(draw, (heatmaps, fields), points, labeled)
    heatmaps = jnp.minimum(heatmaps, 1)
    background = 1 - heatmaps.max(axis=-1, keepdims=True)
    heatmaps = jnp.concatenate([heatmaps, background], axis=-1)
    return heatmaps, fields.reshape(batch, height, width, 2 * len(limbs))


def _gaussians(
    points: jax.Array, labeled: jax.Array, size: tuple[int, int], stride: int, sigma: float
) -> jax.Array:
    """Heatmaps [B, h, w, K] of keypoints [B, K, 2]; `labeled` is bool [B, K]."""
    import jax.numpy as jnp

    middle = (stride - 1) / 2

    def squared(length: int, at: jax.Array) -> jax.Array:
        pixels = jnp.asarray(stride * np.arange(length, dtype=np.float32)[:, None] + middle)
        distance = pixels - at[:, None]
        return distance**2 / (2 * sigma**2)

    rows, columns = squared(size[0], points[..., 1]), squared(size[1], points[..., 0])
    exponent = rows[:, :, None] + columns[:, None]
    drawn = (exponent <= _LARGEST_EXPONENT) & labeled[:, None, None]
    return jnp.where(drawn, jnp.exp(-exponent), 0)


def _limbs(
    a: jax.Array, b: jax.Array, size: tuple[int, int], thickness: float
) -> tuple[jax.Array, jax.Array]:
    """Where limbs from a to b, [B, L, 2] in cells, lie: bool [B, h, w, L]; directions [B, L, 2]."""
    import jax.numpy as jnp

    vector = b - a
    length = jnp.linalg.norm(vector, axis=-1, keepdims=True)
    direction = vector / jnp.maximum(length, 1e-7)
    low = jnp.floor(jnp.maximum(jnp.minimum(a, b) - thickness, 0))
    high = jnp.floor(jnp.minimum(jnp.maximum(a, b) + thickness, np.array(size[::-1])))
    y = jnp.arange(size[0], dtype=jnp.float32)[:, None, None]
    x = jnp.arange(size[1], dtype=jnp.float32)[None, :, None]

    def each(values: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Splits [B, L, 2] into x and y, shaped to broadcast against the cells."""
        return values[:, None, None, :, 0], values[:, None, None, :, 1]

    (ax, ay), (dx, dy), (x0, y0), (x1, y1) = map(each, (a, direction, low, high))
    near = jnp.abs((x - ax) * dy - (y - ay) * dx) <= thickness
    near &= (x >= x0) & (x < x1) & (y >= y0) & (y < y1)
    return near & (length[:, None, None, :, 0] >= 1e-7), direction


def loss(
    outputs: Sequence[ArrayLike],
    heatmaps: ArrayLike,
    fields: ArrayLike,
    mask: ArrayLike | None = None,
) -> tuple[jax.Array, jax.Array]:
    """(heatmap loss, field loss): half the squared error, summed over stages, cells and channels.

    The mean is over the batch only, as in the public code, whose learning rate depends on it.

    Args:
      outputs: of the network: heatmaps and fields of its first stage, of the second, and so on.
      heatmaps: targets [B, h, w, K+1].
      fields: targets [B, h, w, 2L].
      mask: [B, h, w], 1 where the loss counts and 0 where it is ignored; None means 1 everywhere.

    Returns:
      Two float32 scalars.

    Raises:
      ValueError: arrays whose shapes do not fit.
    """
    if not outputs or len(outputs) % 2:
        raise ValueError(
            f"outputs must be pairs of heatmaps and fields, got {quantity(len(outputs), 'array')}"
        )
    import jax.numpy as jnp

    def error(predictions: Sequence[ArrayLike], target: ArrayLike, name: str) -> jax.Array:
        target = jnp.asarray(target, jnp.float32)
        total = jnp.zeros((), jnp.float32)
        for prediction in predictions:
            prediction = jnp.asarray(prediction, jnp.float32)
            if prediction.shape != target.shape:
                raise ValueError(f"{name} have shape {prediction.shape}, expected {target.shape}")
            difference = prediction - target
            if mask is not None:
                weight = jnp.asarray(mask, jnp.float32)
                if weight.shape != target.shape[:3]:
                    raise ValueError(f"mask has shape {weight.shape}, expected {target.shape[:3]}")
                difference = difference * weight[..., None]
            total += jnp.square(difference).sum()
        return total / (2 * target.shape[0])

    return error(outputs[::2], heatmaps, "heatmaps"), error(outputs[1::2], fields, "fields")
