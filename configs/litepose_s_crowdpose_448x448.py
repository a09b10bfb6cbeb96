"""LitePose-S on CrowdPose at 448x448.

    python train.py --config=configs/litepose_s_crowdpose_448x448.py --workdir=runs/litepose_s \
        --config.data.root=/data/crowdpose

Reproduces the recipe of Wang et al., Lightweight Human Pose Estimation Based on Heatmap Weighted
Loss Function (WLitePose), 2024, for its baseline, LitePose (Wang et al., CVPR 2022): Adam 1e-3,
batch 32 on two devices, 200 epochs (x0.1 at 50 and 180), the mean squared error.
--config=configs/litepose_s_crowdpose_448x448.py:litepose takes the schedule of LitePose's official
configuration instead: 4e-3, batch 16 on each device, 500 epochs (350, 480).
LitePose's official weights come from a super-network that was trained first; this starts from
random ones.

Score in the paper: test, trained on train and val, AP 58.0 (AP50 80.9, AP75 61.6), flip test.
Its ablations of the loss alone, AP in the paper: Table VI Exp-4 --config.loss.name=soft_boundary
59.0; Table VIII with that and --config.loss.tau=1 58.5, 0.1 58.8, 0.01 59.0, 0.001 59.0.
Score here: none, not trained here.
"""

from configs import common


def get_config(schedule="wlitepose"):
    config = common.crowdpose((448, 448), schedule)
    config.model = "litepose_s"
    config.loss.name = "mse"
    return config
