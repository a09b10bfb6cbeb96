"""How a parameter's path in our tree becomes a key of a public PyTorch state_dict.

Module names follow the public checkpoints, so most keys are the path with dots, and a number after
an underscore becomes a level of its own: backbone/layer2_0/conv_1 -> backbone.layer2.0.conv.1. Each
family lists only what it names more readably than its checkpoint does.
"""

from __future__ import annotations

import re

# PyTorch numbers the layers of a Sequential; ReLUs take a number too.
_LIGHT_HEAD = {
    f"head/deconv{i + 1}/{layer}": f"head/deconv_layers_{6 * i + offset}"
    for i in range(3)
    for layer, offset in (("depthwise", 0), ("bn1", 1), ("pointwise", 3), ("bn2", 4))
}
_PLAIN_HEAD = {
    f"head/deconv{i + 1}/{layer}": f"head/deconv_layers_{3 * i + offset}"
    for i in range(3)
    for layer, offset in (("deconv", 0), ("bn", 1))
}
_SHUFFLENET = {f"backbone/layers{i}": f"backbone/layers_{i}" for i in range(4)}

# Model -> {beginning of our path: what replaces it}.
RENAMES = {
    "hwl_mobilenetv3": {**_LIGHT_HEAD, "head/attention": "head/deconv_layers_18"},
    "simplebaseline_mobilenetv2": _PLAIN_HEAD,
    "simplebaseline_mobilenetv3": _PLAIN_HEAD,
    "simplebaseline_shufflenetv2": {**_PLAIN_HEAD, **_SHUFFLENET},
    "simplebaseline_resnet50": _PLAIN_HEAD,
}

# mmpose 0.x calls the head `keypoint_head`, 1.x `head`.
PREFIXES = {"keypoint_head.": "head."}

# The key whose first dimension is the number of keypoints.
FINAL_LAYER = "head.final_layer.weight"


def torch_module(name: str, path: tuple[str, ...]) -> str:
    """Dotted name of the PyTorch module at `path` of model `name`'s parameter tree."""
    joined = "/".join(path)
    for ours, theirs in RENAMES[name].items():
        if joined.startswith(ours):
            joined = theirs + joined[len(ours) :]
            break
    return re.sub(r"_(\d+)", r".\1", joined.replace("/", "."))


def canonical(key: str) -> str:
    """A public key with its prefix as this library writes it."""
    for theirs, ours in PREFIXES.items():
        if key.startswith(theirs):
            return ours + key[len(theirs) :]
    return key
