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
        "augment.distribution",
        "clipped",
        "Scale, rotation and shift: clipped normal (mmpose 0.x) or truncated normal numbers (1.x).",
        choices=("clipped", "truncated"),
    ),
    Setting(
        "augment.scale",
        0.5,
        "Standard deviation of the scale factor, which stays within 1 plus or minus this.",
        minimum=0,
    ),
    Setting(
        "augment.rotation",
        40.0,
        "Standard deviation of the rotation; at most twice this (clipped) or this (truncated).",
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
        "augment.pixels.hue",
        0,
        "Maximum change of the hue.",
        "steps of 2 degrees",
        minimum=0,
        maximum=90,
    ),
    Setting(
        "augment.pixels.saturation",
        0,
        "Maximum change of the saturation.",
        "levels of 255",
        minimum=0,
        maximum=255,
    ),
    Setting(
        "augment.pixels.value",
        0,
        "Maximum change of the value, the largest of red, green and blue.",
        "levels of 255",
        minimum=0,
        maximum=255,
    ),
    Setting(
        "augment.pixels.hsv_prob",
        0.5,
        "Probability of a change of each of hue, saturation and value.",
        minimum=0,
        maximum=1,
    ),
    Setting(
        "augment.pixels.blur_prob",
        0.0,
        "Probability of a blur by the mean of 3, 5 or 7 squared pixels.",
        minimum=0,
        maximum=1,
    ),
    Setting(
        "augment.pixels.median_prob",
        0.0,
        "Probability of a blur by the median of 3, 5 or 7 squared pixels.",
        minimum=0,
        maximum=1,
    ),
    Setting(
        "augment.pixels.dropout_prob",
        0.0,
        "Probability that a rectangle of the crop is set to 0 (coarse dropout).",
        minimum=0,
        maximum=1,
    ),
    Setting(
        "augment.pixels.dropout_min",
        0.2,
        "Minimum side of the rectangle as a fraction of the crop's side.",
        minimum=0,
        maximum=1,
    ),
    Setting(
        "augment.pixels.dropout_max",
        0.4,
        "Maximum side of the rectangle as a fraction of the crop's side.",
        minimum=0,
        maximum=1,
    ),
    Setting(
        "augment.last.epochs",
        0.0,
        "Length of the last stage, with the augmentation of augment.last; 0: no such stage.",
        "epochs",
        minimum=0,
    ),
    Setting("augment.last.scale", 0.25, "augment.scale in the last stage.", minimum=0),
    Setting(
        "augment.last.rotation",
        30.0,
        "augment.rotation in the last stage.",
        "degrees",
        minimum=0,
    ),
    Setting(
        "augment.last.shift_prob",
        0.0,
        "augment.shift_prob in the last stage.",
        minimum=0,
        maximum=1,
    ),
    Setting(
        "augment.last.dropout_prob",
        0.0,
        "augment.pixels.dropout_prob in the last stage.",
        minimum=0,
        maximum=1,
    ),
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
    _check_pixels(config.augment.pixels, data.on_device)
    last = config.augment.last.epochs
    if 0 < config.epochs <= last:
        raise ConfigError(
            f"config.augment.last.epochs={last:g} leaves nothing of config.epochs="
            f"{config.epochs:g} for the first stage; RTMPose's share is a fourteenth "
            f"({config.epochs / 14:.3g}), and 0.0 is no last stage"
        )
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


def _check_pixels(pixels: ConfigDict, on_device: bool) -> None:
    if pixels.dropout_min > pixels.dropout_max:
        raise ConfigError(
            f"config.augment.pixels.dropout_min={pixels.dropout_min:g} must not exceed "
            f"dropout_max={pixels.dropout_max:g}"
        )
    for key in ("blur_prob", "median_prob"):
        if on_device and pixels[key] > 0:
            raise ConfigError(
                f"config.augment.pixels.{key}={pixels[key]:g} blurs on the host, which has no "
                f"pixels with config.data.on_device=True: --config.augment.pixels.{key}=0.0"
            )
