"""Bottom-up codec: keypoints of an image connected to people by fields along the limbs.

Cao et al., "Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields", CVPR 2017, with
the arithmetic of the public code of Lightweight OpenPose (Osokin 2018).

A network outputs heatmaps [B,h,w,K+1], one per keypoint and the background, and part affinity
fields [B,h,w,2L]: channels 2l and 2l+1 hold the unit vector (x, y) from the first keypoint of limb
l to its second, near the line between them. `from_coco` and `encode_batch` make training targets
(jax, on the device) and `loss` compares them with outputs. At test time `decode` finds the people
of one image in maps that `jaxpose.codecs.resizing.resize_cubic` has enlarged to the input (numpy,
on the host); `to_coco` leaves the neck out again. `find` and `group` do the same for whole batches,
mirrored images and several scales. `find` runs on the device for jax arrays and on the host for
numpy arrays (see `jaxpose.codecs.arrays`).
"""

from jaxpose.codecs.part_affinity.aggregation import find
from jaxpose.codecs.part_affinity.grouping import Grouping, decode, group
from jaxpose.codecs.part_affinity.keypoints import LIMBS, OPENPOSE, from_coco, to_coco
from jaxpose.codecs.part_affinity.targets import encode_batch, loss

__all__ = [
    "LIMBS",
    "OPENPOSE",
    "Grouping",
    "decode",
    "encode_batch",
    "find",
    "from_coco",
    "group",
    "loss",
    "to_coco",
]
