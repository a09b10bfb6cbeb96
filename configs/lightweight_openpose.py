"""Lightweight OpenPose on COCO at 368x368.

    python train.py --config=configs/lightweight_openpose.py --workdir=runs/openpose \
        --config.data.root=/data/coco

The network of Osokin, Real-time 2D Multi-Person Pose Estimation on CPU: Lightweight OpenPose, 2018.
From its public code: Adam 4e-5, batch 80, 280 epochs (x0.333 at 100, 200 and 260), rotation up to
40 degrees, shifts of 40 pixels, horizontal flips, Gaussians of 7 pixels. Differences from that
code:
* It starts from MobileNet's ImageNet weights (here: random weights) and trains in three phases, the
  last with --config.model_options.refinement_stages=3
* Its images are BGR, (x - 128) / 256: --config.model_options.public_input=True
* It has separate learning rates for refinement stages (x4) and biases (x2, x8 in refinement
  stages), and a weight decay of 5e-4.
* It crops around a person, who is then 0.3 to 0.66 as high as the crop, and the area outside the
  image counts as background. Here crops are HigherHRNet's, around the center of the image, 0.75 to
  1.5 of its short side, and the area outside is ignored.
* It evaluates images at a height of 368; here at a short side of 384, the next multiple of 64
  (--config.eval.sizing=fixed fits them into 368x368). It searches for people on maps of the image's
  own size and adds half a pixel to the keypoints; here on maps of the input's size, without it.

Score in the paper: a part of val2017, AP 42.8; the public weights: val2017, AP 40.
Score here: none, not trained here.
"""

from configs import common


def get_config():
    config = common.part_affinity()
    config.input_size = (368, 368)
    config.optimizer.learning_rate = 4e-5
    config.batch_size = 80
    config.epochs = 280.0
    config.schedule.milestones = (100.0, 200.0, 260.0)
    config.schedule.gamma = 0.333
    config.augment.rotation = 40.0
    config.augment.translate = 200 * 40 / 368  # 40 pixels of the input
    return config
