"""WLitePose-S on COCO at 448x448.

    python train.py --config=configs/wlitepose_s_coco_448x448.py --workdir=runs/wlitepose_s \
        --config.data.root=/data/coco

Reproduces the recipe of Wang et al., Lightweight Human Pose Estimation Based on Heatmap Weighted
Loss Function (WLitePose), 2024: Adam 1e-3, batch 32 on two devices, 500 epochs (x0.1 at 350 and
480), the soft-boundary loss with tau = 0.01. --config=configs/wlitepose_s_coco_448x448.py:litepose
takes the schedule of LitePose's official configuration instead: 4e-3 and batch 16 on each device.
The paper does not say whether anything was pretrained; this starts from random weights.

Score in the paper: val2017, AP 57.7 (AP50 78.2, AP75 63.0), flip test.
Score here: none, not trained here.
"""

from configs import common


def get_config(schedule="wlitepose"):
    config = common.coco_bottomup((448, 448), schedule)
    config.model = "wlitepose_s"
    return config
