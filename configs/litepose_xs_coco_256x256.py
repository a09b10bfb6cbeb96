"""LitePose-XS on COCO at 256x256.

    python train.py --config=configs/litepose_xs_coco_256x256.py --workdir=runs/litepose_xs \
        --config.data.root=/data/coco

Reproduces the recipe of Wang et al., Lightweight Human Pose Estimation Based on Heatmap Weighted
Loss Function (WLitePose), 2024, for its baseline, LitePose (Wang et al., CVPR 2022): Adam 1e-3,
batch 32 on two devices, 500 epochs (x0.1 at 350 and 480), the mean squared error.
--config=configs/litepose_xs_coco_256x256.py:litepose takes the schedule of LitePose's official
configuration instead: 4e-3 and batch 16 on each device.
LitePose's official weights come from a super-network that was trained first; this starts from
random ones.

Score in the paper: val2017, AP 40.1 (AP50 61.3, AP75 42.8), flip test.
Score here: none, not trained here.
"""

from configs import common


def get_config(schedule="wlitepose"):
    config = common.coco_bottomup((256, 256), schedule)
    config.model = "litepose_xs"
    config.loss.name = "mse"
    return config
