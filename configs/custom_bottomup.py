"""Any folder in COCO keypoint format, with a skeleton of its own, several people a picture.

    python train.py --config=configs/custom_bottomup.py --workdir=runs/mine \
        --config.data.root=FOLDER --config.data.train_annotations=annotations_train.json \
        --config.data.val_annotations=annotations_val.json \
        --config.data.train_images=images --config.data.val_images=images

`jaxpose data FOLDER` checks the folder first. The joints, their mirror pairs and OKS sigmas come
from the annotation file. Crowd regions (iscrowd) and people without labelled joints are left out of
the loss where the file has their segmentation; label everybody else, since whoever is not labelled
is learned as background. Reproduces no paper.
"""

from configs import common


def get_config():
    config = common.bottomup()
    config.data.train_annotations = "annotations_train.json"
    config.data.val_annotations = "annotations_val.json"
    config.data.train_images = "images"
    config.data.val_images = "images"
    return config
