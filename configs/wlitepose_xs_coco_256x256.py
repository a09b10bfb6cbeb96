"""WLitePose-XS on COCO at 256x256.

    python train.py --config=configs/wlitepose_xs_coco_256x256.py --workdir=runs/wlitepose_xs \
        --config.data.root=/data/coco

Reproduces the recipe of Wang et al., Lightweight Human Pose Estimation Based on Heatmap Weighted
Loss Function (WLitePose), 2024: Adam 1e-3, batch 32 on two devices, 500 epochs (x0.1 at 350 and
480), the soft-boundary loss with tau = 0.01. --config=configs/wlitepose_xs_coco_256x256.py:litepose
takes the schedule of LitePose's official configuration instead: 4e-3 and batch 16 on each device.
The paper does not say whether anything was pretrained; this starts from random weights.

Score in the paper: val2017, AP 41.1 (AP50 62.1, AP75 44.3), flip test.
Score here: none, not trained here.
"""

from configs import common


def get_config(schedule="wlitepose"):
    config = common.coco_bottomup((256, 256), schedule)
    config.model = "wlitepose_xs"
    return config
