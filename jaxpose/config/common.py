"""The settings of all tasks. A task may change their defaults."""

from __future__ import annotations

from jaxpose.config.setting import Setting

_NETWORK = (
    Setting("task", "", "Method by which poses are learned and predicted."),
    Setting(
        "model",
        "",
        "The network: a name from `jaxpose models`, of this task, or package.module:ClassName.",
    ),
    Setting("model_options", {}, "Keyword arguments of the network, e.g. attention=se."),
    Setting("input_size", (256, 256), "Height and width of the network's input.", "pixels"),
    Setting(
        "dtype",
        "float32",
        "Type of the activations; parameters stay float32.",
        choices=("float32", "bfloat16"),
    ),
    Setting(
        "ops",
        "auto",
        "Implementation of the named operators; auto selects it by device.",
        choices=("auto", "fast", "lax"),
    ),
    Setting(
        "batch_norm",
        "device",
        "Batch statistics over the examples of each device, or of all devices.",
        choices=("device", "global"),
    ),
    Setting(
        "init_from",
        "",
        "Initial weights: a run folder, a file or a name from `jaxpose weights`; empty: random.",
        fixed=False,
        path=True,
    ),
    Setting(
        "init_share",
        0.5,
        "Minimum share of parameters taken from init_from; of the backbone's if it has only these.",
        minimum=0,
        maximum=1,
        fixed=False,
    ),
    Setting(
        "freeze",
        (),
        "Patterns of the parameters and batch norm statistics to freeze, such as 'backbone/*'.",
    ),
)

_OPTIMIZATION = (
    Setting(
        "seed", 0, "Random seed of initial weights, example order and augmentation.", minimum=0
    ),
    Setting(
        "batch_size",
        32,
        "Examples per step, over all devices and hosts: people (top-down) or images.",
        "examples",
        above=0,
    ),
    Setting(
        "reduce_dtype",
        "float32",
        "Type in which gradients are added over the devices; bfloat16 halves the bytes.",
        choices=("float32", "bfloat16"),
    ),
    Setting("accumulate", 1, "Micro-batches per step; their gradients are averaged.", above=0),
    Setting("remat", False, "Computes repeated blocks again in the backward pass: less memory."),
    Setting("epochs", 210.0, "Passes over the training examples.", "epochs", above=0),
    Setting(
        "ema_decay",
        0.0,
        "Decay of the moving average of parameters and batch norm statistics; 0: off.",
        minimum=0,
        below=1,
    ),
    Setting(
        "ema_warmup",
        0,
        "Growth of ema_decay to its value, ema_decay * (1 - e^(-steps / ema_warmup)); 0: constant.",
        "steps",
        minimum=0,
    ),
    Setting("optimizer.name", "adam", "Optimizer.", choices=("adam", "adamw")),
    Setting("optimizer.learning_rate", 1e-3, "Peak learning rate.", above=0),
    Setting("optimizer.b1", 0.9, "Decay of the first moment.", minimum=0, below=1),
    Setting("optimizer.b2", 0.999, "Decay of the second moment.", minimum=0, below=1),
    Setting("optimizer.eps", 1e-8, "Added to the root of the second moment.", above=0),
    Setting(
        "optimizer.weight_decay",
        0.0,
        "Weight decay of adamw; applies to kernels, not to biases or batch norm.",
        minimum=0,
    ),
    Setting(
        "optimizer.decay_also",
        (),
        "Patterns of one-dimensional parameters to which weight decay applies too, e.g. '*/gain'.",
    ),
    Setting(
        "optimizer.rate_scale",
        (),
        "Learning rate factors by pattern, e.g. 'backbone/*=0.1'; the first match applies.",
    ),
    Setting("optimizer.clip_norm", 0.0, "Maximum global gradient norm; 0: off.", minimum=0),
    Setting(
        "schedule.name",
        "step",
        "Learning rate schedule after warm-up.",
        choices=("step", "cosine", "constant"),
    ),
    Setting(
        "schedule.warmup_steps", 0, "Length of the linear warm-up; 0: off.", "steps", minimum=0
    ),
    Setting(
        "schedule.warmup_factor",
        0.001,
        "Learning rate at step 0 as a fraction of the peak.",
        minimum=0,
        maximum=1,
    ),
    Setting(
        "schedule.milestones",
        (170.0, 200.0),
        "Epochs after which the step schedule multiplies the learning rate by gamma; increasing.",
        "epochs",
    ),
    Setting("schedule.gamma", 0.1, "Factor at each milestone.", minimum=0),
    Setting(
        "schedule.flat",
        0.0,
        "Fraction of the run at the peak learning rate, before the cosine schedule begins.",
        minimum=0,
        below=1,
    ),
    Setting(
        "schedule.final_factor",
        0.0,
        "Learning rate at the end of the cosine schedule as a fraction of the peak.",
        minimum=0,
        maximum=1,
    ),
)

_TARGETS = (
    Setting(
        "sigma",
        2.0,
        "Standard deviation of the Gaussian targets.",
        "heatmap pixels",
        above=0,
    ),
    Setting("augment.flip", 0.5, "Probability of a horizontal flip.", minimum=0, maximum=1),
)

_DATA = (
    Setting(
        "data.root",
        "",
        "Dataset folder; all other paths of the dataset are relative to it.",
        fixed=False,
        path=True,
    ),
    Setting(
        "data.train_annotations",
        "annotations/person_keypoints_train2017.json",
        "Annotation file of the training split.",
        path=True,
    ),
    Setting(
        "data.val_annotations",
        "annotations/person_keypoints_val2017.json",
        "Annotation file of the validation split.",
        path=True,
    ),
    Setting("data.train_images", "train2017", "Image folder of the training split.", path=True),
    Setting("data.val_images", "val2017", "Image folder of the validation split.", path=True),
    Setting(
        "data.category",
        "",
        "Category to read, name or id; empty: the first with keypoints, and those with the same "
        "keypoints.",
    ),
    Setting(
        "data.flip_pairs",
        (),
        "Left-right pairs, each LEFT/RIGHT, or 'none' if there are none; empty: those of the "
        "annotation file.",
    ),
    Setting(
        "data.detections",
        "",
        "Top-down: detected boxes to evaluate on; empty: the annotated boxes.",
        path=True,
    ),
    Setting(
        "data.head_boxes",
        "",
        "MPII: path of mpii_gt_val.mat; empty: head sizes from two keypoints.",
        path=True,
    ),
    Setting(
        "data.storage",
        "files",
        "Where images are read from: their files, or the copy in data.tfds_dir.",
        choices=("files", "tfds"),
        fixed=False,
    ),
    Setting("data.tfds_dir", "", "Folder of the prepared TFDS copy.", fixed=False, path=True),
    Setting(
        "data.prepared",
        False,
        "Train from decoded crops in memory-mapped files, which are first written if missing.",
    ),
    Setting(
        "data.prepared_dir",
        "",
        "Folder of the decoded crops; empty: ~/.cache/jaxpose/prepared.",
        fixed=False,
        path=True,
    ),
    Setting(
        "data.on_device",
        False,
        "Keep all decoded crops in the memory of each device, and augment there; needs "
        "data.prepared.",
    ),
    Setting(
        "data.reduced_decode",
        "never",
        "Where JPEG files are decoded at 1/2, 1/4 or 1/8 of their size if the crop needs no more.",
        choices=("never", "train", "always"),
    ),
    Setting("data.workers", 2, "Images decoded in parallel.", above=0, fixed=False),
    Setting("data.prefetch", 4, "Batches prepared ahead.", "batches", above=0, fixed=False),
    Setting(
        "data.limit",
        0,
        "Use at most this many examples of each split; 0: all.",
        "examples",
        minimum=0,
    ),
    Setting(
        "data.cache",
        False,
        "Keep decoded images in memory, up to 1 GiB per split.",
        fixed=False,
    ),
    Setting(
        "data.generated.num_train",
        3000,
        "Generated data: number of training images to draw into data.root.",
        "images",
    ),
    Setting(
        "data.generated.num_val", 300, "Generated data: number of validation images.", "images"
    ),
    Setting("data.generated.seed", 0, "Generated data: random seed of the drawings."),
    Setting(
        "max_bad_fraction",
        0.001,
        "Fraction of unusable images above which a run stops. Each host counts those it reads.",
        minimum=0,
        fixed=False,
    ),
)

_EVALUATION = (
    Setting(
        "eval.batch_size",
        8,
        "Examples per step of evaluation, over all devices and hosts.",
        "examples",
        above=0,
        fixed=False,
    ),
    Setting("eval.flip", True, "Average the predictions of the image and its horizontal flip."),
    Setting(
        "eval.area",
        "annotated",
        "Area of a person in the OKS of COCO's metric: annotated, or 0.53 of the annotated box.",
        choices=("annotated", "box"),
    ),
)

_RUN = (
    Setting("log_every", 50, "Interval between log lines.", "steps", above=0),
    Setting(
        "profile",
        "",
        "Steps to trace with JAX's profiler, START:COUNT, e.g. 100:5; empty: none.",
        fixed=False,
    ),
    Setting(
        "checkpoint_every",
        0,
        "Interval between checkpoints; 0: every epoch.",
        "steps",
        minimum=0,
        fixed=False,
    ),
    Setting(
        "eval_every", 10.0, "Interval between evaluations; 0: only at the end.", "epochs", minimum=0
    ),
    Setting(
        "keep", 2, "Number of newest checkpoints to keep, besides the best.", above=0, fixed=False
    ),
    Setting(
        "compilation_cache",
        True,
        "Keep compiled programs in ~/.cache/jaxpose/xla.",
        fixed=False,
    ),
    Setting(
        "deterministic", False, "Use GPU kernels that are slower but reproduce results bit for bit."
    ),
    Setting(
        "distributed.initialize",
        False,
        "Call jax.distributed.initialize, for training on several hosts.",
        fixed=False,
    ),
    Setting(
        "distributed.hosts",
        0,
        "Expected number of hosts (processes); 0: as many as the cluster reports.",
        "hosts",
        minimum=0,
        fixed=False,
    ),
    Setting(
        "distributed.coordinator",
        "",
        "Address of host 0, HOST:PORT; empty: detected by JAX.",
        fixed=False,
    ),
    Setting("distributed.host_id", -1, "Number of this host; -1: detected by JAX.", fixed=False),
    Setting(
        "distributed.timeout",
        300,
        "Time to wait for the other hosts.",
        "seconds",
        above=0,
        fixed=False,
    ),
    Setting(
        "distributed.heartbeat",
        60,
        "Time without a sign of life after which a host is lost.",
        "seconds",
        above=0,
        fixed=False,
    ),
)

COMMON = (*_NETWORK, *_OPTIMIZATION, *_TARGETS, *_DATA, *_EVALUATION, *_RUN)
