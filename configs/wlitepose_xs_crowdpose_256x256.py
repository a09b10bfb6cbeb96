"""WLitePose-XS on CrowdPose at 256x256.

    python train.py --config=configs/wlitepose_xs_crowdpose_256x256.py --workdir=runs/wlitepose_xs \
        --config.data.root=/data/crowdpose

Reproduces the recipe of Wang et al., Lightweight Human Pose Estimation Based on Heatmap Weighted
Loss Function (WLitePose), 2024: Adam 1e-3, batch 32 on two devices, 200 epochs (x0.1 at 50 and
180), the soft-boundary loss with tau = 0.01.
--config=configs/wlitepose_xs_crowdpose_256x256.py:litepose takes the schedule of LitePose's
official configuration instead: 4e-3, batch 16 on each device, 500 epochs (350, 480).
The paper does not say whether anything was pretrained; this starts from random weights.

Score in the paper: test, trained on train and val, AP 50.6 (AP50 74.8, AP75 52.8), flip test.
Score here: none, not trained here.
"""

from configs import common


def get_config(schedule="wlitepose"):
    config = common.crowdpose((256, 256), schedule)
    config.model = "wlitepose_xs"
    return config
