"""LitePose-S on COCO at 448x448.

    python train.py --config=configs/litepose_s_coco_448x448.py --workdir=runs/litepose_s \
        --config.data.root=/data/coco

Reproduces the recipe of Wang et al., Lightweight Human Pose Estimation Based on Heatmap Weighted
Loss Function (WLitePose), 2024, for its baseline, LitePose (Wang et al., CVPR 2022): Adam 1e-3,
batch 32 on two devices, 500 epochs (x0.1 at 350 and 480), the mean squared error.
--config=configs/litepose_s_coco_448x448.py:litepose takes the schedule of LitePose's official
configuration instead: 4e-3 and batch 16 on each device.
LitePose's official weights come from a super-network that was trained first; this starts from
random ones.

Score in the paper: val2017, AP 56.4 (AP50 77.2, AP75 61.2), flip test.
Score here: none, not trained here.
"""

from configs import common


def get_config(schedule="wlitepose"):
    config = common.coco_bottomup((448, 448), schedule)
    config.model = "litepose_s"
    config.loss.name = "mse"
    return config
