"""SimpleBaseline with MobileNetV3 on COCO at 256x192.

    python train.py --config=configs/simplebaseline_mobilenetv3_coco_256x192.py \
        --workdir=runs/mobilenetv3 --config.data.root=/data/coco

The network of Xiao, Wu & Wei, Simple Baselines for Human Pose Estimation and Tracking (ECCV 2018)
with the backbone and recipe of the public mmpose configuration (mean squared error).

Published score: val2017 AP 65.9 (AP50 87.8, AP75 74.1), detector boxes, in the
table of the HWL paper.
Its initial weights and batch are not given; this recipe starts from random weights (or
--config.init_from=RUN, see `jaxpose import`) with a batch of 64.
Score here: none, not trained here.
"""

from configs import common


def get_config():
    config = common.coco((256, 192))
    config.model = "simplebaseline_mobilenetv3"
    config.loss.name = "mse"
    return config
