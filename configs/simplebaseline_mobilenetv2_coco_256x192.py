"""SimpleBaseline with MobileNetV2 on COCO at 256x192.

    python train.py --config=configs/simplebaseline_mobilenetv2_coco_256x192.py \
        --workdir=runs/mobilenetv2 --config.data.root=/data/coco

The network of Xiao, Wu & Wei, Simple Baselines for Human Pose Estimation and Tracking (ECCV 2018)
with the backbone and recipe of the public mmpose configuration (mean squared error).

Published score: val2017 AP 64.6 (AP50 87.4, AP75 72.3, AR 70.7), detector boxes.
It was trained from ImageNet weights with a batch of 512; this recipe starts from random weights
(or --config.init_from=RUN, see `jaxpose import`) with a batch of 64, as the HWL paper's own.
Score here: none, not trained here.
"""

from configs import common


def get_config():
    config = common.coco((256, 192))
    config.model = "simplebaseline_mobilenetv2"
    config.loss.name = "mse"
    return config
