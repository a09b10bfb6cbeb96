"""WLitePose-S on CrowdPose at 448x448.

    python train.py --config=configs/wlitepose_s_crowdpose_448x448.py --workdir=runs/wlitepose_s \
        --config.data.root=/data/crowdpose

Reproduces the recipe of Wang et al., Lightweight Human Pose Estimation Based on Heatmap Weighted
Loss Function (WLitePose), 2024: Adam 1e-3, batch 32 on two devices, 200 epochs (x0.1 at 50 and
180), the soft-boundary loss with tau = 0.01.
--config=configs/wlitepose_s_crowdpose_448x448.py:litepose takes the schedule of LitePose's official
configuration instead: 4e-3, batch 16 on each device, 500 epochs (350, 480).
The paper does not say whether anything was pretrained; this starts from random weights.

Score in the paper: test, trained on train and val, AP 59.6 (AP50 82.3, AP75 63.5), flip test.
Its ablations (Tables VI to X), with --config. before each setting and AP in the paper:
  VI    Exp-1 model_options.light_deconv=False loss.name=mse 58.7; Exp-2 loss.name=mse 58.8;
        Exp-3 model_options.stages="()" loss.name=mse 58.3; Exp-4 see litepose_s_crowdpose_448x448.
  VII   as Exp-1 with model_options.stages="(1,)" 58.2, "(2,)" 58.3, "(3,)" 58.2, "(4,)" 58.5.
  VIII  tau: see litepose_s_crowdpose_448x448.
  IX    as Exp-1 with model_options.attention=se 58.2, cbam 58.3, ca 58.7, dfc 58.7.
  X     as Exp-1: 7x7 moved up, model_options.attention=none model_options.full_bn_relu6=True 57.1;
        + DFC, full_bn_relu6=True alone 58.4; + GELU, model_options.norms=3
        model_options.activations=2 58.4; fewer activations, norms=3 alone 58.6; fewer norms 58.7.
The fits to the printed sizes: model_options.preset=A, B or C; no gradient through the weight of the
loss, on which the paper is silent: loss.detach_weight=True.
Score here: none, not trained here.
"""

from configs import common


def get_config(schedule="wlitepose"):
    config = common.crowdpose((448, 448), schedule)
    config.model = "wlitepose_s"
    return config
