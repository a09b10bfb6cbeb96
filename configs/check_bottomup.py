"""Overfits a few images, to test that data, labels and settings fit together (bottom-up).

    python train.py --config=configs/check_bottomup.py --workdir=runs/check \
        --config.data.root=FOLDER --config.data.train_annotations=annotations_train.json

Trains on the first images of a folder in COCO keypoint format and scores on the same images. Whole
images are used at one size, flipped at random and shifted by a few pixels. For upright images, use
--config.input_size="(384,256)". Another network: check_bottomup.py:MODEL.

A few steps on the same images need other values than a long training. A small b2 forgets the large
gradients of the first steps soon. The weight of push separates the tags of different people before
the heatmaps dominate the network; a larger weight would slow down the heatmaps. Without the shift
by a few pixels, the network learns tags at single pixels, and the next pixel has another person's.
"""

from configs import common


def get_config(model="wlitepose_xs"):
    config = common.bottomup()
    config.model = model
    common.kaiming(config)
    config.input_size = (256, 384)
    config.data.train_annotations = "annotations.json"
    config.data.train_images = "images"
    # References: validation uses the training data. Set train_annotations and train_images only.
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
