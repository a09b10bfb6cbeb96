"""HWL on generated people, for two CPU cores: what `make demo` trains.

    python train.py --config=configs/demo.py --workdir=runs/demo --config.data.root=DATA

Reproduces no paper: the people are drawn by a program (`input_pipeline/generated/`), at 128x96.
The data are written to DATA first when they are not there yet. The people stand mostly upright and
whole, and few minutes are fewer than a network can overfit in, so there is little augmentation;
small batches give the time more steps, and the deconvolutions start from Kaiming's scale rather
than the paper's 0.001, which costs the first hundreds of steps. Another top-down network:
demo.py:MODEL.
"""

from configs import common


def get_config(model="hwl_mobilenetv3"):
    config = common.get_config()
    config.model = model
    config.input_size = (128, 96)
    common.kaiming(config)
    config.sigma = 1.5
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
    config.eval.decode = "dark"  # a 32x24 map is coarse; the paper has the quarter offset
    config.eval_every = 0.0
    config.log_every = 20
    return config
