"""Names of the layers in files of classification backbones, by the network that has the backbone.

A table maps a module of the file, "features.1.conv.0.0", to a module here, "backbone/layer1_0/
conv_0/conv". A layer that is not in the table, such as the classifier, is not used.
torchvision's and timm's ResNet, HRNet's own classification code and timm's HRNet name their modules
as mmpose does, without the prefix `backbone.`; they need no table, nor does mmpretrain except for
MobileNetV3.

Two networks with the same arrays may still differ in operations without arrays, such as padding;
`NOTES` lists these differences.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jaxpose.models import efficientnet, mobilenet_v2, mobilenet_v3, shufflenet_v2

Table = dict[str, str]


def _layer(table: Table, conv: str, norm: str, ours: str) -> None:
    table[conv], table[norm] = f"{ours}/conv", f"{ours}/bn"


def torchvision_mobilenet_v2() -> Table:
    """`features.N`: the stem, the blocks of all stages in one sequence, the last layer."""
    table: Table = {}
    _layer(table, "features.0.0", "features.0.1", "backbone/conv1")
    _layer(table, "features.18.0", "features.18.1", "backbone/conv2")
    for number, (block, expands) in enumerate(_mobilenet_v2_blocks(), 1):
        inner = f"features.{number}.conv"
        last = 2 if expands else 1
        for n in range(last):
            _layer(table, f"{inner}.{n}.0", f"{inner}.{n}.1", f"{block}/conv_{n}")
        _layer(table, f"{inner}.{last}", f"{inner}.{last + 1}", f"{block}/conv_{last}")
    return table


def timm_mobilenet_v2() -> Table:
    """`blocks.STAGE.NUMBER` with conv_pw, conv_dw, conv_pwl; without expansion conv_dw, conv_pw."""
    table: Table = {}
    _layer(table, "conv_stem", "bn1", "backbone/conv1")
    _layer(table, "conv_head", "bn2", "backbone/conv2")
    for block, expands in _mobilenet_v2_blocks():
        layers = [f"conv_{n}" for n in range(3 if expands else 2)]
        _timm_layers(table, _timm_block(block), block, layers)
    return table


def _mobilenet_v2_blocks() -> list[tuple[str, bool]]:
    """(path, whether it expands) of the blocks in order."""
    return [
        (f"backbone/layer{stage}_{number}", expansion != 1)
        for stage, (expansion, _, repeats, _) in enumerate(mobilenet_v2.STAGES, 1)
        for number in range(repeats)
    ]


def _timm_block(path: str) -> str:
    """backbone/layer2_1 -> blocks.1.1."""
    stage, number = path.removeprefix("backbone/layer").split("_")
    return f"blocks.{int(stage) - 1}.{number}"


def _timm_layers(table: Table, theirs: str, ours: str, layers: Sequence[str]) -> None:
    """conv_pw, conv_dw and conv_pwl of a block; without expansion, conv_dw and conv_pw."""
    names = ("conv_pw", "conv_dw", "conv_pwl") if len(layers) == 3 else ("conv_dw", "conv_pw")
    for n, (name, layer) in enumerate(zip(names, layers, strict=True), 1):
        _layer(table, f"{theirs}.{name}", f"{theirs}.bn{n}", f"{ours}/{layer}")


def _timm_se(table: Table, theirs: str, ours: str) -> None:
    for name, layer in (("conv_reduce", "conv1"), ("conv_expand", "conv2")):
        table[f"{theirs}.se.{name}"] = f"{ours}/se/{layer}/conv"


def _torchvision_layers(table: Table, theirs: str, ours: str, layers: Sequence[str]) -> None:
    """The numbered layers of a block; "se" is squeeze-and-excitation."""
    for n, layer in enumerate(layers):
        if layer == "se":
            for fc in (1, 2):
                table[f"{theirs}.{n}.fc{fc}"] = f"{ours}/se/conv{fc}/conv"
        else:
            _layer(table, f"{theirs}.{n}.0", f"{theirs}.{n}.1", f"{ours}/{layer}")


_V3 = ("expand_conv", "depthwise_conv", "linear_conv")


def torchvision_mobilenet_v3() -> Table:
    """`features.N.block`: [expansion], depthwise, [squeeze-and-excitation], projection."""
    table: Table = {}
    _layer(table, "features.0.0", "features.0.1", "backbone/conv1")
    _layer(table, "features.16.0", "features.16.1", "backbone/conv2")
    for number, row in enumerate(mobilenet_v3.TEXTBOOK, 1):
        layers = [*_V3[number == 1 :]]  # the first block has no expansion
        if row.se:
            layers.insert(-1, "se")
        _torchvision_layers(table, f"features.{number}.block", f"backbone/layer{number}", layers)
    return table


# Blocks of the stages in timm's MobileNetV3-large; its seventh stage is the last 1x1 layer.
_V3_STAGES = (1, 2, 3, 4, 2, 3)


def timm_mobilenet_v3() -> Table:
    """`blocks.STAGE.NUMBER`, with conv_pw, conv_dw, se, conv_pwl."""
    table: Table = {}
    _layer(table, "conv_stem", "bn1", "backbone/conv1")
    _layer(table, "blocks.6.0.conv", "blocks.6.0.bn1", "backbone/conv2")
    places = [f"blocks.{s}.{n}" for s, count in enumerate(_V3_STAGES) for n in range(count)]
    for number, theirs in enumerate(places, 1):
        ours = f"backbone/layer{number}"
        _timm_layers(table, theirs, ours, _V3[number == 1 :])
        _timm_se(table, theirs, ours)
    return table


def mmpretrain_mobilenet_v3() -> Table:
    """The stem is `layer0`, the last layer `layer16`; the blocks have mmpose's names."""
    table: Table = {}
    for theirs, ours in (("layer0", "conv1"), ("layer16", "conv2")):
        _layer(table, f"{theirs}.conv", f"{theirs}.bn", f"backbone/{ours}")
    for number in range(1, len(mobilenet_v3.TEXTBOOK) + 1):
        ours = f"layer{number}"
        for name in _V3:
            _layer(table, f"{ours}.{name}.conv", f"{ours}.{name}.bn", f"backbone/{ours}/{name}")
        for fc in ("conv1", "conv2"):
            table[f"{ours}.se.{fc}.conv"] = f"backbone/{ours}/se/{fc}/conv"
    return table | {f"backbone.{theirs}": ours for theirs, ours in table.items()}


def torchvision_shufflenet_v2() -> Table:
    """`stage2` to `stage4`, whose branches are sequences that also count the ReLUs."""
    table: Table = {}
    _layer(table, "conv1.0", "conv1.1", "backbone/conv1")
    _layer(table, "conv5.0", "conv5.1", "backbone/layers3")
    for stage, repeats in enumerate(shufflenet_v2.REPEATS):
        for number in range(repeats):
            theirs, ours = f"stage{stage + 2}.{number}", f"backbone/layers{stage}_{number}"
            for name, starts in (("branch1", (0, 2)), ("branch2", (0, 3, 5))):
                for n, start in enumerate(starts):
                    conv, norm = (f"{theirs}.{name}.{start + offset}" for offset in (0, 1))
                    _layer(table, conv, norm, f"{ours}/{name}_{n}")
    return table


_EFFICIENT = ("expand", "depthwise", "project")


def timm_efficientnet() -> Table:
    """`blocks.STAGE.NUMBER` as in MobileNetV2, with `se`; only for EfficientNet-B0."""
    table: Table = {}
    _layer(table, "conv_stem", "bn1", "backbone/features_0")
    number = 0
    for stage, row in enumerate(efficientnet.B0):
        for repeat in range(row.repeats):
            number += 1
            theirs, ours = f"blocks.{stage}.{repeat}", f"backbone/features_{number}"
            _timm_layers(table, theirs, ours, _EFFICIENT[row.expand == 1 :])
            _timm_se(table, theirs, ours)
    return table


def torchvision_efficientnet() -> Table:
    """`features.STAGE.NUMBER.block`: [expansion], depthwise, squeeze-and-excitation, projection."""
    table: Table = {}
    _layer(table, "features.0.0", "features.0.1", "backbone/features_0")
    number = 0
    for stage, row in enumerate(efficientnet.B0, 1):
        for repeat in range(row.repeats):
            number += 1
            theirs, ours = f"features.{stage}.{repeat}.block", f"backbone/features_{number}"
            layers = [*_EFFICIENT[row.expand == 1 :]]
            layers.insert(-1, "se")
            _torchvision_layers(table, theirs, ours, layers)
    return table


_MOBILENET_V3 = {
    "torchvision's MobileNetV3": torchvision_mobilenet_v3,
    "timm's MobileNetV3": timm_mobilenet_v3,
    "mmpretrain's MobileNetV3": mmpretrain_mobilenet_v3,
}
_EFFICIENTNET = {
    "timm's EfficientNet": timm_efficientnet,
    "torchvision's EfficientNet": torchvision_efficientnet,
}

# Model -> {naming: table}.
TABLES: dict[str, dict[str, Callable[[], Table]]] = {
    "simplebaseline_mobilenetv2": {
        "torchvision's MobileNetV2": torchvision_mobilenet_v2,
        "timm's MobileNetV2": timm_mobilenet_v2,
    },
    "simplebaseline_mobilenetv3": _MOBILENET_V3,
    "hwl_mobilenetv3": _MOBILENET_V3,
    "simplebaseline_shufflenetv2": {"torchvision's ShuffleNetV2": torchvision_shufflenet_v2},
    "efficient_hrnet_h0": _EFFICIENTNET,
}

# Models without public checkpoints of their own, whose layers have the names of another one.
LIKE = {"el_hrnet_w32": "hrnet_w32"}

# Naming -> how the file's network and this one may differ, apart from the arrays; for the log.
NOTES = {
    "torchvision's MobileNetV3": "model_options.backbone=mobilenetv3_large_std of hwl_mobilenetv3 "
    "has all layers of the file and the same eps of batch norm",
    "timm's MobileNetV3": "images are normalized with ImageNet's mean and std here, but with 0.5 "
    "and 0.5 for tf_* weights",
    "timm's EfficientNet": "images are normalized with ImageNet's mean and std here, but with 0.5 "
    "and 0.5 for *_ap weights; padding is that of tf_* weights, and eps of batch norm that of the "
    "other weights",
    "torchvision's EfficientNet": "convolutions of stride 2 are padded on both sides in torchvision"
    ", but as in TensorFlow here",
}
