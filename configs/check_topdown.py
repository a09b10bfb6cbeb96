"""Overfits a few people, to test that data, labels and settings fit together (top-down).

    python train.py --config=configs/check_topdown.py --workdir=runs/check \
        --config.data.root=FOLDER --config.data.train_annotations=annotations_train.json

Trains on the first people of a folder in COCO keypoint format, without augmentation, and scores on
the same people, on annotated boxes. Another network: check_topdown.py:MODEL. Expect an AP above
0.95 at the end; a much lower AP means wrong keypoints, boxes or images, not a weak network. For an
MPII file, add --config.data.format=mpii --config.eval.metric=mpii --config.input_size="(256, 256)"
and expect a PCKh above 95. The recipe reproduces no paper, and its score says nothing about other
people.
"""

from configs import common


def get_config(model="hwl_mobilenetv3"):
    config = common.of_crops(model)
    common.kaiming(config)
    config.data.train_annotations = "annotations.json"
    config.data.train_images = "images"
    # References: validation uses the training data. Set train_annotations and train_images only.
    config.data.val_annotations = config.data.get_ref("train_annotations")
    config.data.val_images = config.data.get_ref("train_images")
    config.data.limit = 16
    config.batch_size = 4
    config.eval.batch_size = 4
    config.epochs = 120.0
    config.optimizer.learning_rate = 1e-3
    config.schedule.name = "cosine"
    config.schedule.warmup_steps = 20
    config.augment.flip = 0.0
    config.augment.half_body_prob = 0.0
    config.augment.scale = 0.0
    config.augment.rotation_prob = 0.0
    config.augment.shift_prob = 0.0
    config.eval.flip = False  # flips are not part of the training
    config.eval_every = 40.0
    config.checkpoint_every = 200
    config.log_every = 20
    return config
