"""ViPNAS-MobileNetV3 on COCO and MPII: DATASET,SIZE.

    python train.py --config=configs/vipnas.py:coco,256x192 --workdir=runs/vipnas \
        --config.data.root=/data/coco

The network and recipe of the public mmpose configuration of Xu et al., ViPNAS: Efficient Video Pose
Estimation via Neural Architecture Search, 2021: random initial weights, Adam 5e-4, 210 epochs (x0.1
at 170 and 200), 500 warm-up steps, mean squared error, sigma 2, scale +-0.25, rotation 30,
half-body augmentation, batch 64 on each of 8 devices.
The random shift of the crop's center on COCO comes from mmpose, not from the paper; to turn it off:
--config.augment.shift_prob=0.0
On fewer devices: --config.accumulate=8, which also gives batch norm its 64 people.
Nothing is published for 384x288 and MPII; the same values are used, with sigma 3 at 384x288.

Published scores, val2017, detector boxes: 256x192 AP 70.0 (AP50 88.7, AP75 78.3, AR 75.8); AP 67.8
is published for the authors' own, smaller network (2.8 M parameters).
The other gate of its attention: --config.model_options.hard_sigmoid=hard_sigmoid
Scores here: none, not trained here.
"""

from configs import common

VARIANTS = common.TOPDOWN


def get_config(variant=VARIANTS[0]):
    dataset, size = common.parts(variant, VARIANTS)
    config = common.topdown(dataset, size)
    config.model = "vipnas_mobilenetv3"
    config.batch_size = 512
    return config
