"""HRNet-W32 and -W48 on COCO and MPII: NETWORK,DATASET,SIZE[,udp].

    python train.py --config=configs/hrnet.py:w32,coco,256x192 --workdir=runs/hrnet \
        --config.data.root=/data/coco

The networks and the public configurations of Sun et al., Deep High-Resolution Representation
Learning for Human Pose Estimation, CVPR 2019: Adam 1e-3 without warm-up, 210 epochs (x0.1 at 170
and 200), batch 32 on each of 4 devices (W48 at 384x288: 24), mean squared error, sigma 2 (384x288:
3). COCO: scale +-0.35, rotation 45, half-body augmentation; MPII: +-0.25, 30, none. The authors
start from ImageNet weights; this recipe starts from random weights, or, with
--config.init_from=FILE, from HRNet's classification weights or a whole network.
On fewer devices: --config.accumulate=4, which also gives batch norm its 32 people.
A variant that ends with ,udp uses unbiased data processing (Huang et al., CVPR 2020) for crops,
targets, flip test and decoding, as mmpose 1.x does: hrnet.py:w32,coco,256x192,udp

Published scores, val: COCO (detector boxes)    256x192 AP 74.4 (W32), 75.1 (W48);
                                                384x288 AP 75.8 (W32), 76.3 (W48);
                       the same with UDP        256x192 AP 76.2 (W32), 76.8 (W48);
                       (mmpose)                 384x288 AP 76.8 (W32), 77.3 (W48);
                       MPII 256x256 PCKh 90.3 (W32), none published for W48.
Scores here: none, not trained here.
"""

from configs import common

VARIANTS = tuple(f"{network},{data}" for network in ("w32", "w48") for data in common.TOPDOWN)


def get_config(variant=VARIANTS[0]):
    network, dataset, size, codec = common.parts(variant, VARIANTS, last=("udp",))
    config = common.topdown(dataset, size)
    config.codec = codec or "gaussian"
    config.model = f"hrnet_{network}"
    config.optimizer.learning_rate = 1e-3
    config.schedule.warmup_steps = 0
    config.batch_size = 96 if (network, size) == ("w48", "384x288") else 128
    config.augment.shift_prob = 0.0
    if dataset == "coco":
        config.augment.scale = 0.35
        config.augment.rotation = 45.0
    return config
