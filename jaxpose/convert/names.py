"""Conversion of parameter paths to keys of public PyTorch state_dicts.

Module names follow the public checkpoints, so most keys are the path with dots instead of slashes
and underscores before numbers: backbone/layer2_0/conv_1 -> backbone.layer2.0.conv.1. Each family
lists only the modules that have more readable names here.
"""

from __future__ import annotations

import re

# PyTorch numbers the layers of a Sequential, including ReLUs.
_LIGHT_HEAD = {
    f"^head/deconv{i + 1}/{layer}": f"head/deconv_layers_{6 * i + offset}"
    for i in range(3)
    for layer, offset in (("depthwise", 0), ("bn1", 1), ("pointwise", 3), ("bn2", 4))
}
_PLAIN_HEAD = {
    f"^head/deconv{i + 1}/{layer}": f"head/deconv_layers_{3 * i + offset}"
    for i in range(3)
    for layer, offset in (("deconv", 0), ("bn", 1))
}
_SHUFFLENET = {r"^backbone/layers(\d)": r"backbone/layers_\1"}
_LITEPOSE = {
    "^backbone/": "",
    r"^first/conv_(\d)": r"first_\1",
    "^first/project/conv": "first_2",
    "^first/project/bn": "first_3",
    r"^head/fusion_(\d)/bn": r"deconv_bnrelu_\1_0",
    r"^head/fusion_(\d)/(refined|raw)": r"deconv_\2_\1",
    r"^head/final_(\d)/(refined|raw)/depthwise": r"final_\2_\1/conv",
    r"^head/final_(\d)/(refined|raw)/pointwise": r"final_\2_\1/conv_3",
    "/conv$": "/0",
    "/bn$": "/1",
}

# Layers in a Sequential of the released code.
_LITE_HRNET = {
    r"/((?:transition\d|fuse_layers_\d)_[\d_]+)/depthwise_conv/conv$": r"/\1/0",
    r"/((?:transition\d|fuse_layers_\d)_[\d_]+)/depthwise_conv/bn$": r"/\1/1",
    r"/((?:transition\d|fuse_layers_\d)_[\d_]+)/pointwise_conv/conv$": r"/\1/2",
    r"/((?:transition\d|fuse_layers_\d)_[\d_]+)/pointwise_conv/bn$": r"/\1/3",
    r"/(fuse_layers_\d_\d)/conv$": r"/\1/0",
    r"/(fuse_layers_\d_\d)/bn$": r"/\1/1",
    "^final_layer$": "head/final_layer",
}
_DITE_HRNET = {
    **_LITE_HRNET,
    "/channel_attention/conv1$": "/channel_attention/0",
    "/channel_attention/bn$": "/channel_attention/1",
    "/channel_attention/conv2$": "/channel_attention/3",
}

_HRNET = {"^(backbone|head)/": "", "/(conv|deconv)$": "/0", "/bn$": "/1"}

_EFFICIENT = {
    # A layer with an activation is a Sequential that begins with a padding.
    "^backbone/features_0/conv$": "features_0_1",
    "^backbone/features_0/bn$": "features_0_2",
    # The first block has no expansion, so the numbers of its layers are lower by one.
    "^backbone/features_1/depthwise/": "features_1/conv_0/",
    "^backbone/features_1/se/": "features_1/conv_1/se/",
    "^backbone/features_1/project/conv$": "features_1/conv_2",
    "^backbone/features_1/project/bn$": "features_1/conv_3",
    r"^backbone/(features_\d+)/expand/": r"\1/conv_0/",
    r"^backbone/(features_\d+)/depthwise/": r"\1/conv_1/",
    r"^backbone/(features_\d+)/se/": r"\1/conv_2/se/",
    r"^backbone/(features_\d+)/project/conv$": r"\1/conv_3",
    r"^backbone/(features_\d+)/project/bn$": r"\1/conv_4",
    r"(/conv_[01])/conv$": r"\1_1",
    r"(/conv_[01])/bn$": r"\1_2",
    "/se/conv1/conv$": "/se_1",
    "/se/conv2/conv$": "/se_3",
    **_HRNET,
}
# There is no public code. The keys are those of EfficientHRNet, with the layers of the backbone
# named as in Table I (`backbone.l1.c11.0.weight`).
_LIGHTWEIGHT = {"^head/": "", "/(conv|deconv)$": "/0", "/bn$": "/1"}
_OPENPOSE = {
    r"^(model_\d+)/depthwise/conv$": r"\1_0",
    r"^(model_\d+)/depthwise/bn$": r"\1_1",
    r"^(model_\d+)/pointwise/conv$": r"\1_3",
    r"^(model_\d+)/pointwise/bn$": r"\1_4",
    r"^(cpm/trunk_\d)/depthwise$": r"\1_0",
    r"^(cpm/trunk_\d)/pointwise$": r"\1_2",
    "/conv$": "/0",
    "/bn$": "/1",
}

# The paths are those of the public checkpoints.
_RTMPOSE: dict[str, str] = {}

# Model -> {pattern in the path: replacement}, applied in order.
RENAMES = {
    "litepose_xs": _LITEPOSE,
    "litepose_s": _LITEPOSE,
    "litepose_m": _LITEPOSE,
    "litepose_l": _LITEPOSE,
    "hwl_mobilenetv3": {**_LIGHT_HEAD, "^head/attention": "head/deconv_layers_18"},
    "simplebaseline_mobilenetv2": _PLAIN_HEAD,
    "simplebaseline_mobilenetv3": _PLAIN_HEAD,
    "simplebaseline_shufflenetv2": {**_PLAIN_HEAD, **_SHUFFLENET},
    "simplebaseline_resnet50": _PLAIN_HEAD,
    "hrnet_w32": _HRNET,
    "hrnet_w48": _HRNET,
    "small_hrnet_w16": _HRNET,
    "higher_hrnet_w32": _HRNET,
    "higher_hrnet_w48": _HRNET,
    "lite_hrnet_18": _LITE_HRNET,
    "lite_hrnet_30": _LITE_HRNET,
    "naive_lite_hrnet_18": _LITE_HRNET,
    "wider_naive_lite_hrnet_18": _LITE_HRNET,
    "dite_hrnet_18": _DITE_HRNET,
    "dite_hrnet_30": _DITE_HRNET,
    # There is no public checkpoint; the keys follow Lite-HRNet's.
    "lite_csw_hrnet_18": _LITE_HRNET,
    "lite_csw_hrnet_30": _LITE_HRNET,
    "efficient_hrnet_h0": _EFFICIENT,
    "efficient_hrnet_hm1": _EFFICIENT,
    "efficient_hrnet_hm2": _EFFICIENT,
    "efficient_hrnet_hm3": _EFFICIENT,
    "efficient_hrnet_hm4": _EFFICIENT,
    "lightweight_hrnet_r0": _LIGHTWEIGHT,
    "lightweight_hrnet_rm1": _LIGHTWEIGHT,
    "lightweight_hrnet_rm2": _LIGHTWEIGHT,
    "lightweight_hrnet_rm3": _LIGHTWEIGHT,
    "lightweight_openpose": _OPENPOSE,
    "vipnas_mobilenetv3": _PLAIN_HEAD,
    "rtmpose_t": _RTMPOSE,
    "rtmpose_s": _RTMPOSE,
    "rtmpose_m": _RTMPOSE,
    "rtmpose_l": _RTMPOSE,
    "rtmpose_x": _RTMPOSE,
}

# Prefixes of all keys if a network was saved inside a wrapper for several devices or half
# precision.
WRAPPERS = ("module.", "1.")

# mmpose has a prefix for each part of a network; the head is `keypoint_head` in 0.x, `head` in 1.x.
_MMPOSE_PREFIXES = ("backbone.", "keypoint_head.", "head.")
_OWN_NAMES = (_EFFICIENT, _LIGHTWEIGHT, _OPENPOSE, _LITEPOSE)  # names of the authors' code
_HEAD_LAYERS = ("deconv_layers.", "final_layer.")

# Keys of a public checkpoint that the model does not need. Lightweight OpenPose was trained with
# three refinement stages; its authors drop the later ones.
LEFT_OUT = {"lightweight_openpose": r"refinement_stages\.[1-9]\."}

# Options of a model that its public weights need.
OPTIONS = {"lightweight_openpose": {"public_input": True}}

# Keys of the last layer -> number of output channels that are not keypoints. A checkpoint has one
# of these keys.
FINAL_LAYERS = {
    "head.final_layer.weight": 0,
    "final_layer.weight": 0,
    "final_layers.1.weight": 0,
    "final_refined.1.conv.3.weight": 0,
    "initial_stage.heatmaps.1.0.weight": 1,  # the background
}


# Models whose weights are of one input size: keys of the layers whose outputs are the positions
# along y and along x, and how many positions a pixel has.
SIZED_BY = {
    name: ("head.cls_y.weight", "head.cls_x.weight", 2)
    for name, renames in RENAMES.items()
    if renames is _RTMPOSE
}


def torch_module(name: str, path: tuple[str, ...]) -> str:
    """Dotted name of the PyTorch module for `path` in the parameter tree of model `name`."""
    joined = "/".join(path)
    for pattern, replacement in RENAMES[name].items():
        joined = re.sub(pattern, replacement, joined)
    return re.sub(r"_(\d+)", r".\1", joined.replace("/", "."))


def canonical(name: str, key: str) -> str:
    """A public key of model `name` with the prefix of this library."""
    for wrapper in WRAPPERS:
        key = key.removeprefix(wrapper)
    renames = RENAMES.get(name)
    if renames in _OWN_NAMES:
        return key
    if renames is _HRNET:  # its authors' code has no prefixes
        part = next(filter(key.startswith, _MMPOSE_PREFIXES), "")
        return key.removeprefix(part)
    if key.startswith("keypoint_head."):
        return key.removeprefix("keypoint_")
    if key.startswith(("backbone.", "head.")):
        return key
    # The authors of SimpleBaseline use torchvision's names for the backbone, without prefixes.
    return f"head.{key}" if key.startswith(_HEAD_LAYERS) else f"backbone.{key}"
