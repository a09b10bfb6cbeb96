"""WLitePose-XS on generated crowds, for two CPU cores: the bottom-up counterpart of demo.py.

    python train.py --config=configs/demo_bottomup.py --workdir=runs/demo_bottomup \
        --config.data.root=DATA

The recipe reproduces no paper: a program draws the crowds (`input_pipeline/generated/`), 1 to 3
people per image who partly hide each other (`--config.data.generated.overlap=0..1`), and writes
them to DATA if they are not there yet. The short side of an image is 128 pixels. Small batches give
more steps in the same time; narrow Gaussians separate the keypoints of small people. Augmentation
is weak, because the training is too short to overfit. `--config.loss.name=mse` trains with the
other loss.
"""

from configs import common


def get_config():
    config = common.bottomup()
    config.input_size = (128, 128)
    config.sigma = 1.5
    config.batch_size = 8
    config.epochs = 6.0
    config.optimizer.learning_rate = 4e-3
    config.optimizer.b2 = 0.95
    config.loss.push = 3e-2
    config.loss.pull = 3e-2
    config.schedule.name = "cosine"
    config.schedule.warmup_steps = 100
    config.augment.scale_min = 0.9
    config.augment.scale_max = 1.3
    config.augment.rotation = 0.0
    config.data.format = "generated"
    config.data.generated.people = (1, 3)
    config.data.cache = True
    config.eval_every = 1.5
    config.log_every = 20
    return config
