"""SimpleBaseline with MobileNetV2 on COCO at 384x288.

    python train.py --config=configs/simplebaseline_mobilenetv2_coco_384x288.py \
        --workdir=runs/mobilenetv2 --config.data.root=/data/coco

The network of Xiao, Wu & Wei, Simple Baselines for Human Pose Estimation and Tracking (ECCV 2018)
with the backbone and recipe of the public mmpose configuration (mean squared error). The
baselines use a target sigma of 3 at this size.

Published score: val2017 AP 67.3 (AP50 87.9, AP75 74.3, AR 72.9), detector boxes.
It was trained from ImageNet weights with a batch of 512; this recipe starts from random weights
(or --config.init_from=RUN, see `jaxpose import`) with a batch of 64, as the HWL paper's own.
Score here: none, not trained here.
"""

from configs import common


def get_config():
    config = common.coco((384, 288))
    config.model = "simplebaseline_mobilenetv2"
    config.loss.name = "mse"
    config.sigma = 3.0
    return config
