"""One set of maps from all that a network says about a picture: outputs, mirror image, scales.

As HigherHRNet's test code does it: no shift of the mirrored maps, tags of the mirrored picture kept
as a second component and never averaged, everything brought to the size of the network's input
before peaks are looked for (PROJECT2IMAGE).
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike


def aggregate(
    outputs: Sequence[ArrayLike],
    mirrored_outputs: Sequence[ArrayLike] | None,
    flip_indices: ArrayLike,
    size: tuple[int, int],
) -> tuple[jax.Array, jax.Array]:
    """Heatmaps and tags of a batch at one scale.

    All outputs are resized to the last one's size; the heatmap is their mean, the tags are those of
    the outputs that have any. With mirrored outputs the heatmap is the mean of both; the tags of
    both stay. Then both are resized to `size`. Resizing is bilinear between pixel centers.

    Args:
      outputs: low to high resolution; each [B, h, w, 2K] (K heatmaps, then K tags) or
        [B, h, w, K] (heatmaps); the first has tags.
      mirrored_outputs: of the same network on the mirrored pictures, as they come; or None.
      flip_indices: [K], joint k of a mirrored person is joint flip_indices[k].
      size: (H, W) of the result, that of the network's input at scale 1.

    Returns:
      heatmaps [B, H, W, K] and tags [B, H, W, K, T] float32, T = 2 with mirrored outputs, else 1.

    Raises:
      ValueError: outputs whose channels are not K or 2K, or without tags.
    """
    flip_indices = np.asarray(flip_indices)
    heatmaps, tags = _merge(outputs, len(flip_indices))
    tags = [tags]
    if mirrored_outputs is not None:
        turned = [jnp.asarray(output)[:, :, ::-1] for output in mirrored_outputs]
        more_heatmaps, more_tags = _merge(turned, len(flip_indices))
        heatmaps = (heatmaps + more_heatmaps[..., flip_indices]) / 2
        tags.append(more_tags[..., flip_indices])
    return resize(heatmaps, size), jnp.stack([resize(each, size) for each in tags], axis=-1)


def combine_scales(
    maps: Sequence[tuple[ArrayLike, ArrayLike | None]],
) -> tuple[jax.Array, jax.Array]:
    """Mean of the heatmaps over scales, and the tags of the one scale that brings them.

    Args:
      maps: (heatmaps [B, H, W, K], tags [B, H, W, K, T] or None) of each scale, all of one size;
        tags of scale 1 alone are used, so exactly one entry has them.

    Raises:
      ValueError: no scale, or tags of none or of several scales.
    """
    tags = [each for _, each in maps if each is not None]
    if len(tags) != 1:
        raise ValueError(f"tags come from one scale (scale 1), got them from {len(tags)}")
    total = sum((jnp.asarray(heatmaps, jnp.float32) for heatmaps, _ in maps[1:]), maps[0][0])
    return jnp.asarray(total, jnp.float32) / len(maps), jnp.asarray(tags[0], jnp.float32)


def resize(maps: ArrayLike, size: tuple[int, int]) -> jax.Array:
    """[B, h, w, C] -> [B, H, W, C], bilinear with half-pixel centers, no antialiasing."""
    maps = jnp.asarray(maps, jnp.float32)
    return _along(_along(maps, 1, size[0]), 2, size[1])


def _merge(outputs: Sequence[ArrayLike], joints: int) -> tuple[jax.Array, jax.Array]:
    """Mean heatmaps and tags of one pass, at the last output's resolution."""
    outputs = [jnp.asarray(output, jnp.float32) for output in outputs]
    for output in outputs:
        if output.ndim != 4 or output.shape[-1] not in (joints, 2 * joints):
            raise ValueError(
                f"output {output.shape} must be [B, h, w, {joints}] heatmaps or "
                f"[B, h, w, {2 * joints}] heatmaps and tags"
            )
    size = outputs[-1].shape[1:3]
    outputs = [resize(output, size) for output in outputs]
    if outputs[0].shape[-1] != 2 * joints:
        raise ValueError(f"the first output {outputs[0].shape} has no tags for {joints} joints")
    heatmaps = sum(output[..., :joints] for output in outputs) / len(outputs)
    return heatmaps, outputs[0][..., joints:]


def _along(maps: jax.Array, axis: int, length: int) -> jax.Array:
    """Linear interpolation of one axis to `length` samples; the ends repeat the border pixel."""
    old = maps.shape[axis]
    if old == length:
        return maps
    at = np.maximum((np.arange(length) + 0.5) * (old / length) - 0.5, 0)
    low = np.minimum(at.astype(np.int32), old - 1)
    high = np.minimum(low + 1, old - 1)
    shape = [1] * maps.ndim
    shape[axis] = length
    share = (at - low).astype(np.float32).reshape(shape)
    return jnp.take(maps, low, axis) * (1 - share) + jnp.take(maps, high, axis) * share
