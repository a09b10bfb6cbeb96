"""EL-HRNet-W32 on COCO and MPII: DATASET,SIZE.

    python train.py --config=configs/el_hrnet.py:coco,256x192 --workdir=runs/el_hrnet \
        --config.data.root=/data/coco

The recipe of Li et al., Human Pose Estimation Based on Efficient and Lightweight High-Resolution
Network (EL-HRNet), Sensors 2024.
COCO: learning rate 1e-3, 300 epochs (x0.1 at 120, 170, 200 and 260), batch 16 on one device,
rotation +-45, scale 0.65 to 1.35, flip. MPII: 1e-3, 210 epochs (170, 200), batch 8. Rotation and
scale are drawn as in HRNet's code: normally distributed, clipped at twice that angle and at these
factors.
The loss is the mean squared error of eq. (2), and sigma is 2. HRNet's code, which the paper builds
on, multiplies this error by 0.5; apart from its epsilon, Adam does not depend on such a factor.
Keypoints without labels do not count, as in HRNet's code; the paper does not mention them.
The paper does not give the optimizer and the augmentation for MPII, or warm-up. These follow
HRNet's code: Adam, +-30, 0.75 to 1.25, no warm-up. Initial weights are random. The paper does not
mention half-body augmentation, which HRNet's code has: --config.augment.half_body_prob=0.3
The paper has no 384x288; that variant is the COCO recipe with sigma 3.

Scores in the paper, val: COCO 256x192 AP 67.1 (AP50 86.4, AP75 74.2, AR 74.9), test-dev AP 67.7;
MPII PCKh 87.7 (head 96.7, shoulder 94.8, elbow 87.6, wrist 82.2, hip 88.2, knee 82.4, ankle 77.9).
The paper has no table of ablations. --config.model_options.cbam=False gives the L-Basicblock;
--config.model_options.reduction=8|4 enlarges the attention (8 gives 5.0 M parameters);
--config.model_options.groups=16|8|4|2|1 reduces the groups of the 3x3 layers.
Scores here: none, not trained here.
"""

from configs import common

VARIANTS = common.TOPDOWN


def get_config(variant=VARIANTS[0]):
    dataset, size = common.parts(variant, VARIANTS)
    config = common.topdown(dataset, size)
    config.model = "el_hrnet_w32"
    config.optimizer.learning_rate = 1e-3
    config.schedule.warmup_steps = 0
    config.batch_size = 8
    config.augment.half_body_prob = 0.0
    config.augment.shift_prob = 0.0
    if dataset == "coco":
        config.batch_size = 16
        config.epochs = 300.0
        config.schedule.milestones = (120.0, 170.0, 200.0, 260.0)
        config.augment.scale = 0.35
        config.augment.rotation = 45.0
    return config
