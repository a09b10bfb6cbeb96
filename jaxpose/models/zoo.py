"""The names of the library's networks and their constructors.

What the literature says about each is in `published`. A new network of the library needs an entry
in both; a user's network is registered or named by its import path instead (`lookup`).
"""

from __future__ import annotations

from functools import partial

from jaxpose.layers import ModuleDef
from jaxpose.models import cspnext, efficient_hrnet, hrnet, lite_hrnet, litepose, wlitepose
from jaxpose.models.dite_hrnet import DiteHRNet
from jaxpose.models.el_hrnet import el_hrnet_w32
from jaxpose.models.higher_hrnet import HigherHRNet
from jaxpose.models.hwl import HWL
from jaxpose.models.lightweight_hrnet import LightweightHRNet
from jaxpose.models.lightweight_openpose import LightweightOpenPose
from jaxpose.models.lite_csw_hrnet import LiteCSWHRNet
from jaxpose.models.lite_hrnet import LiteHRNet, NaiveLiteHRNet
from jaxpose.models.resnet import BasicBlock
from jaxpose.models.rtmpose import RTMPose
from jaxpose.models.simplebaseline import (
    simplebaseline_mobilenetv2,
    simplebaseline_mobilenetv3,
    simplebaseline_resnet50,
    simplebaseline_shufflenetv2,
)
from jaxpose.models.vipnas import ViPNAS

CONSTRUCTORS: dict[str, ModuleDef] = {
    "litepose_xs": partial(litepose.LitePose, litepose.XS),
    "litepose_s": partial(litepose.LitePose, litepose.S),
    "litepose_m": partial(litepose.LitePose, litepose.M),
    "litepose_l": partial(litepose.LitePose, litepose.L),
    "wlitepose_xs": partial(wlitepose.WLitePose, litepose.XS),
    "wlitepose_s": partial(wlitepose.WLitePose, litepose.S),
    "hwl_mobilenetv3": HWL,
    "simplebaseline_mobilenetv2": simplebaseline_mobilenetv2,
    "simplebaseline_mobilenetv3": simplebaseline_mobilenetv3,
    "simplebaseline_shufflenetv2": simplebaseline_shufflenetv2,
    "simplebaseline_resnet50": simplebaseline_resnet50,
    "hrnet_w32": partial(hrnet.HRNet, hrnet.W32, BasicBlock),
    "hrnet_w48": partial(hrnet.HRNet, hrnet.W48, BasicBlock),
    "small_hrnet_w16": partial(hrnet.HRNet, hrnet.SMALL_W16, BasicBlock),
    "el_hrnet_w32": el_hrnet_w32,
    "higher_hrnet_w32": partial(HigherHRNet, hrnet.W32),
    "higher_hrnet_w48": partial(HigherHRNet, hrnet.W48),
    "lite_hrnet_18": partial(LiteHRNet, lite_hrnet.LITE_18),
    "lite_hrnet_30": partial(LiteHRNet, lite_hrnet.LITE_30),
    "naive_lite_hrnet_18": partial(NaiveLiteHRNet, lite_hrnet.NARROW),
    "wider_naive_lite_hrnet_18": partial(NaiveLiteHRNet, lite_hrnet.WIDE),
    "dite_hrnet_18": partial(DiteHRNet, lite_hrnet.LITE_18),
    "dite_hrnet_30": partial(DiteHRNet, lite_hrnet.LITE_30),
    "lite_csw_hrnet_18": partial(LiteCSWHRNet, lite_hrnet.LITE_18),
    "lite_csw_hrnet_30": partial(LiteCSWHRNet, lite_hrnet.LITE_30),
    "efficient_hrnet_h0": partial(efficient_hrnet.EfficientHRNet, efficient_hrnet.H0),
    "efficient_hrnet_hm1": partial(efficient_hrnet.EfficientHRNet, efficient_hrnet.HM1),
    "efficient_hrnet_hm2": partial(efficient_hrnet.EfficientHRNet, efficient_hrnet.HM2),
    "efficient_hrnet_hm3": partial(efficient_hrnet.EfficientHRNet, efficient_hrnet.HM3),
    "efficient_hrnet_hm4": partial(efficient_hrnet.EfficientHRNet, efficient_hrnet.HM4),
    "lightweight_hrnet_r0": partial(LightweightHRNet, efficient_hrnet.H0),
    "lightweight_hrnet_rm1": partial(LightweightHRNet, efficient_hrnet.HM1),
    "lightweight_hrnet_rm2": partial(LightweightHRNet, efficient_hrnet.HM2),
    "lightweight_hrnet_rm3": partial(LightweightHRNet, efficient_hrnet.HM3),
    "lightweight_openpose": LightweightOpenPose,
    "vipnas_mobilenetv3": ViPNAS,
    "rtmpose_t": partial(RTMPose, cspnext.TINY),
    "rtmpose_s": partial(RTMPose, cspnext.SMALL),
    "rtmpose_m": partial(RTMPose, cspnext.MEDIUM),
    "rtmpose_l": partial(RTMPose, cspnext.LARGE),
    "rtmpose_x": partial(RTMPose, cspnext.EXTRA_LARGE),
}
