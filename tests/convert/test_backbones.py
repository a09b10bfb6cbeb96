"""Files of classification backbones: every array of the backbone is taken, equal to the bit.

`golden/torch_keys_imagenet.json.gz` has the keys and shapes of the state_dicts of torchvision and
timm.
"""

import functools
import gzip
import json
import pathlib

import numpy as np
import pytest

from jaxpose import models
from jaxpose.convert import backbones, sources
from jaxpose.training import matching
from jaxpose.training.selection import flat
from tests.helpers.checkpoints import abstract

KEYS = json.loads(
    gzip.decompress(
        (
            pathlib.Path(__file__).parent.parent / "golden" / "torch_keys_imagenet.json.gz"
        ).read_bytes()
    )
)
LARGE = {"backbone": "mobilenetv3_large_std"}
WHOLE = [
    ("simplebaseline_resnet50", "torchvision/resnet50", {}),
    ("simplebaseline_resnet50", "timm/resnet50", {}),
    ("simplebaseline_mobilenetv2", "torchvision/mobilenet_v2", {}),
    ("simplebaseline_mobilenetv2", "timm/mobilenetv2_100", {}),
    ("hwl_mobilenetv3", "torchvision/mobilenet_v3_large", LARGE),
    ("simplebaseline_shufflenetv2", "torchvision/shufflenet_v2_x1_0", {}),
    ("hrnet_w32", "timm/hrnet_w32", {}),
    ("hrnet_w48", "timm/hrnet_w48", {}),
    ("higher_hrnet_w32", "timm/hrnet_w32", {}),
    ("higher_hrnet_w48", "timm/hrnet_w48", {}),
    ("efficient_hrnet_h0", "timm/efficientnet_b0", {}),
    ("efficient_hrnet_h0", "timm/tf_efficientnet_b0", {}),
]
PARTS = [
    ("hwl_mobilenetv3", "torchvision/mobilenet_v3_large", 0.818),
    ("simplebaseline_mobilenetv3", "torchvision/mobilenet_v3_large", 0.818),
    ("el_hrnet_w32", "timm/hrnet_w32", 0.653),
]
CLASSIFIERS = ("fc.", "classifier.", "conv_head.", "incre_modules", "downsamp_modules", "bn2.")


@functools.cache
def state_dict(name):
    random = np.random.default_rng(0)
    return {
        key: np.asarray(random.normal(size=shape), np.float32)
        for key, (shape, _) in KEYS[name].items()
    }


def read(model, arrays, **options):
    shapes = abstract(model, 5, **options)
    task = models.task_name(model)
    source = sources.file_source(pathlib.Path("file.pth"), arrays, task, model, shapes)
    needed = flat(shapes)
    return source, needed, matching.match(needed, source.arrays, {}, [])


def in_torch_layout(path, array):
    """The array as PyTorch has it; the backbones have only 2-D convolutions and vectors."""
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array


@pytest.mark.slow
@pytest.mark.parametrize("model,file,options", WHOLE)
def test_every_array_of_the_backbone_is_taken(model, file, options):
    arrays = state_dict(file)
    source, needed, matched = read(model, arrays, **options)
    assert {p for p in matched.arrays} == {p for p in needed if p.split("/")[1] == "backbone"}
    # Each array of the file is at one place and no other.
    given = {value.tobytes(): key for key, value in arrays.items()}
    used = [given[in_torch_layout(p, a).tobytes()] for p, a in matched.arrays.items()]
    assert len(set(used)) == len(used)
    kinds = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean"}
    for path, key in zip(matched.arrays, used, strict=True):
        assert key.endswith(kinds.get(path.rpartition("/")[2], "running_var")), (path, key)
    rows, share = matching.report(needed, matched, source.arrays, source.unused)
    assert share == 1 and rows[-1][0] == "of the backbone"
    unused = {key for key in source.unused if not key.startswith(CLASSIFIERS)}
    if "hrnet" in file:  # the last module also makes lower resolutions, final_layer classifies
        unused = {k for k in unused if not k.startswith(("stage4.2.fuse_layers", "final_layer."))}
    assert not unused


@pytest.mark.slow
@pytest.mark.parametrize("model,file,expected", PARTS)
def test_parts_of_the_same_shape_are_taken(model, file, expected):
    source, needed, matched = read(model, state_dict(file))
    _, share = matching.report(needed, matched, source.arrays, source.unused)
    assert round(share, 3) == expected
    assert all(path.split("/")[1] == "backbone" for path in matched.arrays)


def test_layers_go_where_they_belong():
    """One layer of every kind, for each table."""
    for table, expected in (
        (
            backbones.torchvision_mobilenet_v2(),
            {
                "features.0.0": "conv1/conv",
                "features.1.conv.0.1": "layer1_0/conv_0/bn",
                "features.1.conv.1": "layer1_0/conv_1/conv",
                "features.3.conv.1.0": "layer2_1/conv_1/conv",
                "features.17.conv.3": "layer7_0/conv_2/bn",
                "features.18.1": "conv2/bn",
            },
        ),
        (
            backbones.timm_mobilenet_v2(),
            {
                "blocks.0.0.conv_pw": "layer1_0/conv_1/conv",
                "blocks.1.1.bn2": "layer2_1/conv_1/bn",
                "blocks.6.0.conv_pwl": "layer7_0/conv_2/conv",
            },
        ),
        (
            backbones.torchvision_mobilenet_v3(),
            {
                "features.1.block.0.0": "layer1/depthwise_conv/conv",
                "features.4.block.2.fc2": "layer4/se/conv2/conv",
                "features.4.block.3.1": "layer4/linear_conv/bn",
                "features.7.block.2.0": "layer7/linear_conv/conv",
            },
        ),
        (
            backbones.timm_mobilenet_v3(),
            {
                "blocks.0.0.conv_pw": "layer1/linear_conv/conv",
                "blocks.2.0.se.conv_reduce": "layer4/se/conv1/conv",
                "blocks.5.2.bn3": "layer15/linear_conv/bn",
                "blocks.6.0.bn1": "conv2/bn",
            },
        ),
        (
            backbones.mmpretrain_mobilenet_v3(),
            {"layer0.conv": "conv1/conv", "backbone.layer16.bn": "conv2/bn"},
        ),
        (
            backbones.torchvision_shufflenet_v2(),
            {
                "stage2.0.branch1.3": "layers0_0/branch1_1/bn",
                "stage3.7.branch2.5": "layers1_7/branch2_2/conv",
                "conv5.0": "layers3/conv",
            },
        ),
        (
            backbones.timm_efficientnet(),
            {
                "blocks.0.0.bn2": "features_1/project/bn",
                "blocks.2.1.se.conv_expand": "features_5/se/conv2/conv",
                "blocks.6.0.conv_pwl": "features_16/project/conv",
            },
        ),
        (
            backbones.torchvision_efficientnet(),
            {
                "features.1.0.block.1.fc1": "features_1/se/conv1/conv",
                "features.2.1.block.3.1": "features_3/project/bn",
            },
        ),
    ):
        for module, path in expected.items():
            assert table[module] == f"backbone/{path}"
