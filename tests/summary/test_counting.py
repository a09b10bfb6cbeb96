"""Exact counts against the numbers of the papers and of an independent counter."""

import argparse

import pytest

import jaxpose
from jaxpose import models, summary
from jaxpose.summary import document
from jaxpose.summary.command import report

# model, (H, W), K, options, parameters, multiply-adds, mmcv's count as printed in 1e9
EXACT = [
    ("hwl_mobilenetv3", (256, 192), 17, {}, 3_077_882, 558_997_088, "0.580"),
    ("hwl_mobilenetv3", (384, 288), 17, {}, 3_077_882, 1_256_114_528, "1.303"),
    ("hwl_mobilenetv3", (256, 256), 16, {}, 3_077_625, 743_846_496, "0.772"),
    ("hwl_mobilenetv3", (256, 192), 17, {"attention": "none"}, 3_044_527, 558_150_240, "0.578"),
    ("hwl_mobilenetv3", (256, 192), 17, {"attention": "se"}, 3_077_615, 558_183_008, "0.579"),
    ("hwl_mobilenetv3", (256, 192), 17, {"attention": "cbam"}, 3_077_394, 558_516_832, "0.580"),
    (
        "hwl_mobilenetv3",
        (256, 192),
        17,
        {"backbone": "mobilenetv3_large_std"},
        3_415_308,
        527_472_512,
        "0.547",
    ),
    ("simplebaseline_mobilenetv2", (256, 192), 17, {}, 9_569_809, 1_565_042_688, "1.587"),
    ("simplebaseline_mobilenetv2", (384, 288), 17, {}, 9_569_809, 3_521_346_048, "3.571"),
    ("simplebaseline_mobilenetv2", (256, 256), 16, {}, 9_569_552, 2_085_675_008, "2.115"),
    ("simplebaseline_mobilenetv3", (256, 192), 17, {}, 8_669_743, 1_450_013_280, "1.466"),
    ("simplebaseline_shufflenetv2", (256, 192), 17, {}, 7_550_965, 1_362_276_480, "1.371"),
    ("simplebaseline_shufflenetv2", (384, 288), 17, {}, 7_550_965, 3_065_122_080, "3.085"),
    ("simplebaseline_shufflenetv2", (256, 256), 16, {}, 7_550_708, 1_815_320_064, "1.827"),
    ("simplebaseline_resnet50", (256, 192), 17, {}, 33_999_697, 5_426_380_800, "5.462"),
    ("simplebaseline_resnet50", (384, 288), 17, {}, 33_999_697, 12_209_356_800, "12.288"),
]


@pytest.mark.slow
@pytest.mark.parametrize("name,size,keypoints,options,params,macs,mmcv", EXACT)
def test_exact_counts(name, size, keypoints, options, params, macs, mmcv):
    result = summary.count(name, size, keypoints, **options)
    assert result.params == params
    assert result.macs == macs
    assert f"{result.mmcv / 1e9:.3f}" == mmcv
    assert sum(stage.params for stage in result.stages) == params
    assert sum(stage.macs for stage in result.stages) == macs


@pytest.mark.slow
@pytest.mark.parametrize("name", jaxpose.list_models())
def test_published_rows_are_reproduced_to_the_printed_digit(name):
    """Every row that differs has a reason."""
    counts = {}
    for row in models.info(name).published:
        case = (row.input_size, row.num_keypoints)
        if case not in counts:
            counts[case] = summary.count(name, *case)
        assert document.agrees(counts[case], row) == (not row.note)


# Rows of the backbone: parameters, multiply-adds in 1e6 at 256x192, output (H, W).
MOBILENET_V3 = {
    "conv1": (464, 5.308, (128, 96)),
    "layer1": (752, 8.061, (128, 96)),
    "layer2": (3_440, 19.071, (64, 48)),
    "layer3": (4_440, 12.607, (64, 48)),
    "layer4": (9_458, 8.905, (32, 24)),
    "layer5": (20_510, 9.684, (32, 24)),
    "layer6": (20_510, 9.684, (32, 24)),
    "layer7": (32_080, 11.474, (16, 12)),
    "layer8": (34_760, 6.490, (16, 12)),
    "layer9": (31_992, 5.970, (16, 12)),
    "layer10": (31_992, 5.970, (16, 12)),
    "layer11": (214_424, 18.639, (16, 12)),
    "layer12": (386_120, 30.288, (16, 12)),
    "layer13": (429_224, 38.546, (16, 12)),
    "layer14": (461_480, 26.837, (8, 6)),
    "layer15": (797_360, 16.358, (8, 6)),
    "conv2": (155_520, 7.373, (8, 6)),
}
MOBILENET_V2 = {
    "conv1": (928, 10.617, (128, 96)),
    "layer1": (896, 9.830, (128, 96)),
    "layer2": (13_968, 53.821, (64, 48)),
    "layer3": (39_696, 36.680, (32, 24)),
    "layer4": (183_872, 37.712, (16, 12)),
    "layer5": (303_168, 56.918, (16, 12)),
    "layer6": (795_264, 45.610, (8, 6)),
    "layer7": (473_920, 22.533, (8, 6)),
    "conv2": (412_160, 19.661, (8, 6)),
}
SHUFFLENET_V2 = {
    "conv1": (696, 7.963, (128, 96)),
    "layers0": (30_192, 25.200, (32, 24)),
    "layers1": (244_180, 53.475, (16, 12)),
    "layers2": (501_352, 31.504, (8, 6)),
    "layers3": (477_184, 22.807, (8, 6)),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name,table",
    [
        ("hwl_mobilenetv3", MOBILENET_V3),
        ("simplebaseline_mobilenetv2", MOBILENET_V2),
        ("simplebaseline_shufflenetv2", SHUFFLENET_V2),
    ],
)
def test_backbone_table(name, table):
    rows = {stage.name: stage for stage in summary.stages(name)}
    for stage, (params, macs, output) in table.items():
        row = rows[f"backbone/{stage}"]
        assert (row.params, round(row.macs / 1e6, 3)) == (params, macs), stage
        assert row.output[:2] == output, stage


@pytest.mark.parametrize(
    "size,macs", [((256, 192), 241_267_296), ((384, 288), 541_263_456), ((256, 256), 321_266_272)]
)
def test_hwl_backbone_and_head(size, macs):
    backbone, head = summary.stages("hwl_mobilenetv3", size, depth=1)
    assert (backbone.params, backbone.macs) == (2_634_526, macs)
    assert head.params == 443_356
    assert size != (256, 192) or round(head.macs / 1e6, 3) == 317.730


def test_hwl_head_table():
    rows = {stage.name: stage for stage in summary.stages("hwl_mobilenetv3", depth=3)}
    expected = {
        "deconv1/depthwise": (15_360, 0.737, (16, 12, 960)),
        "deconv1/bn1": (1_920, 0.0, (16, 12, 960)),
        "deconv1/pointwise": (246_016, 47.186, (16, 12, 256)),
        "deconv2/depthwise": (4_096, 0.786, (32, 24, 256)),
        "deconv2/pointwise": (65_792, 50.332, (32, 24, 256)),
        "deconv3/depthwise": (4_096, 3.146, (64, 48, 256)),
        "deconv3/pointwise": (65_792, 201.327, (64, 48, 256)),
        "attention/se": (33_088, 0.033, (1, 1, 256)),
        "final_layer": (4_369, 13.369, (64, 48, 17)),
    }
    for name, (params, macs, output) in expected.items():
        row = rows[f"head/{name}"]
        assert (row.params, round(row.macs / 1e6, 3), row.output) == (params, macs, output), name


@pytest.mark.parametrize(
    "name,params,macs",
    [
        ("simplebaseline_mobilenetv2", 2_223_872, 293.382),
        ("simplebaseline_shufflenetv2", 1_253_604, 140.948),
        ("simplebaseline_resnet50", 23_508_032, 4_003.725),
    ],
)
def test_baseline_backbones(name, params, macs):
    backbone = summary.stages(name, depth=1)[0]
    assert (backbone.params, round(backbone.macs / 1e6, 3)) == (params, macs)


@pytest.mark.slow
def test_a_built_model_counts_like_its_name():
    model = jaxpose.create_model("hwl_mobilenetv3", num_keypoints=16)
    built, named = summary.count(model, (64, 96)), summary.count("hwl_mobilenetv3", (64, 96), 16)
    assert (built.params, built.macs, built.num_keypoints) == (named.params, named.macs, 16)
    with pytest.raises(ValueError, match="not a built module"):
        summary.count(model, (64, 96), attention="se")


@pytest.mark.slow
def test_report_explains_differences():
    text = report("wlitepose_xs", None, 17, "ptflops")
    assert "FLOPs (ptflops)" in text and "backbone/stage_3" in text
    assert "published: 2.3M params, 1.50 G (ptflops), coco AP 41.1" in text
    assert (
        "here: 1.4M, 0.79 G" in text and "the paper's text does not give its printed size" in text
    )


def test_report_shows_stages_total_and_published():
    text = report("hwl_mobilenetv3", None, 17, "mmcv")
    assert "head/attention" in text and "3,077,882" in text
    assert "3.1M params, 0.58 G (mmcv), coco AP 65.8" in text


def test_default_number_of_keypoints(capsys):
    parser = argparse.ArgumentParser()
    summary.add_arguments(parser)
    assert summary.run(parser.parse_args(["lightweight_openpose"])) == 0
    text = capsys.readouterr().out
    assert "18 keypoints" in text and "4,091,698" in text and "coco AP 42.8" in text
    assert summary.run(parser.parse_args(["hwl_mobilenetv3"])) == 0
    assert "17 keypoints" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words,message",
    [
        (["hwl_mobilenetv2"], "did you mean 'hwl_mobilenetv3'"),
        (
            ["hwl_mobilenetv3", "--convention", "ptflop"],
            "choose from true, mmcv, mmengine, ",
        ),
        (["hwl_mobilenetv3", "--size", "256"], "256x192"),
        (["hwl_mobilenetv3", "--size", "250x190"], "nearest valid size is 256x192"),
    ],
)
def test_bad_arguments_name_the_nearest(words, message):
    parser = argparse.ArgumentParser()
    summary.add_arguments(parser)
    with pytest.raises(ValueError, match=message):
        summary.run(parser.parse_args(words))
