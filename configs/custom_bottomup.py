"""Any folder in COCO keypoint format, with its own skeleton and several people per image.

    python train.py --config=configs/custom_bottomup.py --workdir=runs/mine \
        --config.data.root=FOLDER --config.data.train_annotations=annotations_train.json \
        --config.data.val_annotations=annotations_val.json \
        --config.data.train_images=images --config.data.val_images=images

Check the folder first: `jaxpose data FOLDER`. Keypoints, their left-right pairs and OKS sigmas come
from the annotation file. Crowd regions (iscrowd) and people without labeled keypoints are left out
of the loss if the file has their segmentation. Label everyone else: a person without labels is
learned as background, and so are images without people. Any other network with tags:
--config=configs/custom_bottomup.py:MODEL.
The recipe reproduces no paper.
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
    config.data.negatives = True
    return config
