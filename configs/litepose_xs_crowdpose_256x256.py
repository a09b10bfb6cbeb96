"""LitePose-XS on CrowdPose at 256x256.

    python train.py --config=configs/litepose_xs_crowdpose_256x256.py --workdir=runs/litepose_xs \
        --config.data.root=/data/crowdpose

Reproduces the recipe of Wang et al., Lightweight Human Pose Estimation Based on Heatmap Weighted
Loss Function (WLitePose), 2024, for its baseline, LitePose (Wang et al., CVPR 2022): Adam 1e-3,
batch 32 on two devices, 200 epochs (x0.1 at 50 and 180), the mean squared error.
--config=configs/litepose_xs_crowdpose_256x256.py:litepose takes the schedule of LitePose's official
configuration instead: 4e-3, batch 16 on each device, 500 epochs (350, 480).
LitePose's official weights come from a super-network that was trained first; this starts from
random ones.

Score in the paper: test, trained on train and val, AP 49.4 (AP50 74.1, AP75 51.3), flip test.
Score here: none, not trained here.
"""

from configs import common


def get_config(schedule="wlitepose"):
    config = common.crowdpose((256, 256), schedule)
    config.model = "litepose_xs"
    config.loss.name = "mse"
    return config
