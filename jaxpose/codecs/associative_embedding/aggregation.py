"""One set of maps from all that a network says about a picture: outputs, mirror image, scales.

As HigherHRNet's test code does it: no shift of the mirrored maps, tags of the mirrored picture kept
as a second component and never averaged, everything brought to the size of the network's input
before peaks are looked for (PROJECT2IMAGE).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from jaxpose.codecs.associative_embedding.candidates import Candidates, Grouping, candidates
from jaxpose.skeletons import Skeleton


def aggregate(
    outputs: Sequence[ArrayLike],
    mirrored_outputs: Sequence[ArrayLike] | None,
    flip_indices: ArrayLike,
    size: tuple[int, int],
) -> tuple[jax.Array, jax.Array]:
    """Heatmaps and tags of a batch at one scale.

    All outputs are resized to the last one's size; the heatmap is their mean. With mirrored outputs
    the heatmap is the mean of both passes; the tags of both stay. Then both are resized to `size`.
    Resizing is bilinear between pixel centers.

    Args:
      outputs: low to high resolution; the first [B, h, w, 2K] (K heatmaps, then K tags), the others
        [B, h, w, K] heatmaps.
      mirrored_outputs: of the same network on the mirrored pictures, as they come; or None.
      flip_indices: [K], joint k of a mirrored person is joint flip_indices[k].
      size: (H, W) of the result, that of the network's input at scale 1.

    Returns:
      heatmaps [B, H, W, K] and tags [B, H, W, K, T] float32, T = 2 with mirrored outputs, else 1.

    Raises:
      ValueError: outputs of other channels.
    """
    flip_indices = np.asarray(flip_indices)
    passes = [_split(outputs, len(flip_indices))]
    if mirrored_outputs is not None:
        turned = _split(mirrored_outputs, len(flip_indices))
        passes.append([maps[:, :, ::-1, flip_indices] for maps in turned])
    # One pass after another, in a loop: fused into what follows, the merged maps would be computed
    # many times over.
    stacked = [jnp.stack(maps) for maps in zip(*passes, strict=True)]
    heatmaps, tags = lax.map(_merge, stacked)
    tags = jnp.moveaxis(tags, 0, -1)  # [B, h, w, K, T]
    channels = resize(tags.reshape(*tags.shape[:3], -1), size)
    return resize(heatmaps.mean(axis=0), size), channels.reshape(-1, *size, *tags.shape[3:])


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
    heatmaps = sum(jnp.asarray(each, jnp.float32) for each, _ in maps) / len(maps)
    return heatmaps, jnp.asarray(tags[0], jnp.float32)


def find(
    passes: Mapping[float, tuple[Sequence[ArrayLike], Sequence[ArrayLike] | None]],
    size: tuple[int, int],
    options: Grouping,
    skeleton: Skeleton | None = None,
) -> tuple[Candidates, jax.Array, jax.Array]:
    """What `group` reads of a batch: candidates, and the maps that they were found in.

    Args:
      passes: scale -> (outputs of the network, those for the mirrored pictures or None).
      size: (H, W) of the maps, that of the network's input at scale 1.
      options: of the candidates.
      skeleton: whose joints; needed with mirrored pictures.
    """
    scales = []
    for scale, (outputs, mirrored) in passes.items():
        flip = skeleton.flip_indices if skeleton else np.arange(outputs[-1].shape[-1])
        heatmaps, tags = aggregate(outputs, mirrored, flip, size)
        scales.append((heatmaps, tags if scale == 1 else None))
    heatmaps, tags = combine_scales(scales)
    return candidates(heatmaps, tags, options), heatmaps, tags


def resize(maps: ArrayLike, size: tuple[int, int]) -> jax.Array:
    """[B, h, w, C] -> [B, H, W, C], bilinear with half-pixel centers, no antialiasing."""
    maps = jnp.asarray(maps, jnp.float32)
    return _along(_along(maps, 1, size[0]), 2, size[1])


def _split(outputs: Sequence[ArrayLike], joints: int) -> list[jax.Array]:
    """Tags [B, h, w, K], then the heatmaps [B, h, w, K] of every output."""
    outputs = [jnp.asarray(output, jnp.float32) for output in outputs]
    for number, output in enumerate(outputs):
        channels = joints if number else 2 * joints
        if output.ndim != 4 or output.shape[-1] != channels:
            what = "heatmaps" if number else "heatmaps and tags"
            raise ValueError(
                f"output {number} has shape {output.shape}, expected [B, h, w, {channels}] ({what} "
                f"of {joints} joints)"
            )
    return [outputs[0][..., joints:], outputs[0][..., :joints], *outputs[1:]]


def _merge(maps: list[jax.Array]) -> tuple[jax.Array, jax.Array]:
    """Mean heatmaps and the tags of one pass, at the last output's resolution."""
    size = maps[-1].shape[1:3]
    tags, *heatmaps = (resize(each, size) for each in maps)
    return sum(heatmaps) / len(heatmaps), tags


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
