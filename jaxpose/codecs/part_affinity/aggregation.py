"""One set of maps from all that a network says about a picture: stages, mirror image, scales."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.typing import ArrayLike

from jaxpose import skeletons
from jaxpose.codecs.part_affinity.joints import LIMBS, OPENPOSE
from jaxpose.codecs.part_affinity.targets import resize

_FLIP = OPENPOSE.flip_indices
# A mirrored person's limb l is limb _FLIP_LIMBS[l], and what points to the left points right.
_FLIP_LIMBS = np.array([LIMBS.index((_FLIP[a], _FLIP[b])) for a, b in LIMBS])
_FLIP_FIELDS = (2 * _FLIP_LIMBS[:, None] + [0, 1]).ravel()
_SIGNS = np.tile(np.float32([-1, 1]), len(LIMBS))


def find(
    passes: Mapping[float, tuple[Sequence[ArrayLike], Sequence[ArrayLike] | None]],
    size: tuple[int, int],
    options: Any,
    skeleton: skeletons.Skeleton = skeletons.COCO,
) -> tuple[jax.Array, jax.Array]:
    """What `group` reads of a batch: the mean over scales and mirror images of the last stage.

    The public code averages over scales; it has no mirror test.

    Args:
      passes: scale -> (outputs of the network, those for the mirrored pictures or None).
      size: (H, W) of the result, that of the network's input at scale 1.
      options: not needed here.
      skeleton: of the people that are wanted.

    Returns:
      heatmaps [B, H, W, 18] and fields [B, H, W, 38] float32, by cubic interpolation.

    Raises:
      ValueError: another skeleton than COCO's, or outputs that are not 19 heatmaps (18 joints and
        the background) and 38 fields.
    """
    del options
    if skeleton.joints != skeletons.COCO.joints:
        raise ValueError(
            f"part affinity fields are known for COCO's {len(_FLIP) - 1} joints alone, not for "
            f"the {skeleton.num_joints} of {skeleton.name!r}"
        )
    maps = []
    for outputs, mirrored in passes.values():
        *_, heatmaps, fields = outputs
        channels = heatmaps.shape[-1], fields.shape[-1]
        if channels != (len(_FLIP) + 1, 2 * len(LIMBS)):
            raise ValueError(
                f"{channels[0]} heatmaps and {channels[1]} fields, expected {len(_FLIP) + 1} and "
                f"{2 * len(LIMBS)}: a network of num_keypoints={len(_FLIP)}, COCO's and the neck"
            )
        heatmaps = heatmaps[..., : len(_FLIP)]
        if mirrored is not None:
            *_, turned, turned_fields = mirrored
            heatmaps = (heatmaps + turned[:, :, ::-1, _FLIP]) / 2
            fields = (fields + turned_fields[:, :, ::-1, _FLIP_FIELDS] * _SIGNS) / 2
        maps.append((resize(heatmaps, size), resize(fields, size)))
    heatmaps, fields = (sum(each) / len(maps) for each in zip(*maps, strict=True))
    return heatmaps, fields
