"""Starting points that recipes share. `jaxpose settings` lists the defaults.

A recipe calls `get_config()` (top-down), `bottomup()`, `part_affinity()` or a function that starts
from one of them, and changes values. Unknown keys are refused, also on the command line
(`--config.optimizer.learning_rate=1e-3`). Only `model_options` takes new keys, because each model
has its own options (`jaxpose models` lists the models).

A recipe with several variants takes one after a colon, `--config=RECIPE.py:VARIANT`, and lists all
of them in VARIANTS; the first is the default.
"""

from collections.abc import Callable

from ml_collections import ConfigDict

import jaxpose.config.associative_embedding
import jaxpose.config.part_affinity
import jaxpose.config.simcc
import jaxpose.config.topdown
from jaxpose.config import default_config

Base = Callable[[], ConfigDict]


def get_config() -> ConfigDict:
    """The defaults of top-down networks, which most papers use."""
    return default_config(jaxpose.config.topdown.SETTINGS, task="topdown")


def simcc() -> ConfigDict:
    """The defaults of top-down networks with SimCC, RTMPose's."""
    return default_config(jaxpose.config.simcc.SETTINGS, task="simcc")


def of_crops(model: str) -> ConfigDict:
    """The defaults of the task of a top-down network, with this network.

    A user's network that declares no task has heatmaps.
    """
    from jaxpose import models

    config = simcc() if models.info(model).task == "simcc" else get_config()
    config.model = model
    return config


def small_crops(variant: str) -> ConfigDict:
    """Crops of 128x96 for MODEL[,CODEC]; CODEC is gaussian (default) or udp, for heatmaps.

    On the coarse heatmaps of 32x24, targets have a sigma of 1.5 and decoding is DARK.

    Raises:
      ValueError: no such codec, or a codec for a network without heatmaps.
    """
    model, comma, codec = variant.partition(",")
    if comma and codec not in ("gaussian", "udp"):
        raise ValueError(f"unknown codec {codec!r} in {variant!r}: choose from gaussian, udp")
    config = of_crops(model)
    config.input_size = (128, 96)
    kaiming(config)
    if config.task == "simcc":
        if comma:
            raise ValueError(f"{variant!r}: {model} has no heatmaps and no codec; give {model!r}")
        return config
    config.codec = codec or "gaussian"
    config.sigma = 1.5
    if config.codec == "gaussian":  # UDP has its own decoding
        config.eval.decode = "dark"  # the papers use the quarter offset
    return config


def bottomup() -> ConfigDict:
    """The defaults of bottom-up networks with tags: WLitePose's recipe on COCO."""
    return default_config(
        jaxpose.config.associative_embedding.SETTINGS, task="associative_embedding"
    )


def part_affinity() -> ConfigDict:
    """The defaults of bottom-up networks with part affinity fields."""
    return default_config(jaxpose.config.part_affinity.SETTINGS, task="part_affinity")


COCO_BOXES = "person_detection_results/COCO_val2017_detections_AP_H_56_person.json"


def coco(size: str, base: Base = get_config) -> ConfigDict:
    """COCO 2017 in its official folders, scored on the detector boxes of the papers' tables.

    The box file (person AP 56.4) comes with the public SimpleBaseline and HRNet code. Without it,
    use --config.data.detections= to score on annotated boxes, which usually gives 1.5-2.5 AP more.
    """
    config = base()
    config.input_size = pixels(size)
    config.data.detections = COCO_BOXES
    return config


def mpii(base: Base = get_config) -> ConfigDict:
    """MPII in the JSON format of the HRNet project, at 256x256, scored by PCKh.

    Without mpii_gt_val.mat, use --config.data.head_boxes= : head sizes are then computed from the
    keypoints of the head, and the scores are reported as approximate.
    """
    config = base()
    config.input_size = (256, 256)
    config.data.format = "mpii"
    config.data.train_annotations = "annotations/mpii_train.json"
    config.data.val_annotations = "annotations/mpii_val.json"
    config.data.train_images = "images"
    config.data.val_images = "images"
    config.data.head_boxes = "annotations/mpii_gt_val.mat"
    config.augment.half_body_prob = 0.0
    config.augment.shift_prob = 0.0
    config.eval.metric = "mpii"
    return config


def kaiming(config: ConfigDict) -> None:
    """Initializes the network at Kaiming's scale instead of the paper's N(0, 0.001)."""
    if ":" in config.model:  # a user's network has its own initialization
        return
    if config.model.startswith(("hwl", "simplebaseline")):
        config.model_options.deconv_init = "kaiming"
    elif "hrnet" in config.model or config.model.startswith("vipnas"):
        config.model_options.conv_init = "kaiming"


def crowdpose() -> ConfigDict:
    """CrowdPose, bottom-up."""
    config = bottomup()
    crowdpose_files(config)
    return config


def crowdpose_files(config: ConfigDict) -> None:
    """CrowdPose, trained on train and val together and scored on test, as in the papers.

    The annotation files are those of mmpose; CrowdPose's own files
    (--config.data.train_annotations=...) have the same format.
    """
    config.data.format = "crowdpose"
    config.data.train_annotations = "annotations/mmpose_crowdpose_trainval.json"
    config.data.val_annotations = "annotations/mmpose_crowdpose_test.json"
    config.data.train_images = "images"
    config.data.val_images = "images"
    config.eval.metric = "crowdpose"


TOPDOWN = ("coco,256x192", "coco,384x288", "mpii,256x256")
CROWDS = ("coco", "crowdpose")
SCHEDULES = ("wlitepose", "litepose")


def parts(variant: str, variants: tuple[str, ...], last: tuple[str, ...] = ()) -> list[str]:
    """The comma-separated parts of the VARIANT in `--config=RECIPE.py:VARIANT`.

    Args:
      variant: from the command line.
      variants: all variants of the recipe.
      last: choices for one more part, which may be left out and is then returned as "".

    Raises:
      ValueError: no such variant.
    """
    left, given = [known.split(",") for known in variants], variant.split(",")
    if last:
        given += [""] * (len(given) == len(left[0]))
        left = [[*known, end] for known in left for end in ("", *last)]
    if len(given) != len(left[0]):
        raise ValueError(
            f"incomplete or unknown variant {variant!r}: give all parts, e.g. {variants[0]!r}"
        )
    for number, part in enumerate(given):
        choices = dict.fromkeys(known[number] for known in left)
        if part not in choices:
            named = ", ".join(filter(None, choices))
            raise ValueError(f"unknown part {part!r} of variant {variant!r}: choose from {named}")
        left = [known for known in left if known[number] == part]
    return given


def pixels(size: str) -> tuple[int, int]:
    """256x192 -> (256, 192)."""
    height, width = size.split("x")
    return int(height), int(width)


def crops(dataset: str, size: str, base: Base = get_config) -> ConfigDict:
    """COCO, CrowdPose or MPII, top-down at that size; otherwise the defaults of `base()`.

    On COCO and CrowdPose, the center of a crop is shifted at random, as in mmpose. Up to its
    version 0.25, mmpose draws the shift once per person for the whole run; here it is drawn for
    every example. CrowdPose is scored on annotated boxes, or on detected boxes with
    --config.data.detections=FILE.
    """
    if dataset != "crowdpose":
        return coco(size, base) if dataset == "coco" else mpii(base)
    config = base()
    config.input_size = pixels(size)
    crowdpose_files(config)
    return config


# COCO-like files of other datasets: annotations of train and val, folders of images. Those of whole
# bodies and hands are what `jaxpose.annotations.wholebody` writes.
FILES = {
    "wholebody": (
        "annotations/wholebody_train.json",
        "annotations/wholebody_val.json",
        "train2017",
        "val2017",
    ),
    "hand": (
        "annotations/hands_train.json",
        "annotations/hands_val.json",
        "train2017",
        "val2017",
    ),
    "ap10k": (
        "annotations/ap10k-train-split1.json",
        "annotations/ap10k-val-split1.json",
        "data",
        "data",
    ),
}


def rtmpose(dataset: str, size: str) -> ConfigDict:
    """RTMPose's public configurations, without what depends on the network.

    Args:
      dataset: coco, crowdpose, mpii or one of FILES.
      size: of the input.
    """
    if dataset in FILES:
        config = simcc()
        config.input_size = pixels(size)
        data = config.data
        data.train_annotations, data.val_annotations, data.train_images, data.val_images = FILES[
            dataset
        ]
        if dataset == "wholebody":
            data.detections = COCO_BOXES
    else:
        config = crops(dataset, size, simcc)
    config.batch_norm = "global"
    config.ema_warmup = 2000
    config.optimizer.name = "adamw"
    config.optimizer.decay_also = ("head/*/gain", "head/*/factor")
    config.schedule.name = "cosine"
    config.schedule.warmup_steps = 999
    config.schedule.warmup_factor = 1e-5
    config.schedule.flat = 0.5
    config.schedule.final_factor = 0.05
    hand = dataset == "hand"
    config.augment.distribution = "truncated"
    config.augment.half_body_prob = 0.0 if hand else 0.3
    config.augment.scale = 0.5 if hand else 0.4
    config.augment.rotation = 180.0 if hand else 80.0
    config.augment.shift = 0.16
    config.augment.shift_prob = 0.3
    config.augment.pixels.hue = 5
    config.augment.pixels.saturation = 30
    config.augment.pixels.value = 30
    config.augment.pixels.blur_prob = 0.1
    config.augment.pixels.median_prob = 0.1
    config.augment.pixels.dropout_prob = 1.0
    config.augment.last.epochs = 30.0
    config.augment.last.rotation = 180.0 if hand else 60.0
    config.augment.last.dropout_prob = 0.5
    return config


def strong_to_the_end(config: ConfigDict, dataset: str) -> ConfigDict:
    """What the public configurations of RTMPose-x have: clipped gradients, no milder last stage."""
    config.optimizer.clip_norm = 35.0
    config.augment.scale = config.augment.last.scale = 0.5
    config.augment.rotation = config.augment.last.rotation = 90.0
    if dataset == "coco":
        config.epochs, config.augment.last.epochs = 700.0, 20.0
    return config


def topdown(dataset: str, size: str) -> ConfigDict:
    """COCO or MPII with the settings that HRNet and its successors share.

    These are the mean squared error, a sigma of 3 at 384x288, where the heatmap is larger, and
    Lite-HRNet's augmentation with standard deviations of 25% in scale and 30 degrees.
    """
    config = crops(dataset, size)
    config.loss.name = "mse"
    if size == "384x288":
        config.sigma = 3.0
    config.augment.scale = 0.25
    config.augment.rotation = 30.0
    return config


WLITEPOSE_TOPDOWN = ("coco,256x256", "crowdpose,256x256", "crowdpose,448x448")


def wlitepose_topdown(config: ConfigDict) -> None:
    """Changes a top-down recipe to the training setup of WLitePose's Tables IV and V.

    Adam 1e-3, batch 32, no warm-up, COCO 500 epochs (x0.1 at 350 and 480), CrowdPose 200 (50 and
    180), no half-body augmentation. Rotation and scale stay those of the network's own recipe.
    """
    config.optimizer.learning_rate = 1e-3
    config.schedule.warmup_steps = 0
    config.batch_size = 32
    config.augment.half_body_prob = 0.0
    crowds = config.data.format == "crowdpose"
    config.epochs = 200.0 if crowds else 500.0
    config.schedule.milestones = (50.0, 180.0) if crowds else (350.0, 480.0)


def litepose(dataset: str, side: int, schedule: str) -> ConfigDict:
    """COCO or CrowdPose, bottom-up, with the recipes of LitePose and WLitePose.

    Args:
      dataset: one of CROWDS.
      side: of the input, in pixels; in evaluation, the short side of an image gets this size.
      schedule: "wlitepose" is that of WLitePose's paper: Adam 1e-3, batch 32 on two devices, COCO
        500 epochs (x0.1 at 350 and 480), CrowdPose 200 (50 and 180). "litepose" is that of
        LitePose's code: 4e-3, batch 16 on each device (here 16), 500 epochs (350 and 480).
    """
    config = bottomup() if dataset == "coco" else crowdpose()
    config.input_size = (side, side)
    if schedule == "litepose":
        config.optimizer.learning_rate = 4e-3
        config.batch_size = 16
    elif dataset == "crowdpose":  # bottomup() has the schedule for COCO
        config.epochs = 200.0
        config.schedule.milestones = (50.0, 180.0)
    return config


def higher(size: str, batch: int, dataset: str = "coco") -> ConfigDict:
    """COCO or CrowdPose, bottom-up, with HigherHRNet's public configuration except for the batch.

    Adam 1e-3, 300 epochs (x0.1 at 200 and 260), no warm-up, the mean squared error at both
    resolutions, pull and push 1e-3, crops of 0.75 to 1.5 of the short side, 30 degrees.
    """
    config = bottomup() if dataset == "coco" else crowdpose()
    config.input_size = pixels(size)
    config.loss.name = "mse"
    config.batch_size = batch
    config.epochs = 300.0
    config.schedule.milestones = (200.0, 260.0)
    return config
