"""Any folder in COCO keypoint format, with its own skeleton.

    python train.py --config=configs/custom_topdown.py --workdir=runs/mine \
        --config.data.root=FOLDER --config.data.train_annotations=annotations_train.json \
        --config.data.val_annotations=annotations_val.json \
        --config.data.train_images=images --config.data.val_images=images

Check the folder first: `jaxpose data FOLDER`. Keypoints, their left-right pairs and OKS sigmas come
from the annotation file. Any other top-down network, RTMPose (rtmpose_s) among them:
--config=configs/custom_topdown.py:MODEL.
With unbiased data processing (UDP), which has its own decoding: custom_topdown.py:MODEL,udp.
The recipe reproduces no paper. Its values suit a few thousand people and a CPU, 165,000 crops in
all. With a GPU and more people, use the papers' size and length: --config.input_size="(256, 192)"
--config.batch_size=64 --config.epochs=210, and with heatmaps --config.sigma=2.0.

Score here: on the 3,500 sports photographs of the Leeds dataset in COCO format (3,000 for training,
500 for validation, 14 keypoints) AP 22.3, AP50 59.7, PCK@0.2 40.3. The same network at the same
size with the paper's optimizer and schedule, 20 epochs of batches of 32, gets AP 2.9, PCK@0.2 19.4.
What helps is more steps: small batches, a cosine schedule from a higher learning rate,
deconvolutions initialized at Kaiming's scale, a wider Gaussian on the coarse heatmap (sigma 1.5 on
32x24) with DARK decoding, and averaged weights.
"""

from configs import common


def get_config(variant="hwl_mobilenetv3"):
    config = common.small_crops(variant)
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
    config.eval_every = 11.0
    return config
