"""Overfits a handful of pictures: proves that data, labels and set-up fit together.

    python train.py --config=configs/check_bottomup.py --workdir=runs/check \
        --config.data.root=FOLDER --config.data.train_annotations=annotations_train.json

Trains on the first pictures of a folder in COCO keypoint format and scores on the same ones. They
are seen whole, at one size, mirrored or not and moved by a few pixels; for upright pictures give
--config.input_size="(384,256)". Another network: check_bottomup.py:MODEL.

Few steps on the same pictures need other values than a long training: the large gradients of the
first steps must be forgotten soon (b2), and the tags of people must part before the heatmaps have
taken the network (push); with more weight than this the tags hold the heatmaps up. Without the
few pixels, tags are learnt at single pixels, and the next pixel belongs to somebody else.
"""

from configs import common


def get_config(model="wlitepose_xs"):
    config = common.bottomup()
    config.model = model
    common.kaiming(config)
    config.input_size = (256, 384)
    config.data.train_annotations = "annotations.json"
    config.data.train_images = "images"
    # References: what is given for training is scored, too; do not give both.
    config.data.val_annotations = config.data.get_ref("train_annotations")
    config.data.val_images = config.data.get_ref("train_images")
    config.data.limit = 4
    config.batch_size = 4
    config.eval.batch_size = 4
    config.eval.sizing = "fixed"
    config.epochs = 800.0
    config.optimizer.learning_rate = 1e-2
    config.optimizer.b2 = 0.9
    config.schedule.name = "cosine"
    config.schedule.warmup_steps = 60
    config.loss.push = 1e-2
    config.loss.pull = 1e-2
    config.augment.scale_type = "long"
    config.augment.scale_min = 1.0
    config.augment.scale_max = 1.0
    config.augment.rotation = 0.0
    config.augment.translate = 4.0
    config.eval_every = 0.0
    config.checkpoint_every = 200
    config.log_every = 20
    return config
