"""The 18 keypoints of OpenPose, their limbs, and conversion from COCO's keypoints and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jaxpose import skeletons
from jaxpose.codecs.arrays import as_array, namespace

if TYPE_CHECKING:
    from jax.typing import ArrayLike

    from jaxpose.codecs.arrays import Array

_NAMES = (
    "nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist right_hip"
    " right_knee right_ankle left_hip left_knee left_ankle right_eye left_eye right_ear left_ear"
).split()

# Limb l has field channels 2l and 2l+1.
LIMBS = (
    (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13), (1, 2), (2, 3), (3, 4), (2, 16),
    (1, 5), (5, 6), (6, 7), (5, 17), (1, 0), (0, 14), (0, 15), (14, 16), (15, 17),
)  # fmt: skip

OPENPOSE = skeletons.Skeleton(
    name="openpose",
    joints=tuple(_NAMES),
    limbs=LIMBS,
    sigmas=tuple(skeletons.default_sigma(name) for name in _NAMES),
)

_SHOULDERS = [skeletons.COCO.joints.index(f"{side}_shoulder") for side in ("left", "right")]
_TO_COCO = np.array([_NAMES.index(name) for name in skeletons.COCO.joints])
# COCO's keypoints in OpenPose's order; the neck, which COCO lacks, is number 17.
_FROM_COCO = np.array(
    [17 if name == "neck" else skeletons.COCO.joints.index(name) for name in _NAMES]
)


def from_coco(keypoints: ArrayLike) -> Array:
    """[..., 17, 3] (x, y, labeled) -> [..., 18, 3]: the neck is the middle of the shoulders.

    It is labeled where both shoulders are.
    """
    xp = namespace(keypoints)
    keypoints = as_array(xp, keypoints, np.float32)
    if keypoints.shape[-2:] != (17, 3):
        raise ValueError(f"keypoints have shape {keypoints.shape}, expected [..., 17, 3]")
    left, right = (keypoints[..., shoulder, :] for shoulder in _SHOULDERS)
    labeled = (left[..., 2:] > 0) & (right[..., 2:] > 0)
    # The coordinates of an unlabeled shoulder, and so the middle, may be anything.
    middle = xp.where(labeled, (left[..., :2] + right[..., :2]) / 2, 0)
    neck = xp.concatenate([middle, labeled.astype(np.float32)], axis=-1)
    return xp.concatenate([keypoints, neck[..., None, :]], axis=-2)[..., _FROM_COCO, :]


def to_coco(keypoints: np.ndarray) -> np.ndarray:
    """[N, 18, C] -> [N, 17, C] in COCO's order."""
    return np.asarray(keypoints)[:, _TO_COCO]
