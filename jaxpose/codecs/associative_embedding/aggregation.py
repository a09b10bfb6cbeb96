"""One set of maps from everything that a network outputs for an image: resolutions, mirror, scales.

As in HigherHRNet's test code: mirrored maps are not shifted, tags of the mirrored image are kept as
a second component and never averaged, and everything is resized to the network's input before peaks
are searched (PROJECT2IMAGE).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxpose.codecs.arrays import as_array, mean_of, namespace, stack_of
from jaxpose.codecs.associative_embedding.candidates import Candidates, Grouping, candidates
from jaxpose.codecs.resizing import resize_linear
from jaxpose.skeletons import Skeleton

if TYPE_CHECKING:
    from jax.typing import ArrayLike

    from jaxpose.codecs.arrays import Array


def aggregate(
    outputs: Sequence[ArrayLike],
    mirrored_outputs: Sequence[ArrayLike] | None,
    flip_indices: ArrayLike,
    size: tuple[int, int],
) -> tuple[Array, Array]:
    """Heatmaps and tags of a batch at one scale.

    All outputs are resized to the last one's size; the heatmap is their mean. With mirrored outputs
    the heatmap is the mean of both passes; the tags of both stay. Then both are resized to `size`.
    Resizing is bilinear between pixel centers.

    Args:
      outputs: low to high resolution; the first [B, h, w, 2K] (K heatmaps, then K tags), the others
        [B, h, w, K] heatmaps.
      mirrored_outputs: of the same network on the mirrored images, not flipped back; or None.
      flip_indices: [K], keypoint k of a mirrored person is keypoint flip_indices[k].
      size: (H, W) of the result, that of the network's input at scale 1.

    Returns:
      heatmaps [B, H, W, K] and tags [B, H, W, K, T] float32, T = 2 with mirrored outputs, else 1.

    Raises:
      ValueError: outputs with the wrong number of channels.
    """
    flip_indices = np.asarray(flip_indices)
    passes = [_split(outputs, len(flip_indices))]
    if mirrored_outputs is not None:
        mirrored = _split(mirrored_outputs, len(flip_indices))
        passes.append([maps[:, :, ::-1, flip_indices] for maps in mirrored])
    # One pass after another, in a loop: fused into what follows, the merged maps would be computed
    # many times over.
    heatmaps, tags = stack_of(_merge, passes)
    xp = namespace(heatmaps, tags)
    tags = xp.moveaxis(tags, 0, -1)  # [B, h, w, K, T]
    channels = resize_linear(tags.reshape(*tags.shape[:3], -1), size)
    return resize_linear(heatmaps.mean(axis=0), size), channels.reshape(-1, *size, *tags.shape[3:])


def combine_scales(
    maps: Sequence[tuple[ArrayLike, ArrayLike | None]],
) -> tuple[Array, Array]:
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
    xp = namespace(*tags, *(each for each, _ in maps))
    heatmaps = mean_of([xp.asarray(each, np.float32) for each, _ in maps])
    return heatmaps, xp.asarray(tags[0], np.float32)


def find(
    passes: Mapping[float, tuple[Sequence[Array], Sequence[Array] | None]],
    size: tuple[int, int],
    options: Grouping,
    skeleton: Skeleton | None = None,
) -> tuple[Candidates, Array, Array]:
    """What `group` needs of a batch: candidates, and the maps from which they were taken.

    Args:
      passes: scale -> (outputs of the network, those for the mirrored images or None).
      size: (H, W) of the maps, that of the network's input at scale 1.
      options: of the candidates.
      skeleton: of the people; needed with mirrored images.
    """
    scales = []
    for scale, (outputs, mirrored) in passes.items():
        flip = skeleton.flip_indices if skeleton else np.arange(outputs[-1].shape[-1])
        heatmaps, tags = aggregate(outputs, mirrored, flip, size)
        scales.append((heatmaps, tags if scale == 1 else None))
    heatmaps, tags = combine_scales(scales)
    return candidates(heatmaps, tags, options), heatmaps, tags


def _split(outputs: Sequence[ArrayLike], keypoints: int) -> list[Array]:
    """Tags [B, h, w, K], then the heatmaps [B, h, w, K] of every output."""
    xp = namespace(*outputs)
    maps = [as_array(xp, output, np.float32) for output in outputs]
    for number, output in enumerate(maps):
        channels = keypoints if number else 2 * keypoints
        if output.ndim != 4 or output.shape[-1] != channels:
            content = "heatmaps" if number else "heatmaps and tags"
            raise ValueError(
                f"output {number} has shape {output.shape}, expected [B, h, w, {channels}] "
                f"({content} of {keypoints} keypoints)"
            )
    return [maps[0][..., keypoints:], maps[0][..., :keypoints], *maps[1:]]


def _merge(maps: list[Array]) -> tuple[Array, Array]:
    """Mean heatmaps and the tags of one pass, at the last output's resolution."""
    size = maps[-1].shape[1:3]
    tags, *heatmaps = (resize_linear(each, size) for each in maps)
    return mean_of(heatmaps), tags
