"""WLitePose-XS and -S on COCO and CrowdPose: NETWORK,DATASET or NETWORK,DATASET,SCHEDULE.

    python train.py --config=configs/wlitepose.py:xs,coco --workdir=runs/wlitepose_xs \
        --config.data.root=/data/coco

Reproduces the recipe of Wang et al., Lightweight Human Pose Estimation Based on Heatmap Weighted
Loss Function (WLitePose), 2024: xs at 256x256 and s at 448x448, Adam 1e-3, batch 32 on two devices,
COCO 500 epochs (x0.1 at 350 and 480), CrowdPose 200 (50 and 180), the soft-boundary loss with
tau = 0.01. The paper does not say whether anything was pretrained; this starts from random weights.
SCHEDULE is wlitepose, that one, unless litepose is given: that of LitePose's official
configuration, 4e-3, batch 16 on each device (16 here: give --config.batch_size) and 500 epochs (350
and 480) on both.

Scores in the paper, flip test:  COCO val2017                 CrowdPose test (trained on train, val)
    xs                           AP 41.1 (AP50 62.1, AP75 44.3)   50.6 (74.8, 52.8)
    s                               57.7 (78.2, 63.0)             59.6 (82.3, 63.5)
Beside them in Tables I to III: litepose.py, higher_hrnet.py, efficient_hrnet.py; HigherHRNet-W16
and -W24 of Table III have no name here. In Tables IV and V: Lite-HRNet-30 and Dite-HRNet-30 as
top-down networks in this setup, AP 37.1 and 35.6 on COCO at 256x256, far below their own papers;
lite_hrnet.py and dite_hrnet.py train them top-down by those papers' recipes, on COCO and MPII.
docs/zoo.md has every row of the networks that are here, and why not of the others.
Its ablations (Tables VI to X) are settings of s,crowdpose: docs/wlitepose.md has every row.
The fits to the printed sizes: model_options.preset=A, B or C; no gradient through the weight of the
loss, on which the paper is silent: loss.detach_weight=True.
Scores here: none, not trained here.
"""

from configs import common

SIDES = {"xs": 256, "s": 448}
VARIANTS = tuple(f"{network},{dataset}" for network in SIDES for dataset in common.CROWDS)


def get_config(variant=VARIANTS[0]):
    network, dataset, schedule = common.parts(variant, VARIANTS, common.SCHEDULES)
    config = common.litepose(dataset, SIDES[network], schedule or "wlitepose")
    config.model = f"wlitepose_{network}"
    return config
