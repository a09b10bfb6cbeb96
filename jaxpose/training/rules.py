"""What the settings of a run may be, and what is said when one cannot work."""

from typing import Any, NamedTuple

from ml_collections import ConfigDict

from jaxpose import geometry, models
from jaxpose.choices import choose_from
from jaxpose.settings import flatten


class ConfigError(ValueError):
    """A setting that cannot work; the message is one line with the nearest that can."""


class Rules(NamedTuple):
    """What settings may be; those with a dot stand in a group."""

    choices: dict[str, tuple[str, ...]]
    positive: str
    not_negative: str
    fractions: str


COMMON = Rules(
    {
        "dtype": ("float32", "bfloat16"),
        "ops": ("auto", "fast", "lax"),
        "batch_norm": ("device", "global"),
        "optimizer.name": ("adam", "adamw"),
        "schedule.name": ("step", "cosine", "constant"),
        "data.storage": ("files", "tfds"),
    },
    "batch_size accumulate epochs sigma optimizer.learning_rate optimizer.eps keep log_every "
    "eval.batch_size data.workers data.prefetch distributed.timeout",
    "seed checkpoint_every eval_every optimizer.weight_decay optimizer.clip_norm "
    "schedule.warmup_steps schedule.gamma data.limit max_bad_fraction augment.rotation "
    "distributed.hosts",
    "optimizer.b1 optimizer.b2 ema_decay schedule.warmup_factor augment.flip",
)
TASKS = {
    "topdown": Rules(
        {
            "loss.name": ("heatmap_weighting", "mse"),
            "loss.fn": ("none", "x", "2x", "x2", "exp"),
            "data.format": ("coco", "mpii", "generated"),
            "eval.decode": ("quarter", "dark"),
            "eval.metric": ("coco", "mpii"),
        },
        "",
        "augment.scale augment.shift augment.half_body_min",
        "augment.half_body_prob augment.rotation_prob augment.shift_prob eval.rescore_threshold "
        "eval.oks_nms",
    ),
    "associative_embedding": Rules(
        {
            "loss.name": ("soft_boundary", "mse"),
            "data.format": ("coco", "crowdpose", "generated"),
            "augment.scale_type": ("short", "long"),
            "eval.sizing": ("short_side", "fixed"),
            "eval.metric": ("coco", "crowdpose"),
        },
        "loss.tau max_people augment.scale_min augment.scale_max eval.max_people "
        "eval.tag_threshold eval.nms_kernel",
        "loss.push loss.pull augment.translate",
        "eval.detection_threshold data.generated.overlap",
    ),
    "part_affinity": Rules(
        {
            "data.format": ("coco", "generated"),
            "augment.scale_type": ("short", "long"),
            "eval.sizing": ("short_side", "fixed"),
            "eval.metric": ("coco",),
        },
        "loss.thickness max_people augment.scale_min augment.scale_max eval.samples "
        "eval.least_joints",
        "augment.translate eval.peak_distance eval.field_threshold eval.least_score",
        "eval.detection_threshold eval.agreement data.generated.overlap",
    ),
}
# Where a recipe of a task starts from.
STARTS = {
    "topdown": "configs/custom_topdown.py",
    "associative_embedding": "configs/custom_bottomup.py",
    "part_affinity": "configs/lightweight_openpose.py",
}


def check_task(config: ConfigDict) -> None:
    """Paradigm, model and groups of settings belong together."""
    if config.task not in TASKS:
        hint = choose_from(config.task, TASKS)
        raise ConfigError(f"config.task={config.task!r}: {hint}")
    found = models.info(config.model).task
    if found != config.task:
        raise ConfigError(
            f"config.model={config.model!r} is {found}, this recipe is {config.task}: start "
            f"from {STARTS[found]} or another {found} recipe"
        )
    flat = flatten(config)
    rules = TASKS[config.task]
    needed = [*rules.choices, *f"{rules.positive} {rules.not_negative} {rules.fractions}".split()]
    missing = [key for key in needed if key not in flat]
    if missing:
        raise ConfigError(
            f"config.task={config.task}, but the recipe has no config.{missing[0]}: start "
            f"from {STARTS[config.task]}"
        )


def check_rules(flat: dict[str, Any], rules: Rules) -> None:
    """The settings, flat by name, keep the rules of a table."""
    for key, allowed in rules.choices.items():
        if flat[key] not in allowed:
            raise ConfigError(f"config.{key}={flat[key]!r}: {choose_from(flat[key], allowed)}")
    for key in rules.positive.split():
        if not flat[key] > 0:
            raise ConfigError(f"config.{key}={flat[key]} must be greater than 0")
    for key in rules.not_negative.split():
        if flat[key] < 0:
            raise ConfigError(f"config.{key}={flat[key]} must not be negative")
    for key in rules.fractions.split():
        if not 0 <= flat[key] <= 1:
            raise ConfigError(f"config.{key}={flat[key]} must lie between 0 and 1")


def check_crops(config: ConfigDict) -> None:
    """Rules that a table cannot say, of settings of networks that look at people one by one."""
    data, metric = config.data, config.eval.metric
    if (data.format == "mpii") != (metric == "mpii"):
        raise ConfigError(
            f"config.eval.metric={metric} and config.data.format={data.format} do not fit: MPII "
            "files are scored by PCKh, --config.eval.metric=mpii, and no others are"
        )
    if metric == "mpii" and data.detections:
        raise ConfigError(
            f"config.data.detections={data.detections!r}: PCKh is of annotated people; give "
            "--config.data.detections="
        )


def check_people(config: ConfigDict) -> None:
    """Rules that a table cannot say, of settings of networks that find all people of a picture."""
    augment, evaluation = config.augment, config.eval
    if augment.scale_min > augment.scale_max:
        raise ConfigError(
            f"config.augment.scale_min={augment.scale_min} is more than "
            f"config.augment.scale_max={augment.scale_max}"
        )
    if config.task == "associative_embedding" and evaluation.nms_kernel % 2 == 0:
        raise ConfigError(
            f"config.eval.nms_kernel={evaluation.nms_kernel} must be odd; the nearest is "
            f"{evaluation.nms_kernel + 1}"
        )
    _check_scales(tuple(evaluation.scales), config)
    people = tuple(config.data.generated.people)
    if len(people) != 2 or not 1 <= people[0] <= people[1]:
        raise ConfigError(
            f"config.data.generated.people={people} must be (fewest, most), e.g. (2, 6)"
        )
    if config.data.detections:
        raise ConfigError(
            f"config.data.detections={config.data.detections!r} is for top-down networks: a "
            "bottom-up one needs no boxes"
        )


def _check_scales(scales: tuple, config: ConfigDict) -> None:
    if 1 not in scales or len(set(scales)) < len(scales) or not all(s > 0 for s in scales):
        raise ConfigError(
            f"config.eval.scales={scales} must be different sizes above 0, 1 among them (the tags "
            "come from it), e.g. (0.5, 1.0, 2.0)"
        )
    step = geometry.INPUT_STEPS[config.task]
    if config.eval.sizing == "fixed":
        sides = {s: [s * side for side in config.input_size] for s in scales}
    else:  # multiples of SIZE_STEP at the smallest scale; the others follow from it
        sides = {s: [geometry.SIZE_STEP * s / min(scales)] for s in scales}
    for scale, found in sides.items():
        if any(side % step for side in found):
            raise ConfigError(
                f"config.eval.scales={scales}: at {scale:g} the sides of a picture would be no "
                f"multiples of {step}; halves and doubles work, e.g. (0.5, 1.0, 2.0)"
            )


def check_size(size: Any, of: int) -> None:
    """(height, width), multiples of a number."""
    if len(size) != 2 or not all(isinstance(side, int) and side > 0 for side in size):
        raise ConfigError(f"config.input_size={tuple(size)} must be (height, width) in pixels")
    if any(side % of for side in size):
        nearest = geometry.nearest_size(size, of)
        raise ConfigError(
            f"config.input_size={tuple(size)} must be multiples of {of}; the nearest is {nearest}"
        )


def check_batch(key: str, batch: int, devices: int, accumulate: int) -> None:
    """A batch divides over the devices and their micro-batches."""
    parts = devices * accumulate
    if batch % parts:
        by = f"{devices} devices" + (f" x {accumulate} micro-batches" if accumulate > 1 else "")
        lower = batch // parts * parts
        nearest = lower if lower and batch - lower <= parts / 2 else lower + parts
        raise ConfigError(
            f"config.{key}={batch} cannot be split over {by}; the nearest is {nearest}"
        )
