"""HWL-MobileNetV3 on COCO and MPII: DATASET,SIZE.

    python train.py --config=configs/hwl.py:coco,256x192 --workdir=runs/hwl \
        --config.data.root=/data/coco

The recipe of Li & Xiang, Lightweight Human Pose Estimation Using Heatmap-Weighting Loss, ICPR 2022:
random initial weights, Adam 5e-4, batch 64 on one device, 210 epochs (x0.1 at 170 and 200), heatmap
weighting loss with F(x) = x. The sigma of the targets is 2, also at 384x288, as in the released
configuration. The random shift of the crop's center on COCO comes from mmpose, which the released
code uses, not from the paper; to turn it off: --config.augment.shift_prob=0.0

Scores in the paper, val: COCO (detector boxes) 256x192 AP 65.8 (AP50 87.7, AP75 74.1, AR 72.1),
384x288 AP 69.9 (AP50 88.8, AP75 77.5, AR 75.5);
MPII PCKh 85.9 (head 95.6, shoulder 93.9, elbow 85.1, wrist 79.5, hip 86.3, knee 80.4, ankle 75.5).
Its ablations, on COCO at 256x192:
--config.loss.fn=none|x|2x|x2|exp gives 65.56 / 65.83 / 65.59 / 65.65 / 65.70 AP;
--config.model_options.attention=none|se|cbam|own gives 65.29 / 65.71 / 65.77 / 65.83 AP.
The released code has a ReLU inside both branches of the attention; without it, as in eqs. (5) and
(6): --config.model_options.inner_relu=False
With the standard MobileNetV3-large, which is not the paper's backbone but can start from ImageNet
weights (FILE of torchvision or timm): --config.model_options.backbone=mobilenetv3_large_std
--config.init_from=FILE
Scores here: none, not trained here.
"""

from configs import common

VARIANTS = common.TOPDOWN


def get_config(variant=VARIANTS[0]):
    dataset, size = common.parts(variant, VARIANTS)
    config = common.crops(dataset, size)
    config.model = "hwl_mobilenetv3"
    return config
