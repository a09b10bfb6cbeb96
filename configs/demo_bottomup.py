"""WLitePose-XS on generated crowds, for two CPU cores: the bottom-up sibling of demo.py.

    python train.py --config=configs/demo_bottomup.py --workdir=runs/demo_bottomup \
        --config.data.root=DATA

Reproduces no paper: the crowds are drawn by a program (`input_pipeline/generated/`), 1 to 3
people a picture who partly hide each other (`--config.data.generated.overlap=0..1`), seen with
their short side at 128 pixels. The data are written to DATA first when they are not there yet.
Small batches give the time more steps, narrow Gaussians tell the joints of small people apart;
there is little augmentation, since few minutes are fewer than a network can overfit in.
`--config.loss.name=mse` trains with the other loss.
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
