"""SimpleBaseline with four backbones on COCO and MPII: BACKBONE,DATASET,SIZE.

    python train.py --config=configs/simplebaseline.py:resnet50,coco,256x192 \
        --workdir=runs/resnet50 --config.data.root=/data/coco

BACKBONE is resnet50, mobilenetv2, shufflenetv2 or (on COCO at 256x192 only) mobilenetv3.
The networks of Xiao, Wu & Wei, Simple Baselines for Human Pose Estimation and Tracking (ECCV 2018)
with the backbones and recipes of the public mmpose configurations: mean squared error, sigma 2
(384x288: 3). They were trained from ImageNet weights with a batch of 512 (neither is known for
mobilenetv3). This recipe starts from random weights, or from ImageNet weights with
--config.init_from=FILE (docs/finetune.md), with a batch of 64, like the HWL paper's own network.

The random shift of the crop's center on COCO comes from mmpose, not from the papers; to turn it
off: --config.augment.shift_prob=0.0

Published scores, val; AP (AP50, AP75, AR) with detector boxes:
                    COCO 256x192                 384x288                  MPII 256x256
    resnet50        AP 71.8 (89.8, 79.6, 77.4)   73.1 (90.0, 79.9, 78.2)  PCKh 88.2
    mobilenetv2        64.6 (87.4, 72.3, 70.7)   67.3 (87.9, 74.3, 72.9)       85.4
    shufflenetv2       59.9 (85.4, 66.3, 66.4)   63.6 (86.5, 70.5, 69.7)       82.8
    mobilenetv3        65.9 (87.8, 74.1, -), in the table of the HWL paper
Scores here: none, not trained here.
"""

from configs import common

BACKBONES = ("resnet50", "mobilenetv2", "shufflenetv2")
VARIANTS = tuple(f"{backbone},{data}" for backbone in BACKBONES for data in common.TOPDOWN)
VARIANTS += ("mobilenetv3,coco,256x192",)


def get_config(variant=VARIANTS[0]):
    backbone, dataset, size = common.parts(variant, VARIANTS)
    config = common.crops(dataset, size)
    config.model = f"simplebaseline_{backbone}"
    config.loss.name = "mse"
    if size == "384x288":
        config.sigma = 3.0
    return config
