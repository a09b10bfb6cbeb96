"""HWL-MobileNetV3 on COCO at 256x192.

    python train.py --config=configs/hwl_coco_256x192.py --workdir=runs/hwl \
        --config.data.root=/data/coco

Reproduces the recipe of Li & Xiang, Lightweight Human Pose Estimation Using Heatmap-Weighting
Loss, ICPR 2022: from random weights, Adam 5e-4, batch 64 on one device, 210 epochs (x0.1 at 170 and
200), heatmap-weighting loss with F(x) = x.

Score in the paper: val2017 AP 65.8 (AP50 87.7, AP75 74.1, AR 72.1), detector boxes.
Its ablations: --config.loss.fn=none|x|2x|x2|exp gives 65.56 / 65.83 / 65.59 / 65.65 / 65.70 AP;
--config.model_options.attention=none|se|cbam|own gives 65.29 / 65.71 / 65.77 / 65.83 AP.
Score here: none, not trained here.
"""

from configs import common


def get_config():
    config = common.coco((256, 192))
    config.model = "hwl_mobilenetv3"
    return config
