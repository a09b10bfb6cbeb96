"""Settings of bottom-up networks with part affinity fields, which need COCO's keypoints."""

from __future__ import annotations

from jaxpose.config import whole_images
from jaxpose.config.setting import Setting, with_defaults, with_settings

SETTINGS = with_settings(
    with_defaults(whole_images.WHOLE_IMAGES, {"model": "lightweight_openpose", "eval.flip": False}),
    Setting("data.format", "coco", "Format of the dataset.", choices=("coco", "generated")),
    Setting("sigma", 7.0, "Standard deviation of the Gaussian targets.", "input pixels", above=0),
    Setting(
        "loss.thickness",
        1.0,
        "Half the width of the field along a limb.",
        "cells of 8x8 pixels",
        above=0,
    ),
    Setting(
        "eval.detection_threshold",
        0.1,
        "Minimum heatmap value of a keypoint.",
        minimum=0,
        maximum=1,
    ),
    Setting(
        "eval.peak_distance",
        6.0,
        "Minimum distance between keypoints of the same kind.",
        "pixels",
        minimum=0,
    ),
    Setting(
        "eval.samples",
        10,
        "Number of points along a limb at which its field is sampled.",
        "points",
        minimum=2,
    ),
    Setting(
        "eval.field_threshold",
        0.05,
        "Minimum agreement of the field with the limb's direction at a point.",
        minimum=0,
    ),
    Setting(
        "eval.agreement",
        0.8,
        "Minimum fraction of the sampled points that agree.",
        minimum=0,
        maximum=1,
    ),
    Setting(
        "eval.least_joints", 3, "Minimum number of keypoints of a person.", "keypoints", above=0
    ),
    Setting("eval.least_score", 0.2, "Minimum mean score of a person's keypoints.", minimum=0),
    Setting("eval.metric", "coco", "Metric of the evaluation.", choices=("coco",)),
)

check = whole_images.check
