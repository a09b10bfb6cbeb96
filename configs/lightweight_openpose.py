"""Lightweight OpenPose on COCO at 368x368.

    python train.py --config=configs/lightweight_openpose.py --workdir=runs/openpose \
        --config.data.root=/data/coco

Reproduces Osokin, Real-time 2D Multi-Person Pose Estimation on CPU: Lightweight OpenPose, 2018.
All numbers are taken from its public code, none from the paper: Adam 4e-5, batch 80, 280 epochs
(x0.333 at 100, 200 and 260), rotation up to 40 degrees, shifts of 40 pixels, mirror images,
Gaussians of 7 pixels. That code also starts from MobileNet's weights of
ImageNet (here: random ones, or --config.init_from=RUN), trains in three phases, of which the last
has three refinement stages (--config.model_options.refinement_stages=3), has other learning rates
for biases (x2) and refinement (x4), decays weights by 5e-4, and takes crops around a person of 0.3
to 0.66 of their height (here: around the picture's centre, shares of its short side).
There pictures are tested at a height of 368; here with a short side of 384, the next multiple of 64
(--config.eval.sizing=fixed fits them into 368x368).
The public weights, through `jaxpose import`, take other pixel values: where eval.py is given this
recipe for such a run, add --config.model_options.public_input=True

Score in the paper: a part of val2017, AP 42.8; the public weights: val2017, AP 40.
Score here: none, not trained here.
"""

from configs import common


def get_config():
    config = common.part_affinity()
    config.input_size = (368, 368)
    config.optimizer.learning_rate = 4e-5
    config.batch_size = 80
    config.epochs = 280.0
    config.schedule.milestones = (100.0, 200.0, 260.0)
    config.schedule.gamma = 0.333
    config.augment.rotation = 40.0
    config.augment.translate = 200 * 40 / 368  # 40 pixels of the input
    return config
