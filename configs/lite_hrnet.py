"""Lite-HRNet and the networks its paper compares with: NETWORK,DATASET,SIZE.

    python train.py --config=configs/lite_hrnet.py:18,coco,256x192 --workdir=runs/lite_hrnet \
        --config.data.root=/data/coco

NETWORK is 18, 30, naive_18, wider_naive_18 or small_w16 (Small HRNet).
The networks and the public configurations of Yu et al., Lite-HRNet: A Lightweight High-Resolution
Network, CVPR 2021: random initial weights, Adam 2e-3, 210 epochs (x0.1 at 170 and 200), 500 warm-up
steps, mean squared error, batch 64 on each of 8 devices (384x288, MPII: 32), sigma 2 (384x288: 3),
scale +-0.25, rotation 30; COCO with half-body augmentation. The random shift of the crop's center
on COCO comes from mmpose, which the authors' code uses, not from the paper; to turn it off:
--config.augment.shift_prob=0.0
On fewer devices: --config.accumulate=8, which also gives batch norm its 64 (32) people.
No recipe is published for Small HRNet, nor for the naive networks at 384x288; the same values are
used.

Published scores, val:     COCO 256x192   384x288   MPII
    18                          AP 64.8      67.6   PCKh 85.4 (85.9 in HWL's and EL-HRNet's tables)
    30                             67.2      70.4        87.0
    naive_18                       62.8         -        85.3
    wider_naive_18                 66.0         -        86.8
    small_w16                      55.2      56.0           -
In WLitePose's setup (its Tables IV and V): 30 on COCO at 256x256 AP 37.1, on CrowdPose at 256x256
AP 41.8, at 448x448 51.3. Setup: Adam 1e-3, batch 32, COCO 500 epochs (x0.1 at 350 and 480),
CrowdPose 200 (50 and 180), no half-body augmentation. The paper does not say how people are
detected; here, CrowdPose is scored on annotated boxes, COCO on the boxes of the other rows.
HRNet's fusion instead of the released one, which counts the first branch twice:
--config.model_options.fusion=sum (small_w16 always has HRNet's fusion).
Scores here: none, not trained here.
"""

from configs import common

NETWORKS = {
    "18": "lite_hrnet_18",
    "30": "lite_hrnet_30",
    "naive_18": "naive_lite_hrnet_18",
    "wider_naive_18": "wider_naive_lite_hrnet_18",
    "small_w16": "small_hrnet_w16",
}
VARIANTS = tuple(f"{network},{data}" for network in NETWORKS for data in common.TOPDOWN)
VARIANTS += tuple(f"30,{data}" for data in common.WLITEPOSE_TOPDOWN)


def get_config(variant=VARIANTS[0]):
    network, dataset, size = common.parts(variant, VARIANTS)
    config = common.topdown(dataset, size)
    config.model = NETWORKS[network]
    config.optimizer.learning_rate = 2e-3
    config.batch_size = 512 if size == "256x192" else 256
    if f"{dataset},{size}" in common.WLITEPOSE_TOPDOWN:
        common.wlitepose_topdown(config)
    return config
