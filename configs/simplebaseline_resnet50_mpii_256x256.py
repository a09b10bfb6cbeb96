"""SimpleBaseline with ResNet-50 on MPII at 256x256.

    python train.py --config=configs/simplebaseline_resnet50_mpii_256x256.py \
        --workdir=runs/resnet50 --config.data.root=/data/mpii

The network of Xiao, Wu & Wei, Simple Baselines for Human Pose Estimation and Tracking (ECCV 2018)
with the backbone and recipe of the public mmpose configuration (mean squared error).

Published score: val PCKh 88.2.
It was trained from ImageNet weights with a batch of 512; this recipe starts from random weights
(or --config.init_from=RUN, see `jaxpose import`) with a batch of 64, as the HWL paper's own.
Score here: none, not trained here.
"""

from configs import common


def get_config():
    config = common.mpii()
    config.model = "simplebaseline_resnet50"
    config.loss.name = "mse"
    return config
