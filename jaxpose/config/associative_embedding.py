"""Settings of bottom-up networks with tags (associative embedding)."""

from __future__ import annotations

from ml_collections import ConfigDict

from jaxpose.config import whole_images
from jaxpose.config.setting import ConfigError, Setting, with_defaults, with_settings

SETTINGS = with_settings(
    with_defaults(whole_images.WHOLE_IMAGES, {"model": "wlitepose_xs"}),
    Setting(
        "data.format", "coco", "Format of the dataset.", choices=("coco", "crowdpose", "generated")
    ),
    Setting(
        "loss.name",
        "soft_boundary",
        "Loss of the heatmaps, at 1/4 and 1/2 of the input.",
        choices=("soft_boundary", "mse"),
    ),
    Setting("loss.tau", 0.01, "soft_boundary: power of the target in its weight.", above=0),
    Setting("loss.detach_weight", False, "soft_boundary: stop the gradient through its weight."),
    Setting(
        "loss.push", 1e-3, "Weight of the loss that moves the tags of people apart.", minimum=0
    ),
    Setting(
        "loss.pull",
        1e-3,
        "Weight of the loss that moves the tags of one person together.",
        minimum=0,
    ),
    Setting(
        "eval.max_people", 30, "Maximum number of candidates per keypoint.", "candidates", above=0
    ),
    Setting(
        "eval.detection_threshold",
        0.1,
        "Minimum heatmap value of a candidate.",
        minimum=0,
        maximum=1,
    ),
    Setting(
        "eval.tag_threshold",
        1.0,
        "Maximum tag distance between keypoints of one person.",
        above=0,
    ),
    Setting(
        "eval.nms_kernel",
        5,
        "Side of the window in which a candidate is the maximum; odd.",
        "pixels",
        above=0,
    ),
    Setting("eval.adjust", True, "Move keypoints a quarter of a pixel toward the higher neighbor."),
    Setting("eval.refine", True, "Fill in the keypoints that a person lacks."),
    Setting("eval.metric", "coco", "Metric of the evaluation.", choices=("coco", "crowdpose")),
)


def check(config: ConfigDict, *, input_step: int) -> None:
    """Checks rules between settings.

    Args:
      config: all settings.
      input_step: the sides of the network's input are multiples of this, in pixels.

    Raises:
      ConfigError: the first rule that is broken.
    """
    kernel = config.eval.nms_kernel
    if kernel % 2 == 0:
        raise ConfigError(
            f"config.eval.nms_kernel={kernel} must be odd; the nearest is {kernel + 1}"
        )
    whole_images.check(config, input_step=input_step)
