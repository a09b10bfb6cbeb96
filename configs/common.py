"""Every setting of train.py and eval.py: its default, its unit, one line each.

A recipe calls `get_config()` and changes what differs. Unknown keys are refused, also on the
command line (`--config.optimizer.learning_rate=1e-3`); `model_options` alone takes new keys,
since each model has its own switches (`jaxpose models` lists the models).
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Returns all settings with their defaults: the top-down recipe most pose papers share."""
    config = ConfigDict()

    # Network
    config.model = "hwl_mobilenetv3"  # a name from `jaxpose models`
    config.model_options = ConfigDict()  # keyword arguments of that model, e.g. attention="se"
    config.input_size = (256, 192)  # (height, width) of the person crop, pixels; multiples of 32
    config.dtype = "float32"  # float32 | bfloat16: activations; parameters stay float32
    config.ops = "auto"  # auto | fast | lax: implementation of the named operators
    config.batch_norm = "device"  # device | global: whose batch gives the statistics
    config.init_from = ""  # run folder whose weights start the training ("" = random)

    # Optimisation
    config.seed = 0  # initial weights, order of examples and augmentation
    config.batch_size = 64  # people a step, over all devices and hosts
    config.accumulate = 1  # micro-batches a step; gradients are averaged
    config.epochs = 210.0  # passes over the training people
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
    config.data.format = "coco"  # coco | mpii | generated
    config.data.root = ""  # dataset folder; the paths below are relative to it
    config.data.train_annotations = "annotations/person_keypoints_train2017.json"
    config.data.val_annotations = "annotations/person_keypoints_val2017.json"
    config.data.train_images = "train2017"  # folder
    config.data.val_images = "val2017"  # folder
    config.data.detections = ""  # detector boxes for evaluation; "" = annotated boxes
    config.data.head_boxes = ""  # mpii: mpii_gt_val.mat; "" = head size from two joints
    config.data.storage = "files"  # files | tfds
    config.data.tfds_dir = ""  # where storage=tfds keeps its prepared copy
    config.data.workers = 2  # parallel decoders
    config.data.prefetch = 4  # batches ready in advance
    config.data.limit = 0  # use only so many people of each split; 0 = all
    config.data.cache = False  # keep decoded pictures in memory
    config.data.generated = ConfigDict()  # format=generated: what to draw into root
    config.data.generated.num_train = 3000  # pictures
    config.data.generated.num_val = 300  # pictures
    config.data.generated.seed = 0
    config.max_bad_fraction = 0.001  # share of undecodable images at which the run stops

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
    config.eval.decode = "quarter"  # quarter | dark
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


def coco(input_size: tuple[int, int]) -> ConfigDict:
    """COCO 2017 in its official folders, scored on the detector boxes of the papers' tables.

    The box file (person AP 56.4) comes with the public SimpleBaseline and HRNet code; without it
    give --config.data.detections= to score on annotated boxes, which is usually 1.5-2.5 AP more.
    """
    config = get_config()
    config.input_size = input_size
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
