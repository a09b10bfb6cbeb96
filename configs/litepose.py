"""LitePose-M and -L on COCO and CrowdPose: NETWORK,DATASET (for S and XS see litepose_*.py).

    python train.py --config=configs/litepose.py:m,coco --workdir=runs/litepose_m \
        --config.data.root=/data/coco

The networks and the official configuration of Wang et al., Lite Pose: Efficient Architecture Design
for 2D Human Pose Estimation, CVPR 2022: Adam 4e-3, batch 16 on each device (16 here: give
--config.batch_size), 500 epochs (x0.1 at 350 and 480), mean squared error. M at 448x448, L at
512x512. Its official weights come from a super-network that was trained first; this starts from
random ones.

Published scores, flip test:  COCO val2017   CrowdPose test (trained on train and val)
    m                              AP 59.8             59.9
    l                                 62.5             61.9
Scores here: none, not trained here.
"""

from configs import common

SIDES = {"m": 448, "l": 512}
DATASETS = {"coco": common.coco_bottomup, "crowdpose": common.crowdpose}
VARIANTS = tuple(f"{network},{dataset}" for network in SIDES for dataset in DATASETS)


def get_config(variant=VARIANTS[0]):
    network, dataset = common.parts(variant, VARIANTS)
    config = DATASETS[dataset]((SIDES[network], SIDES[network]), "litepose")
    config.model = f"litepose_{network}"
    config.loss.name = "mse"
    return config
