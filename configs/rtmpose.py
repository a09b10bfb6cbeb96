"""RTMPose: NETWORK,DATASET,SIZE.

    python train.py --config=configs/rtmpose.py:s,coco,256x192 --workdir=runs/rtmpose_s \
        --config.data.root=/data/coco --config.init_from=cspnext_s-aic_coco-256x192

NETWORK is t, s, m, l or x. DATASET is coco, crowdpose, mpii, wholebody (COCO-WholeBody, 133
keypoints), hand (21 keypoints) or ap10k (animals).
The networks and the public configurations of Jiang et al., RTMPose: Real-Time Multi-Person Pose
Estimation based on MMPose, 2023: AdamW, 999 warm-up steps, flat for half of the steps, then cosine
to a twentieth, growing moving average (not t), two stages of augmentation, batch norm over all
devices. They start from the backbone of a heatmap network, the files cspnext_* of `jaxpose
weights`; no score is published for random initial weights. On few devices, --config.accumulate=8
keeps the batch. For a batch N, mmpose's rule multiplies the rate by N / 1024 (coco, mpii), N / 512
(crowdpose, wholebody, ap10k) or N / 256 (hand), though the runs on COCO had 4e-3 with 2,048.
To fine-tune public weights: --config.init_from=rtmpose_s-coco-256x192.
Unlike mmpose, half-body augmentation is that of the other recipes, a blur comes before the change
of colors, and there is no photometric distortion (only "Body8" and x on COCO had it).
Rewrite the files of COCO-WholeBody first, train and val, in annotations/; for hands with --hands:
    python -m jaxpose.annotations.wholebody coco_wholebody_train_v1.0.json wholebody_train.json

Published scores, val, flip test; coco and wholebody with detector boxes, coco trained on COCO / AI
Challenger and COCO / eight datasets ("Body8"):
    t,coco,256x192 AP 68.2 / 68.5 / 65.9        m,coco,384x288 AP   -  / 77.0 / 76.6
    s,coco,256x192    71.6 / 72.2 / 69.7        l,coco,384x288      -  / 77.3 / 78.3
    m,coco,256x192    74.6 / 75.8 / 74.9        x,coco,384x288      -  /  -   / 78.8
    l,coco,256x192    75.8 / 76.5 / 76.7
wholebody, AP of all keypoints: m 256x192 58.2, l 256x192 61.1, l 384x288 64.8, x 384x288 65.3;
crowdpose m AP 70.6 (detector); mpii m PCKh 90.7; hand m PCK@0.2 81.5 (here AP); ap10k m AP 72.2.
Scores here: none, not trained here.
"""

from configs import common

VARIANTS = tuple(f"{network},coco,256x192" for network in "stml")
VARIANTS += tuple(f"{network},coco,384x288" for network in "mlx")
VARIANTS += tuple(f"{network},wholebody,256x192" for network in "ml")
VARIANTS += tuple(f"{network},wholebody,384x288" for network in "lx")
VARIANTS += ("m,crowdpose,256x192", "m,mpii,256x256", "m,hand,256x256", "m,ap10k,256x256")
# Epochs, batch and learning rate of the public configurations.
RUNS = {
    "coco": (420.0, 2048, 4e-3),
    "wholebody": (270.0, 512, 4e-3),
    "wholebody,384x288": (270.0, 256, 4e-3),
    "crowdpose": (210.0, 512, 5e-4),
    "mpii": (210.0, 512, 4e-3),
    "hand": (210.0, 256, 4e-3),
    "ap10k": (210.0, 512, 4e-3),
}


def get_config(variant=VARIANTS[0]):
    network, dataset, size = common.parts(variant, VARIANTS)
    config = common.rtmpose(dataset, size)
    config.model = f"rtmpose_{network}"
    run = RUNS.get(f"{dataset},{size}", RUNS[dataset])
    config.epochs, config.batch_size, config.optimizer.learning_rate = run
    config.optimizer.weight_decay = 0.0 if network in "ts" else 0.05
    if network != "t":
        config.ema_decay = 0.9998
    return common.strong_to_the_end(config, dataset) if network == "x" else config
