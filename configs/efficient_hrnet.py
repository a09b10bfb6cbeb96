"""EfficientHRNet H0 to H-4 on COCO and CrowdPose: NETWORK or NETWORK,DATASET.

    python train.py --config=configs/efficient_hrnet.py:h0 --workdir=runs/efficient_hrnet \
        --config.data.root=/data/coco

NETWORK is h0, hm1, hm2, hm3 or hm4, each at its own size; DATASET is coco (default) or crowdpose.
The networks of Neff et al., EfficientHRNet: Efficient Scaling for Lightweight High-Resolution
Multi-Person Pose Estimation, 2020, and its public configurations, which are HigherHRNet's: Adam
1e-3, 300 epochs (x0.1 at 200 and 260), mean squared error at both resolutions with sigma 2.
The authors publish batches of 1, 6, 8, 10 and 48 images per device, but not the number of devices;
this recipe uses 32 for all networks. The backbone has stochastic depth of 0.2; without it:
--config.model_options.drop_path=0.0
The authors initialize the backbone with ImageNet weights and freeze it at first; this recipe trains
everything from random weights. For h0, --config.init_from=FILE starts from EfficientNet-B0, and
--config.freeze="backbone/*" freezes it. For CrowdPose, the authors publish nothing; this recipe
uses the same values.

Published scores, val2017, flip test:   h0   hm1   hm2   hm3   hm4
    side                               512   480   448   416   384
    AP                                64.8  59.2  52.9  44.8  35.7
    AP, WLitePose paper                  -     -  52.8     -  35.7
    CrowdPose test, WLitePose paper       -  56.3     -  46.1     -
In evaluation, the short side of an image is rounded up to a multiple of 64, as in the public code:
hm1 is evaluated at 512 and hm3 at 448.
Scores here: none, not trained here.
"""

from configs import common

SIDES = {"h0": 512, "hm1": 480, "hm2": 448, "hm3": 416, "hm4": 384}
VARIANTS = tuple(SIDES)


def get_config(variant=VARIANTS[0]):
    network, dataset = common.parts(variant, VARIANTS, common.CROWDS)
    config = common.higher(f"{SIDES[network]}x{SIDES[network]}", 32, dataset or "coco")
    config.model = f"efficient_hrnet_{network}"
    config.model_options.drop_path = 0.2
    return config
