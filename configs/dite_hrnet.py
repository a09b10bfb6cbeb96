"""Dite-HRNet-18 and -30 on COCO, MPII and (30 only) CrowdPose: NETWORK,DATASET,SIZE.

    python train.py --config=configs/dite_hrnet.py:18,coco,256x192 --workdir=runs/dite_hrnet \
        --config.data.root=/data/coco

The networks and the public configurations of Li et al., Dite-HRNet: Dynamic Lightweight
High-Resolution Network for Human Pose Estimation, IJCAI 2022: random initial weights, Adam 2e-3,
270 epochs (MPII: 260; x0.1 at 170 and 200), 500 warm-up steps, mean squared error, batch 32 on each
of 8 devices, sigma 2 (384x288: 3), scale +-0.25, rotation 30; COCO with half-body augmentation.
The random shift of the crop's center on COCO comes from mmpose, which the authors' code uses, not
from the paper; to turn it off: --config.augment.shift_prob=0.0
On fewer devices: --config.accumulate=8, which also gives batch norm its 32 people.

Published scores, val: COCO 256x192   384x288   MPII
    18                      AP 65.9      69.0   PCKh 87.0
    30                         68.3      71.5        87.6
In WLitePose's setup (its Tables IV and V): 30 on COCO at 256x256 AP 35.6, on CrowdPose at 256x256
AP 41.6, at 448x448 51.0. Setup: Adam 1e-3, batch 32, COCO 500 epochs (x0.1 at 350 and 480),
CrowdPose 200 (50 and 180), no half-body augmentation. The paper does not say how people are
detected; here, CrowdPose is scored on annotated boxes, COCO on the boxes of the other rows.
HRNet's fusion instead of the released one: --config.model_options.fusion=sum
Scores here: none, not trained here.
"""

from configs import common

VARIANTS = tuple(f"{network},{data}" for network in ("18", "30") for data in common.TOPDOWN)
VARIANTS += tuple(f"30,{data}" for data in common.WLITEPOSE_TOPDOWN)


def get_config(variant=VARIANTS[0]):
    network, dataset, size = common.parts(variant, VARIANTS)
    config = common.topdown(dataset, size)
    config.model = f"dite_hrnet_{network}"
    config.optimizer.learning_rate = 2e-3
    config.batch_size = 256
    config.epochs = 270.0 if dataset == "coco" else 260.0
    if f"{dataset},{size}" in common.WLITEPOSE_TOPDOWN:
        common.wlitepose_topdown(config)
    return config
