"""WLitePose-XS and -S on COCO and CrowdPose: NETWORK,DATASET or NETWORK,DATASET,SCHEDULE.

    python train.py --config=configs/wlitepose.py:xs,coco --workdir=runs/wlitepose_xs \
        --config.data.root=/data/coco

The recipe of Wang et al., Lightweight Human Pose Estimation Based on Heatmap Weighted Loss Function
(WLitePose), 2024: xs at 256x256 and s at 448x448, Adam 1e-3, batch 32 on two devices, COCO 500
epochs (x0.1 at 350 and 480), CrowdPose 200 (50 and 180), the soft-boundary loss with tau = 0.01.
The paper does not say whether anything was pretrained; this recipe starts from random weights.
SCHEDULE is wlitepose (default, as above) or litepose, LitePose's official configuration: 4e-3,
batch 16 on each device (here 16; change it with --config.batch_size) and 500 epochs (350 and 480)
on both datasets.

Scores in the paper, flip test:  COCO val2017                 CrowdPose test (trained on train, val)
    xs                           AP 41.1 (AP50 62.1, AP75 44.3)   50.6 (74.8, 52.8)
    s                               57.7 (78.2, 63.0)             59.6 (82.3, 63.5)
The other networks of Tables I to III are in litepose.py, higher_hrnet.py, efficient_hrnet.py and
lightweight_openpose.py, except PersonLab, DEKR, SWAHR and HigherHRNet-W16 and -W24. The top-down
networks of Tables IV and V are variants of lite_hrnet.py and dite_hrnet.py, such as
30,crowdpose,448x448. docs/zoo.md has the rows of all available networks and explains what is
missing.
Its ablations (Tables VI to X) are settings of s,crowdpose; docs/wlitepose.md lists them.
The backbone ends at 1/16, as in LitePose. For 1/32, as in the paper's section III, and 32 channels
in the light module, set model_options.topology=text, light_width=32 and light_groups=4.
Networks fitted to the printed sizes: model_options.preset=A, B or C. No gradient through the weight
of the loss, which the paper does not specify: loss.detach_weight=True.
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
