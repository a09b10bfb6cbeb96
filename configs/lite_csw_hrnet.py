"""Lite CSW-HRNet-18 and -30 on COCO and MPII: NETWORK,DATASET,SIZE.

    python train.py --config=configs/lite_csw_hrnet.py:18,coco,256x192 --workdir=runs/lite_csw \
        --config.data.root=/data/coco

The recipe of Xi et al., Lite CSW-HRNet: Lightweight High-Resolution Human Pose Estimation Based on
Channel Spatial Weighting, 2024: random initial weights, Adam 2e-3, 210 epochs, flip, half-body
augmentation, scale 0.75 to 1.25, rotation +-30 (both drawn as in Lite-HRNet's code: normally
distributed, clipped at these factors and at 60 degrees).
The paper does not give learning rate decay, warm-up, batch (64 on each of 8 devices; 384x288, MPII:
32), sigma and the MPII recipe; these are Lite-HRNet's, which it modifies (configs/lite_hrnet.py).
The random shift of the crop's center on COCO comes from mmpose, not from the paper; to turn it off:
--config.augment.shift_prob=0.0
The paper centers crops on the hip; here crops are centered on the box, as the detector boxes of its
tables require. It has neither the 30 nor MPII.
On fewer devices: --config.accumulate=8, which also gives batch norm its 64 (32) people.

Scores in the paper, 18, COCO: 256x192 val AP 64.2 (AP50 86.6, AP75 71.8, AR 70.5), test-dev 63.7;
                               384x288 val AP 67.2 (AP50 87.3, AP75 74.3, AR 73.1), test-dev 66.6.
It has no table of ablations but argues for its parts, each of which one override changes:
--config.model_options.weighting=single|cross|none keeps one of its weightings, or none;
Lite-HRNet's replace the others, or nothing does: --config.model_options.instead=none
--config.model_options.arrangement=serial_single|serial applies the channel and the spatial map one
after the other, in the weighting of one branch (its eqs. 12 and 15) or in both;
--config.model_options.pooling=avg|max; --config.model_options.shared=False, two 1-D convolutions;
--config.model_options.gamma=1.0 --config.model_options.b=2.0, kernel sizes as in its text;
--config.model_options.stage4_blocks=1, one block per module of stage 4, as in its Table 1;
--config.model_options.fusion=sum, HRNet's fusion.
Scores here: none, not trained here.
"""

from configs import common

VARIANTS = tuple(f"{network},{data}" for network in ("18", "30") for data in common.TOPDOWN)


def get_config(variant=VARIANTS[0]):
    network, dataset, size = common.parts(variant, VARIANTS)
    config = common.topdown(dataset, size)
    config.model = f"lite_csw_hrnet_{network}"
    config.optimizer.learning_rate = 2e-3
    config.batch_size = 512 if size == "256x192" else 256
    return config
