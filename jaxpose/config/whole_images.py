"""Settings shared by all tasks on whole images: augmentation and evaluation."""

from __future__ import annotations

from ml_collections import ConfigDict

from jaxpose.config.common import COMMON
from jaxpose.config.setting import ConfigError, Setting, with_defaults, with_settings
from jaxpose.geometry import SIZE_STEP

WHOLE_IMAGES = with_settings(
    with_defaults(
        COMMON,
        {"epochs": 500.0, "schedule.milestones": (350.0, 480.0)},
    ),
    Setting(
        "max_people",
        30,
        "Maximum number of people per image in training.",
        "people",
        above=0,
    ),
    Setting(
        "augment.scale_type",
        "short",
        "What fills the crop at scale 1: the short side of the image, or the whole image (long).",
        choices=("short", "long"),
    ),
    Setting(
        "augment.scale_min",
        0.75,
        "Minimum side of the crop as a fraction of the side at scale 1.",
        above=0,
    ),
    Setting(
        "augment.scale_max",
        1.5,
        "Maximum side of the crop as a fraction of the side at scale 1.",
        above=0,
    ),
    Setting(
        "augment.rotation",
        30.0,
        "Maximum rotation, in either direction; uniformly distributed.",
        "degrees",
        minimum=0,
    ),
    Setting(
        "augment.translate",
        40.0,
        "Maximum shift of the crop's center.",
        "1/200 of the crop's side",
        minimum=0,
    ),
    Setting(
        "eval.scales",
        (1.0,),
        "Scales to average over, as fractions of the input size; 1 must be among them.",
    ),
    Setting(
        "eval.sizing",
        "short_side",
        "Whether input_size gives the short side of an image, or a fixed size to fit it into.",
        choices=("short_side", "fixed"),
    ),
    Setting(
        "data.negatives",
        False,
        "Also train on images without any record of a person, as background.",
    ),
    Setting(
        "data.generated.people",
        (2, 6),
        "Generated data: minimum and maximum number of people per image.",
        "people",
    ),
    Setting(
        "data.generated.overlap",
        0.3,
        "Generated data: overlap of people, from 0 (apart) to 1 (hiding each other).",
        minimum=0,
        maximum=1,
    ),
)


def check(config: ConfigDict, *, input_step: int) -> None:
    """Checks rules between settings.

    Args:
      config: all settings.
      input_step: the sides of the network's input are multiples of this, in pixels.

    Raises:
      ConfigError: the first rule that is broken.
    """
    augment = config.augment
    if augment.scale_min > augment.scale_max:
        raise ConfigError(
            f"config.augment.scale_min={augment.scale_min} is greater than "
            f"config.augment.scale_max={augment.scale_max}"
        )
    fixed_size = tuple(config.input_size) if config.eval.sizing == "fixed" else None
    _check_scales(tuple(config.eval.scales), fixed_size, input_step)
    people = tuple(config.data.generated.people)
    if len(people) != 2 or not 1 <= people[0] <= people[1]:
        raise ConfigError(
            f"config.data.generated.people={people} must be (minimum, maximum), e.g. (2, 6)"
        )
    if config.data.detections:
        raise ConfigError(
            f"config.data.detections={config.data.detections!r} is for top-down networks; "
            "bottom-up networks take no boxes: use --config.data.detections="
        )


def _check_scales(scales: tuple, fixed_size: tuple[int, int] | None, step: int) -> None:
    if 1 not in scales or len(set(scales)) < len(scales) or not all(s > 0 for s in scales):
        raise ConfigError(
            f"config.eval.scales={scales} must be different positive numbers that include "
            "1 (for the tags), e.g. (0.5, 1.0, 2.0)"
        )
    if fixed_size:
        sides = {scale: [scale * side for side in fixed_size] for scale in scales}
    else:  # multiples of SIZE_STEP at the smallest scale; the others follow from it
        sides = {scale: [SIZE_STEP * scale / min(scales)] for scale in scales}
    for scale, lengths in sides.items():
        if any(side % step for side in lengths):
            raise ConfigError(
                f"config.eval.scales={scales}: at {scale:g} the sides of an image are not "
                f"multiples of {step}; halves and doubles work, e.g. (0.5, 1.0, 2.0)"
            )
