"""Metrics: AP and AR by OKS for COCO and CrowdPose, PCKh for MPII, PCK relative to the torso."""

from jaxpose.metrics.coco import coco_keypoints, per_keypoint
from jaxpose.metrics.crowdpose import crowdpose
from jaxpose.metrics.mpii import mpii_pckh, pckh_per_joint
from jaxpose.metrics.oks import assemble_results, oks_nms, rescore
from jaxpose.metrics.pck import pck_torso

__all__ = [
    "assemble_results",
    "coco_keypoints",
    "crowdpose",
    "mpii_pckh",
    "oks_nms",
    "pck_torso",
    "pckh_per_joint",
    "per_keypoint",
    "rescore",
]
