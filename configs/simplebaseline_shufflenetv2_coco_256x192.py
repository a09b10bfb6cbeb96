"""SimpleBaseline with ShuffleNetV2 on COCO at 256x192.

    python train.py --config=configs/simplebaseline_shufflenetv2_coco_256x192.py \
        --workdir=runs/shufflenetv2 --config.data.root=/data/coco

The network of Xiao, Wu & Wei, Simple Baselines for Human Pose Estimation and Tracking (ECCV 2018)
with the backbone and recipe of the public mmpose configuration (mean squared error).

Published score: val2017 AP 59.9 (AP50 85.4, AP75 66.3, AR 66.4), detector boxes.
It was trained from ImageNet weights with a batch of 512; this recipe starts from random weights
(or --config.init_from=RUN, see `jaxpose import`) with a batch of 64, as the HWL paper's own.
Score here: none, not trained here.
"""

from configs import common


def get_config():
    config = common.coco((256, 192))
    config.model = "simplebaseline_shufflenetv2"
    config.loss.name = "mse"
    return config
