"""Any folder in COCO keypoint format, with a skeleton of its own.

    python train.py --config=configs/custom_topdown.py --workdir=runs/mine \
        --config.data.root=FOLDER --config.data.train_annotations=annotations_train.json \
        --config.data.val_annotations=annotations_val.json \
        --config.data.train_images=images --config.data.val_images=images

`jaxpose data FOLDER` checks the folder first. The joints, their mirror pairs and OKS sigmas come
from the annotation file. Reproduces no paper.
"""

from configs import common


def get_config():
    config = common.get_config()
    config.data.train_annotations = "annotations_train.json"
    config.data.val_annotations = "annotations_val.json"
    config.data.train_images = "images"
    config.data.val_images = "images"
    return config
