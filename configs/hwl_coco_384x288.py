"""HWL-MobileNetV3 on COCO at 384x288.

    python train.py --config=configs/hwl_coco_384x288.py --workdir=runs/hwl \
        --config.data.root=/data/coco

Reproduces the recipe of Li & Xiang, Lightweight Human Pose Estimation Using Heatmap-Weighting
Loss, ICPR 2022: from random weights, Adam 5e-4, batch 64 on one device, 210 epochs (x0.1 at 170 and
200), heatmap-weighting loss with F(x) = x.

Score in the paper: val2017 AP 69.9 (AP50 88.8, AP75 77.5, AR 75.5), detector boxes.
The target's sigma stays 2 at this size, as in the released configuration.
Score here: none, not trained here.
"""

from configs import common


def get_config():
    config = common.coco((384, 288))
    config.model = "hwl_mobilenetv3"
    return config
