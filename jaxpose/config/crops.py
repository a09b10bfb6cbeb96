"""Settings shared by all tasks on crops of one person: augmentation and evaluation."""

from __future__ import annotations

from ml_collections import ConfigDict

from jaxpose.config.common import COMMON
from jaxpose.config.setting import ConfigError, Setting, with_defaults, with_settings

CROPS = with_settings(
    with_defaults(
        COMMON,
        {
            "input_size": (256, 192),
            "batch_size": 64,
            "optimizer.learning_rate": 5e-4,
            "schedule.warmup_steps": 500,
            "eval.batch_size": 64,
        },
    ),
    Setting(
        "codec",
        "gaussian",
        "Crops, targets, flip test and decoding: with rounded Gaussian centers, or unbiased (UDP).",
        choices=("gaussian", "udp"),
    ),
    Setting(
        "data.format",
        "coco",
        "Format of the dataset.",
        choices=("coco", "crowdpose", "mpii", "generated"),
    ),
    Setting(
        "augment.half_body_prob",
        0.3,
        "Probability of a crop of the upper or the lower body.",
        minimum=0,
        maximum=1,
    ),
    Setting(
        "augment.half_body_min",
        8,
        "Half-body augmentation applies to people with more labeled keypoints than this.",
        "keypoints",
        minimum=0,
    ),
    Setting(
        "augment.scale",
        0.5,
        "Standard deviation of the scale factor, which is clipped at 1 plus or minus this.",
        minimum=0,
    ),
    Setting(
        "augment.rotation",
        40.0,
        "Standard deviation of the rotation, which is clipped at plus or minus twice this.",
        "degrees",
        minimum=0,
    ),
    Setting("augment.rotation_prob", 0.6, "Probability of a rotation.", minimum=0, maximum=1),
    Setting(
        "augment.shift",
        0.2,
        "Maximum shift of the crop's center as a fraction of the box's width and height.",
        minimum=0,
    ),
    Setting("augment.shift_prob", 0.3, "Probability of a shift.", minimum=0, maximum=1),
    Setting(
        "eval.rescore_threshold",
        0.2,
        "Keypoints count toward a person's score if their score is higher than this.",
        minimum=0,
        maximum=1,
    ),
    Setting(
        "eval.oks_nms",
        0.9,
        "OKS above which the lower-scoring of two people is dropped as a duplicate.",
        minimum=0,
        maximum=1,
    ),
    Setting(
        "eval.metric", "coco", "Metric of the evaluation.", choices=("coco", "crowdpose", "mpii")
    ),
)


def check(config: ConfigDict) -> None:
    """Checks rules between settings; raises ConfigError for the first that is broken."""
    data, metric = config.data, config.eval.metric
    if (data.format == "mpii") != (metric == "mpii"):
        raise ConfigError(
            f"config.eval.metric={metric} does not fit config.data.format={data.format}: "
            "use --config.eval.metric=mpii with MPII files, and only with them"
        )
    if metric == "mpii" and data.detections:
        raise ConfigError(
            f"config.data.detections={data.detections!r}: PCKh needs annotated boxes; use "
            "--config.data.detections="
        )
