"""Any folder in COCO keypoint format, with a skeleton of its own.

    python train.py --config=configs/custom_topdown.py --workdir=runs/mine \
        --config.data.root=FOLDER --config.data.train_annotations=annotations_train.json \
        --config.data.val_annotations=annotations_val.json \
        --config.data.train_images=images --config.data.val_images=images

`jaxpose data FOLDER` checks the folder first. The joints, their mirror pairs and OKS sigmas come
from the annotation file. Any other top-down network: --config=configs/custom_topdown.py:MODEL.
Reproduces no paper: the values are for a few thousand people and a CPU, 165,000 crops in all. With
a GPU and more people, take the papers' size and length: --config.input_size="(256, 192)"
--config.sigma=2.0 --config.batch_size=64 --config.epochs=210.

Score here: on the 3,500 sports photographs of the Leeds dataset in COCO form (3,000 to train, 500
to validate, 14 joints) AP 22.3, AP50 59.7, PCK@0.2 40.3. The paper's own optimisation of the same
network at the same size, 20 epochs of batches of 32, gets AP 2.9, PCK@0.2 19.4. What helps is many
steps: small batches, a cosine schedule from a higher learning rate, deconvolutions that start at
Kaiming's scale, a wider Gaussian on the coarse map (sigma 1.5 of 32x24) with DARK decoding, an
average of the weights.
"""

from configs import common


def get_config(model="hwl_mobilenetv3"):
    config = common.get_config()
    config.model = model
    config.input_size = (128, 96)
    common.kaiming(config)
    config.sigma = 1.5
    config.batch_size = 16
    config.epochs = 55.0
    config.ema_decay = 0.998
    config.optimizer.learning_rate = 2e-3
    config.schedule.name = "cosine"
    config.schedule.warmup_steps = 200
    config.augment.half_body_prob = 0.0
    config.augment.scale = 0.25
    config.augment.shift_prob = 0.0
    config.data.train_annotations = "annotations_train.json"
    config.data.val_annotations = "annotations_val.json"
    config.data.train_images = "images"
    config.data.val_images = "images"
    config.data.cache = True
    config.eval.decode = "dark"
    config.eval_every = 11.0
    return config
