"""LitePose-XS, -S, -M and -L on COCO and CrowdPose: NETWORK,DATASET or NETWORK,DATASET,SCHEDULE.

    python train.py --config=configs/litepose.py:xs,coco --workdir=runs/litepose_xs \
        --config.data.root=/data/coco

The networks of Wang et al., Lite Pose: Efficient Architecture Design for 2D Human Pose Estimation,
CVPR 2022, with the mean squared error; xs at 256x256, s and m at 448x448, l at 512x512. The
official weights come from a super-network that was trained first; this recipe starts from random
weights. SCHEDULE, with the networks for which it is the default:
    litepose   (m, l) LitePose's official configuration: Adam 4e-3, batch 16 on each device (here
               16; change it with --config.batch_size), 500 epochs (x0.1 at 350 and 480)
    wlitepose  (xs, s) Wang et al., Lightweight Human Pose Estimation Based on Heatmap Weighted
               Loss Function (WLitePose), 2024, which uses them as its baseline: Adam 1e-3, batch
               32 on two devices, 500 epochs (350 and 480), on CrowdPose 200 (50 and 180)

Published scores, flip test:   COCO val2017                 CrowdPose test (trained on train, val)
    xs, WLitePose paper        AP 40.1 (AP50 61.3, AP75 42.8)   49.4 (74.1, 51.3)
    xs, LitePose repository       40.6                          49.5
    s, WLitePose paper            56.4 (77.2, 61.2)             58.0 (80.9, 61.6)
    s, LitePose repository        56.8                          58.3
    m, LitePose repository        59.8                          59.9
    l, LitePose repository        62.5                          61.9
With WLitePose's loss (its Tables VI and VIII): see docs/wlitepose.md.
Scores here: none, not trained here.
"""

from configs import common

NETWORKS = {
    "xs": (256, "wlitepose"),
    "s": (448, "wlitepose"),
    "m": (448, "litepose"),
    "l": (512, "litepose"),
}
VARIANTS = tuple(f"{network},{dataset}" for network in NETWORKS for dataset in common.CROWDS)


def get_config(variant=VARIANTS[0]):
    network, dataset, schedule = common.parts(variant, VARIANTS, common.SCHEDULES)
    side, usual = NETWORKS[network]
    config = common.litepose(dataset, side, schedule or usual)
    config.model = f"litepose_{network}"
    config.loss.name = "mse"
    return config
