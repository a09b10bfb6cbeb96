"""HWL on generated people, for two CPU cores; `make demo` trains it.

    python train.py --config=configs/demo.py --workdir=runs/demo --config.data.root=DATA

The recipe reproduces no paper: a program draws the people (`input_pipeline/generated/`), at 128x96,
and writes them to DATA if they are not there yet. Augmentation is weak, because the people are
mostly upright and whole, and because the training is too short to overfit. Small batches give more
steps in the same time. The deconvolutions start at Kaiming's scale; the paper's 0.001 would cost
the first hundreds of steps. Another top-down network: demo.py:MODEL. With unbiased data processing
(UDP), which has its own decoding: demo.py:MODEL,udp
"""

from configs import common


def get_config(variant="hwl_mobilenetv3"):
    config = common.small_crops(variant)
    config.batch_size = 16
    config.epochs = 4.5
    config.optimizer.learning_rate = 2e-3
    config.schedule.name = "cosine"
    config.schedule.warmup_steps = 100
    config.augment.half_body_prob = 0.0
    config.augment.scale = 0.1
    config.augment.rotation_prob = 0.0
    config.augment.shift_prob = 0.0
    config.data.format = "generated"
    config.data.cache = True
    config.eval_every = 0.0
    config.log_every = 20
    return config
