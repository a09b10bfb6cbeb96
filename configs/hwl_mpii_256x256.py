"""HWL-MobileNetV3 on MPII at 256x256.

    python train.py --config=configs/hwl_mpii_256x256.py --workdir=runs/hwl \
        --config.data.root=/data/mpii

Reproduces the recipe of Li & Xiang, Lightweight Human Pose Estimation Using Heatmap-Weighting
Loss, ICPR 2022: from random weights, Adam 5e-4, batch 64 on one device, 210 epochs (x0.1 at 170 and
200), heatmap-weighting loss with F(x) = x.

Score in the paper: val PCKh 85.9 (head 95.6, shoulder 93.9, elbow 85.1, wrist 79.5, hip
86.3, knee 80.4, ankle 75.5).
Score here: none, not trained here.
"""

from configs import common


def get_config():
    config = common.mpii()
    config.model = "hwl_mobilenetv3"
    return config
