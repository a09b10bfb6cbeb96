"""Every setting of train.py and eval.py: its default, its unit, one line each.

A recipe calls `get_config()` (top-down), `bottomup()`, `part_affinity()` or a function that starts
from one of them, and changes what differs. Unknown keys are refused, also on the command line
(`--config.optimizer.learning_rate=1e-3`); `model_options` alone takes new keys, since each model
has its own switches (`jaxpose models` lists the models).

Recipes of several sizes take the one that is meant after a colon, `--config=RECIPE.py:VARIANT`,
and list them all in VARIANTS; the first is the default.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Returns all settings with their defaults: the top-down recipe most pose papers share."""
    config = ConfigDict()

    # Network
    config.task = "topdown"  # one person a crop | bottomup, part_affinity: whole pictures
    config.model = "hwl_mobilenetv3"  # a name from `jaxpose models`, of that task
    config.model_options = ConfigDict()  # keyword arguments of that model, e.g. attention="se"
    config.input_size = (256, 192)  # (height, width), pixels; multiples of 32, part_affinity: 8
    config.dtype = "float32"  # float32 | bfloat16: activations; parameters stay float32
    config.ops = "auto"  # auto | fast | lax: implementation of the named operators
    config.batch_norm = "device"  # device | global: whose batch gives the statistics
    config.init_from = ""  # run folder whose weights start the training ("" = random)

    # Optimisation
    config.seed = 0  # initial weights, order of examples and augmentation
    config.batch_size = 64  # people (bottom-up: pictures) a step, over all devices and hosts
    config.accumulate = 1  # micro-batches a step; gradients are averaged
    config.epochs = 210.0  # passes over the training people (bottom-up: pictures)
    config.ema_decay = 0.0  # moving average of parameters and BN statistics; 0 = off

    config.loss = ConfigDict()
    config.loss.name = "heatmap_weighting"  # heatmap_weighting | mse
    config.loss.fn = "x"  # none | x | 2x | x2 | exp: weight F(target) + 1; unused by mse

    config.optimizer = ConfigDict()
    config.optimizer.name = "adam"  # adam | adamw
    config.optimizer.learning_rate = 5e-4  # peak
    config.optimizer.b1 = 0.9  # decay of the first moment
    config.optimizer.b2 = 0.999  # decay of the second moment
    config.optimizer.eps = 1e-8  # added to the root of the second moment
    config.optimizer.weight_decay = 0.0  # adamw only; kernels only, not BN or biases
    config.optimizer.clip_norm = 0.0  # largest global gradient norm; 0 = off

    config.schedule = ConfigDict()
    config.schedule.name = "step"  # step | cosine | constant
    config.schedule.warmup_steps = 500  # steps of linear warm-up; 0 = off
    config.schedule.warmup_factor = 0.001  # learning rate at step 0, as a share of the peak
    config.schedule.milestones = (170.0, 200.0)  # epochs after which step multiplies by gamma
    config.schedule.gamma = 0.1  # factor at each milestone

    # Data
    config.data = ConfigDict()
    config.data.format = "coco"  # coco | mpii | generated; bottomup: crowdpose in place of mpii
    config.data.root = ""  # dataset folder; the paths below are relative to it
    config.data.train_annotations = "annotations/person_keypoints_train2017.json"
    config.data.val_annotations = "annotations/person_keypoints_val2017.json"
    config.data.train_images = "train2017"  # folder
    config.data.val_images = "val2017"  # folder
    config.data.detections = ""  # top-down: detector boxes to evaluate on; "" = annotated ones
    config.data.head_boxes = ""  # mpii: mpii_gt_val.mat; "" = head size from two joints
    config.data.storage = "files"  # files | tfds
    config.data.tfds_dir = ""  # where storage=tfds keeps its prepared copy
    config.data.workers = 2  # parallel decoders
    config.data.prefetch = 4  # batches ready in advance
    config.data.limit = 0  # use only so many people (pictures) of each split; 0 = all
    config.data.cache = False  # keep decoded pictures in memory, up to 1 GiB of each split
    config.data.generated = ConfigDict()  # format=generated: what to draw into root
    config.data.generated.num_train = 3000  # pictures
    config.data.generated.num_val = 300  # pictures
    config.data.generated.seed = 0
    config.max_bad_fraction = 0.001  # share of unusable images above which the run stops

    # Targets and augmentation (training only)
    config.sigma = 2.0  # of the Gaussian target, heatmap pixels (heatmap = input / 4)
    config.augment = ConfigDict()
    config.augment.flip = 0.5  # probability of a mirror image
    config.augment.half_body_prob = 0.3  # probability of a crop on the upper or lower body
    config.augment.half_body_min = 8  # labelled joints a person needs more than, for half body
    config.augment.scale = 0.5  # std of the zoom factor around 1, clipped at +-scale
    config.augment.rotation = 40.0  # std in degrees, clipped at twice that
    config.augment.rotation_prob = 0.6  # probability of any rotation
    config.augment.shift = 0.2  # largest shift of the centre, share of the box
    config.augment.shift_prob = 0.3  # probability of a shift

    # Evaluation
    config.eval = ConfigDict()
    config.eval.batch_size = 64  # people a step, over all devices and hosts
    config.eval.flip = True  # average with the mirror image
    config.eval.decode = "quarter"  # quarter | dark, which smooths as sigma says
    config.eval.rescore_threshold = 0.2  # joints above it make the score of a person
    config.eval.oks_nms = 0.9  # overlap above which a duplicate is dropped
    config.eval.metric = "coco"  # coco | mpii

    # Intervals, run folder, machine
    config.log_every = 50  # steps
    config.checkpoint_every = 0  # steps; 0 = once an epoch
    config.eval_every = 10.0  # epochs; 0 = only at the end
    config.keep = 2  # newest checkpoints kept, beside the best
    config.compilation_cache = True  # keep compiled programs in ~/.cache/jaxpose/xla
    config.deterministic = False  # slower GPU kernels that give the same bits every time

    config.distributed = ConfigDict()
    config.distributed.initialize = False  # several hosts: call jax.distributed.initialize
    config.distributed.hosts = 0  # hosts expected; 0 = as many as the cluster reports
    config.distributed.coordinator = ""  # host:port of host 0; "" = found by jax
    config.distributed.host_id = -1  # number of this host; -1 = found by jax
    config.distributed.timeout = 300  # seconds to wait for the others

    config.lock()
    config.model_options.unlock()
    return config


def coco(size: str) -> ConfigDict:
    """COCO 2017 in its official folders, scored on the detector boxes of the papers' tables.

    The box file (person AP 56.4) comes with the public SimpleBaseline and HRNet code; without it
    give --config.data.detections= to score on annotated boxes, which is usually 1.5-2.5 AP more.
    """
    config = get_config()
    config.input_size = pixels(size)
    config.data.detections = "person_detection_results/COCO_val2017_detections_AP_H_56_person.json"
    return config


def mpii() -> ConfigDict:
    """MPII in the json form of the HRNet project, at 256x256, scored by PCKh.

    Without mpii_gt_val.mat give --config.data.head_boxes= : head sizes are then taken from the
    joints of the head, which is an approximation and printed as one.
    """
    config = get_config()
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


def bottomup() -> ConfigDict:
    """Returns all settings with their defaults for bottom-up networks: WLitePose's recipe on COCO.

    The groups loss, augment and eval have other keys than the top-down ones; `data.generated` and
    the top level have a few more. Pictures are trained on as square crops around their centre.
    """
    config = get_config()
    config.task = "associative_embedding"
    config.model = "wlitepose_xs"
    config.input_size = (256, 256)
    config.schedule.warmup_steps = 0
    with config.unlocked():
        config.max_people = 30  # people of a picture whose joints get tags

        config.loss = ConfigDict()
        config.loss.name = "soft_boundary"  # soft_boundary | mse, at 1/4 and 1/2 of the input
        config.loss.tau = 0.01  # soft_boundary: power of the target in its weight
        config.loss.detach_weight = False  # soft_boundary: no gradient through the weight
        config.loss.push = 1e-3  # weight of the term that moves the tags of two people apart
        config.loss.pull = 1e-3  # weight of the term that brings the tags of one together

        config.augment = ConfigDict()
        config.augment.flip = 0.5  # probability of a mirror image
        config.augment.scale_type = "short"  # short: 1 = the short side | long: the whole picture
        config.augment.scale_min = 0.75  # least side of the crop, share of that
        config.augment.scale_max = 1.5  # largest
        config.augment.rotation = 30.0  # largest angle, degrees; uniform
        config.augment.translate = 40.0  # largest shift of the centre, 1/200 of the crop's side

        config.eval = ConfigDict()
        config.eval.batch_size = 8  # pictures a step, over all devices and hosts
        config.eval.flip = True  # average with the mirror image
        config.eval.scales = (1.0,)  # sizes to average over, shares of the input size; 1 is one
        config.eval.sizing = "short_side"  # short_side | fixed: input_size is that, or the whole
        config.eval.max_people = 30  # candidates of a joint
        config.eval.detection_threshold = 0.1  # least heatmap value of a candidate
        config.eval.tag_threshold = 1.0  # tags of one person are nearer to each other
        config.eval.nms_kernel = 5  # pixels; a candidate is the maximum of such a window
        config.eval.adjust = True  # move joints a quarter of a pixel to the higher neighbour
        config.eval.refine = True  # look for the joints that a person lacks
        config.eval.metric = "coco"  # coco | crowdpose

        config.data.generated.people = (2, 6)  # fewest and most people of a picture
        config.data.generated.overlap = 0.3  # 0 = they stand apart ... 1 = behind each other
    config.model_options.unlock()
    _follow(config, 1e-3, 32, 500.0, (350.0, 480.0))
    return config


def part_affinity() -> ConfigDict:
    """Returns all settings with their defaults for Lightweight OpenPose; COCO's joints alone.

    As `bottomup()`, but for the groups loss and eval; data.format is coco or generated.
    """
    config = bottomup()
    config.task = "part_affinity"
    config.model = "lightweight_openpose"
    config.sigma = 7.0  # of the Gaussian target, input pixels
    with config.unlocked():
        config.loss = ConfigDict()  # squared errors of heatmaps and fields, summed
        config.loss.thickness = 1.0  # half the width of a limb's field, cells of 8x8 pixels

        config.eval = ConfigDict()
        config.eval.batch_size = 8  # pictures a step, over all devices and hosts
        config.eval.flip = False  # average with the mirror image
        config.eval.scales = (1.0,)  # sizes to average over, shares of the input size; 1 is one
        config.eval.sizing = "short_side"  # short_side | fixed: input_size is that, or the whole
        config.eval.detection_threshold = 0.1  # least heatmap value of a joint
        config.eval.peak_distance = 6.0  # pixels within which a joint is the only one of its kind
        config.eval.samples = 10  # points of a limb at which the field is read
        config.eval.field_threshold = 0.05  # least agreement of field and limb at a point
        config.eval.agreement = 0.8  # share of the points that must be above it
        config.eval.least_joints = 3  # people with fewer are dropped
        config.eval.least_score = 0.2  # mean score a joint below which people are dropped
        config.eval.metric = "coco"  # COCO's joints have no other
    config.model_options.unlock()
    return config


def _follow(config: ConfigDict, rate: float, batch: int, epochs: float, milestones: tuple) -> None:
    config.optimizer.learning_rate = rate
    config.batch_size = batch
    config.epochs = epochs
    config.schedule.milestones = milestones


def kaiming(config: ConfigDict) -> None:
    """Starts the network at Kaiming's scale, where its paper starts at N(0, 0.001)."""
    if config.model.startswith(("hwl", "simplebaseline")):
        config.model_options.deconv_init = "kaiming"
    elif "hrnet" in config.model or config.model.startswith("vipnas"):
        config.model_options.conv_init = "kaiming"


def crowdpose() -> ConfigDict:
    """CrowdPose, trained on train and val together and scored on test, as the papers have it.

    The annotation files are those that mmpose publishes; CrowdPose's own
    (--config.data.train_annotations=...) have the same form.
    """
    config = bottomup()
    config.data.format = "crowdpose"
    config.data.train_annotations = "annotations/mmpose_crowdpose_trainval.json"
    config.data.val_annotations = "annotations/mmpose_crowdpose_test.json"
    config.data.train_images = "images"
    config.data.val_images = "images"
    config.eval.metric = "crowdpose"
    return config


TOPDOWN = ("coco,256x192", "coco,384x288", "mpii,256x256")
CROWDS = ("coco", "crowdpose")
SCHEDULES = ("wlitepose", "litepose")


def parts(variant: str, variants: tuple[str, ...], last: tuple[str, ...] = ()) -> list[str]:
    """The parts, between commas, of `--config=RECIPE.py:VARIANT`; refused unless in `variants`.

    One of `last` may follow; where it could and does not, the last part returned is "".
    """
    left, given = [known.split(",") for known in variants], variant.split(",")
    if last:
        given += [""] * (len(given) == len(left[0]))
        left = [[*known, end] for known in left for end in ("", *last)]
    if len(given) != len(left[0]):
        raise ValueError(f"no variant {variant!r}: give all of it, such as {variants[0]!r}")
    for number, part in enumerate(given):
        choices = dict.fromkeys(known[number] for known in left)
        if part not in choices:
            named = ", ".join(filter(None, choices))
            raise ValueError(f"no {part!r} in {variant!r}: choose from {named}")
        left = [known for known in left if known[number] == part]
    return given


def pixels(size: str) -> tuple[int, int]:
    """256x192 -> (256, 192)."""
    height, width = size.split("x")
    return int(height), int(width)


def crops(dataset: str, size: str) -> ConfigDict:
    """COCO or MPII, top-down at that size; all else as `get_config()` has it."""
    return coco(size) if dataset == "coco" else mpii()


def topdown(dataset: str, size: str) -> ConfigDict:
    """COCO or MPII with what HRNet and those that follow it share.

    That is the mean squared error, and a sigma of 3 at 384x288, where the heatmap is larger; and
    Lite-HRNet's augmentation, by 25% in size and 30 degrees (of what `augment` says).
    """
    config = crops(dataset, size)
    config.loss.name = "mse"
    config.sigma = 3.0 if size == "384x288" else 2.0
    config.augment.scale = 0.25
    config.augment.rotation = 30.0
    return config


def litepose(dataset: str, side: int, schedule: str) -> ConfigDict:
    """COCO or CrowdPose, bottom-up, as LitePose and WLitePose are trained on them.

    Args:
        dataset: one of CROWDS.
        side: of the input, pixels; pictures are evaluated with their short side at that size.
        schedule: "wlitepose", that of WLitePose's paper: Adam 1e-3, batch 32 on two devices, COCO
            500 epochs (x0.1 at 350 and 480), CrowdPose 200 (50 and 180); or "litepose", that of
            LitePose's code: 4e-3, batch 16 on each device (16 here), 500 epochs (350 and 480).
    """
    config = bottomup() if dataset == "coco" else crowdpose()
    config.input_size = (side, side)
    if schedule == "litepose":
        _follow(config, 4e-3, 16, 500.0, (350.0, 480.0))
    elif dataset == "crowdpose":  # bottomup() has that of COCO
        _follow(config, 1e-3, 32, 200.0, (50.0, 180.0))
    return config


def higher(size: str, batch: int, dataset: str = "coco") -> ConfigDict:
    """COCO or CrowdPose, bottom-up, as HigherHRNet's public configurations but for the batch.

    Adam 1e-3, 300 epochs (x0.1 at 200 and 260), no warm-up, the mean squared error at both
    resolutions, pull and push 1e-3, crops of 0.75 to 1.5 of the short side, 30 degrees.
    """
    config = bottomup() if dataset == "coco" else crowdpose()
    config.input_size = pixels(size)
    config.loss.name = "mse"
    _follow(config, 1e-3, batch, 300.0, (200.0, 260.0))
    return config
