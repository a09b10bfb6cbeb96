"""The eighteen joints of OpenPose, their limbs, and the way from COCO's joints and back."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxpose import skeletons

_JOINTS = (
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
    joints=tuple(_JOINTS),
    limbs=LIMBS,
    sigmas=tuple(skeletons.default_sigma(joint) for joint in _JOINTS),
)

_NECK = _JOINTS.index("neck")
_SHOULDERS = [skeletons.COCO.joints.index(f"{side}_shoulder") for side in ("left", "right")]
_TO_COCO = np.array([_JOINTS.index(joint) for joint in skeletons.COCO.joints])
# COCO's joints in OpenPose's order; the neck, which COCO lacks, as an eighteenth.
_FROM_COCO = np.array(
    [17 if joint == "neck" else skeletons.COCO.joints.index(joint) for joint in _JOINTS]
)


def from_coco(keypoints: ArrayLike) -> jax.Array:
    """[..., 17, 3] (x, y, labelled) -> [..., 18, 3]: the neck is the middle of the shoulders.

    It is labelled where both shoulders are.
    """
    keypoints = jnp.asarray(keypoints, jnp.float32)
    if keypoints.shape[-2:] != (17, 3):
        raise ValueError(f"keypoints have shape {keypoints.shape}, expected [..., 17, 3]")
    left, right = (keypoints[..., shoulder, :] for shoulder in _SHOULDERS)
    labelled = (left[..., 2:] > 0) & (right[..., 2:] > 0)
    # An unlabelled shoulder may hold anything, and its middle with it.
    middle = jnp.where(labelled, (left[..., :2] + right[..., :2]) / 2, 0)
    neck = jnp.concatenate([middle, labelled.astype(jnp.float32)], axis=-1)
    return jnp.concatenate([keypoints, neck[..., None, :]], axis=-2)[..., _FROM_COCO, :]


def to_coco(keypoints: np.ndarray) -> np.ndarray:
    """[N, 18, C] -> [N, 17, C] in COCO's order."""
    return np.asarray(keypoints)[:, _TO_COCO]
