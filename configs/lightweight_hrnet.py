"""Lightweight HRNet, r = 0 to -3, on COCO: NETWORK (r0, rm1, rm2, rm3), each at its own size.

    python train.py --config=configs/lightweight_hrnet.py:rm2 --workdir=runs/lightweight_hrnet \
        --config.data.root=/data/coco

The networks of Liao et al., Lightweight HRNet: A Lightweight Network for Bottom-Up Human Pose
Estimation, Engineering Letters 2024. The paper gives no hyperparameters (COCO train2017,
associative embedding). This recipe follows EfficientHRNet, which it builds on and whose recipe is
HigherHRNet's: Adam 1e-3, 300 epochs (x0.1 at 200 and 260), mean squared error at both resolutions
with sigma 2. Batches of 32 and random initial weights are our choice. rm3 is not in the paper.

Scores in the paper:                        r0   rm1   rm2   rm3
    side                                   512   480   448   416
    val2017 AP without CEM (Table V)      55.2  49.0  45.4     -
    val2017 AP with CEM (Table VI)           -     -  46.6     -
    test-dev AP without CEM               54.9  48.5  45.7     -
    test-dev AP with CEM (Table VIII)        -     -  46.6     -
All networks have the CEM; without it: --config.model_options.cem=False
Exchange of all channels (Table III, rejected there): --config.model_options.exchange=all
Another order of the maps: --config.model_options.order="(1, 2, 3, 4)"
Lite Conv Modules without 1x1 layers: --config.model_options.variant=plain
In evaluation, the short side of an image is rounded up to a multiple of 64, as in EfficientHRNet's
code: rm1 is evaluated at 512 and rm3 at 448.
Scores here: none, not trained here.
"""

from configs import common

SIDES = {"rm2": 448, "r0": 512, "rm1": 480, "rm3": 416}
VARIANTS = tuple(SIDES)


def get_config(variant=VARIANTS[0]):
    (network,) = common.parts(variant, VARIANTS)
    config = common.higher(f"{SIDES[network]}x{SIDES[network]}", batch=32)
    config.model = f"lightweight_hrnet_{network}"
    return config
