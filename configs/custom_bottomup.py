"""Any folder in COCO keypoint format, with a skeleton of its own, several people a picture.

    python train.py --config=configs/custom_bottomup.py --workdir=runs/mine \
        --config.data.root=FOLDER --config.data.train_annotations=annotations_train.json \
        --config.data.val_annotations=annotations_val.json \
        --config.data.train_images=images --config.data.val_images=images

`jaxpose data FOLDER` checks the folder first. The joints, their mirror pairs and OKS sigmas come
from the annotation file. Crowd regions (iscrowd) and people without labelled joints are left out of
the loss where the file has their segmentation; label everybody else, since whoever is not labelled
is learned as background. Any other network with tags: --config=configs/custom_bottomup.py:MODEL.
Reproduces no paper.
"""

from configs import common


def get_config(model="wlitepose_xs"):
    config = common.bottomup()
    config.model = model
    common.kaiming(config)
    config.data.train_annotations = "annotations_train.json"
    config.data.val_annotations = "annotations_val.json"
    config.data.train_images = "images"
    config.data.val_images = "images"
    return config
