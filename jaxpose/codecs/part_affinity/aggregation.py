"""One set of maps from everything that a network outputs for an image: stages, mirror, scales."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxpose import skeletons
from jaxpose.codecs.arrays import mean_of
from jaxpose.codecs.part_affinity.keypoints import LIMBS, OPENPOSE
from jaxpose.codecs.resizing import resize_cubic

if TYPE_CHECKING:
    from jaxpose.codecs.arrays import Array

_FLIP = OPENPOSE.flip_indices
# A mirrored person's limb l is limb _FLIP_LIMBS[l], and the x of its direction changes its sign.
_FLIP_LIMBS = np.array([LIMBS.index((_FLIP[a], _FLIP[b])) for a, b in LIMBS])
_FLIP_FIELDS = (2 * _FLIP_LIMBS[:, None] + [0, 1]).ravel()
_SIGNS = np.tile(np.array([-1, 1], np.float32), len(LIMBS))


def find(
    passes: Mapping[float, tuple[Sequence[Array], Sequence[Array] | None]],
    size: tuple[int, int],
    options: Any,
    skeleton: skeletons.Skeleton = skeletons.COCO,
) -> tuple[Array, Array]:
    """What `group` needs of a batch: the mean over scales and mirrored images of the last stage.

    The public code averages over scales; it has no flip test.

    Args:
      passes: scale -> (outputs of the network, those for the mirrored images or None).
      size: (H, W) of the result, that of the network's input at scale 1.
      options: not used here.
      skeleton: of the people in the result.

    Returns:
      heatmaps [B, H, W, 18] and fields [B, H, W, 38] float32, by cubic interpolation.

    Raises:
      ValueError: a skeleton other than COCO's, or outputs that are not 19 heatmaps (18 keypoints
        and the background) and 38 fields.
    """
    del options
    if skeleton.joints != skeletons.COCO.joints:
        raise ValueError(
            f"part affinity fields support only COCO's {len(_FLIP) - 1} keypoints, not the "
            f"{skeleton.num_joints} of {skeleton.name!r}"
        )
    maps = []
    for outputs, mirrored in passes.values():
        *_, heatmaps, fields = outputs
        channels = heatmaps.shape[-1], fields.shape[-1]
        if channels != (len(_FLIP) + 1, 2 * len(LIMBS)):
            raise ValueError(
                f"the network has {channels[0]} heatmaps and {channels[1]} fields, expected "
                f"{len(_FLIP) + 1} and {2 * len(LIMBS)}: build it with num_keypoints={len(_FLIP)}"
            )
        heatmaps = heatmaps[..., : len(_FLIP)]
        if mirrored is not None:
            *_, flipped_heatmaps, flipped_fields = mirrored
            heatmaps = (heatmaps + flipped_heatmaps[:, :, ::-1, _FLIP]) / 2
            fields = (fields + flipped_fields[:, :, ::-1, _FLIP_FIELDS] * _SIGNS) / 2
        maps.append((resize_cubic(heatmaps, size), resize_cubic(fields, size)))
    heatmaps, fields = (mean_of(each) for each in zip(*maps, strict=True))
    return heatmaps, fields
