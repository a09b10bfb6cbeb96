"""Bottom-up codec: joints of a picture joined to people by fields along the limbs.

Cao et al., "Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields", CVPR 2017, with
the arithmetic of the public code of Lightweight OpenPose (Osokin 2018).

A network gives heatmaps [B,h,w,K+1], one a joint and the background, and part affinity fields
[B,h,w,2L]: channels 2l and 2l+1 hold the unit vector (x, y) from the first joint of limb l to its
second, near the line between them. `from_coco` and `encode_batch` make the targets of training (on
the device), `loss` compares; at test `upsample` brings the maps to the size of the input and
`decode` finds the people of one picture (on the host); `to_coco` leaves the neck out again. `find`
and `group` are that way for whole batches, with mirror images and several scales.
"""

from jaxpose.codecs.part_affinity.aggregation import find
from jaxpose.codecs.part_affinity.grouping import Grouping, decode, group
from jaxpose.codecs.part_affinity.joints import LIMBS, OPENPOSE, from_coco, to_coco
from jaxpose.codecs.part_affinity.targets import encode_batch, loss, upsample

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
    "upsample",
]
