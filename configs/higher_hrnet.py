"""HigherHRNet-W32 and -W48 on COCO and CrowdPose: NETWORK,SIZE or NETWORK,SIZE,DATASET.

    python train.py --config=configs/higher_hrnet.py:w32,512x512 --workdir=runs/higher_hrnet \
        --config.data.root=/data/coco

The networks and the public configurations of Cheng et al., HigherHRNet: Scale-Aware Representation
Learning for Bottom-Up Human Pose Estimation, CVPR 2020: Adam 1e-3, 300 epochs (x0.1 at 200 and
260), mean squared error at both resolutions with sigma 2, batch 12 on each of 4 devices (W48: 10).
The authors start from ImageNet weights; this recipe starts from random weights, or, with
--config.init_from=FILE, from HRNet's classification weights or a whole network. At 640 the authors
use 16-bit floats: --config.dtype=bfloat16.
On fewer devices: --config.accumulate=4, which also gives batch norm its 12 images.
DATASET is coco (default) or crowdpose, with the same recipe.

Published scores, val2017, flip test, one scale: W32 512x512 AP 67.1 (AP50 86.2, AP75 73.0),
640x640 68.5 (87.1, 74.7); W48 640x640 69.9 (87.2, 76.1).
At --config.eval.scales="(0.5, 1.0, 2.0)" 69.9, 70.6 and 72.1.
CrowdPose test (trained on train, val), W48 640x640: AP 65.9 (86.4, 70.6).
W16 and W24 of WLitePose's Table III are not available; docs/zoo.md explains why.
Scores here: none, not trained here.
"""

from configs import common

VARIANTS = ("w32,512x512", "w32,640x640", "w48,640x640")


def get_config(variant=VARIANTS[0]):
    network, size, dataset = common.parts(variant, VARIANTS, common.CROWDS)
    config = common.higher(size, 40 if network == "w48" else 48, dataset or "coco")
    config.model = f"higher_hrnet_{network}"
    return config
