"""Overfits a handful of pictures: proves that data, labels and set-up fit together.

    python train.py --config=configs/check_bottomup.py --workdir=runs/check \
        --config.data.root=FOLDER --config.data.train_annotations=annotations_train.json

Trains on the first pictures of a folder in COCO keypoint format and scores on the same ones.
"""

from configs import common


def get_config():
    config = common.bottomup()
    config.data.train_annotations = "annotations.json"
    config.data.train_images = "images"
    # References: what is given for training on the command line is scored, too.
    config.data.val_annotations = config.data.get_ref("train_annotations")
    config.data.val_images = config.data.get_ref("train_images")
    config.data.limit = 4
    config.batch_size = 4
    config.eval.batch_size = 4
    config.epochs = 400.0
    config.optimizer.learning_rate = 2e-3
    config.schedule.name = "cosine"
    config.schedule.warmup_steps = 20
    config.augment.scale_min = 1.0
    config.augment.rotation = 0.0
    config.eval_every = 0.0
    config.checkpoint_every = 200
    config.log_every = 20
    return config
