"""SimpleBaseline with ResNet-50 on COCO at 384x288.

    python train.py --config=configs/simplebaseline_resnet50_coco_384x288.py \
        --workdir=runs/resnet50 --config.data.root=/data/coco

The network of Xiao, Wu & Wei, Simple Baselines for Human Pose Estimation and Tracking (ECCV 2018)
with the backbone and recipe of the public mmpose configuration (mean squared error). The
baselines use a target sigma of 3 at this size.

Published score: val2017 AP 73.1 (AP50 90.0, AP75 79.9, AR 78.2), detector boxes.
It was trained from ImageNet weights with a batch of 512; this recipe starts from random weights
(or --config.init_from=RUN, see `jaxpose import`) with a batch of 64, as the HWL paper's own.
Score here: none, not trained here.
"""

from configs import common


def get_config():
    config = common.coco((384, 288))
    config.model = "simplebaseline_resnet50"
    config.loss.name = "mse"
    config.sigma = 3.0
    return config
