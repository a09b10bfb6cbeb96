"""Checkpoints of EfficientHRNet, Lightweight OpenPose, ViPNAS; keys of Lightweight HRNet."""

import gzip
import json

import jax
import numpy as np
import pytest

from jaxpose import convert
from jaxpose.codecs.part_affinity import Grouping
from jaxpose.convert import command
from tests.helpers import recipe
from tests.helpers.checkpoints import abstract, assert_equal, save_torch


@pytest.fixture(scope="module")
def shapes(golden):
    """Model -> {key: shape} of its public checkpoint."""
    return json.loads(gzip.decompress((golden / "torch_keys_efficient.json.gz").read_bytes()))


def openpose_shapes(stages=1):
    """{key: shape} of Lightweight OpenPose, from its code."""
    keys = {}

    def conv(key, features, channels, kernel=1, bias=False):
        keys[f"{key}.weight"] = [features, channels, kernel, kernel]
        if bias:
            keys[f"{key}.bias"] = [features]

    def norm(key, features):
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            keys[f"{key}.{leaf}"] = [features]
        keys[f"{key}.num_batches_tracked"] = []

    conv("model.0.0", 32, 3, 3)
    norm("model.0.1", 32)
    channels = 32
    for number, features in enumerate((64, 128, 128, 256, 256) + (512,) * 6, 1):
        conv(f"model.{number}.0", channels, 1, 3)
        norm(f"model.{number}.1", channels)
        conv(f"model.{number}.3", features, channels)
        norm(f"model.{number}.4", features)
        channels = features
    conv("cpm.align.0", 128, 512, bias=True)
    for number in range(3):
        conv(f"cpm.trunk.{number}.0", 128, 1, 3)
        conv(f"cpm.trunk.{number}.2", 128, 128)
        conv(f"initial_stage.trunk.{number}.0", 128, 128, 3, bias=True)
    conv("cpm.conv.0", 128, 128, 3, bias=True)
    heads = [("initial_stage", 512)]
    for stage in range(stages):
        heads.append((f"refinement_stages.{stage}", 128))
        for number in range(5):
            block = f"refinement_stages.{stage}.trunk.{number}"
            conv(f"{block}.initial.0", 128, 128 if number else 185, bias=True)
            for layer in (0, 1):
                conv(f"{block}.trunk.{layer}.0", 128, 128, 3, bias=True)
                norm(f"{block}.trunk.{layer}.1", 128)
    for stage, hidden in heads:
        for output, features in (("heatmaps", 19), ("pafs", 38)):
            conv(f"{stage}.{output}.0.0", hidden, 128, bias=True)
            conv(f"{stage}.{output}.1.0", features, hidden, bias=True)
    return keys


def check(name, shapes, keypoints=17):
    state = recipe.state_dict(shapes, 0.5)
    variables = convert.from_torch(name, state, keypoints)
    wanted = abstract(name, keypoints)
    assert jax.tree.structure(variables) == jax.tree.structure(wanted)
    back = convert.to_torch_state_dict(name, variables)
    assert_equal(back, state)
    assert command.count_keypoints(name, state) == keypoints
    return state, variables


@pytest.mark.slow
@pytest.mark.parametrize("name", ["efficient_hrnet_hm4", "vipnas_mobilenetv3"])
def test_every_key_of_the_public_checkpoint_is_placed(name, shapes):
    check(name, shapes[name])


@pytest.mark.slow
def test_lightweight_openpose_takes_one_stage_or_three():
    state, variables = check("lightweight_openpose", openpose_shapes(), 18)
    released = state | recipe.state_dict(openpose_shapes(3), 0.5)
    assert len(released) > len(state)
    again = convert.from_torch("lightweight_openpose", released, 18)
    jax.tree.map(np.testing.assert_array_equal, again, variables)
    three = convert.from_torch("lightweight_openpose", released, 18, refinement_stages=3)
    assert "refinement_stages_2" in three["params"]
    for change, message in (
        ({"refinement_stages.0.trunk.5.initial.0.bias": np.zeros(128)}, "unexpected 'refinement"),
        ({"other.weight": np.zeros(3)}, "unexpected 'other.weight'"),
    ):
        with pytest.raises(ValueError, match=message):
            convert.from_torch("lightweight_openpose", state | change, 18)


@pytest.mark.slow
def test_lightweight_hrnet_has_keys_of_its_own():
    name = "lightweight_hrnet_rm2"
    zeros = jax.tree.map(lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), abstract(name))
    state = convert.to_torch_state_dict(name, zeros)
    for key, shape in (
        ("backbone.stem.0.weight", (16, 3, 3, 3)),
        ("backbone.l1.c12_proj.0.weight", (8, 16, 1, 1)),
        ("backbone.l5.c21.1.running_mean", (80,)),
        ("trans1_branch2.0.bias", (42,)),
        ("trans2_branch4.0.weight", (166, 264, 3, 3)),
        ("stage2.2.fuse_layers.0.3.0.weight", (21, 166, 1, 1)),
        ("deconv_layers.0.0.0.weight", (55, 21, 4, 4)),
        ("final_layers.1.weight", (17, 21, 1, 1)),
    ):
        assert state[key].shape == shape
    assert not any("head" in key for key in state)
    again = convert.from_torch(name, state, cem=False)
    assert jax.tree.structure(again) == jax.tree.structure(shapes)


@pytest.mark.slow
def test_a_missing_key_is_named(shapes):
    name, key = "efficient_hrnet_hm4", "features.1.conv.1.se.3.bias"
    state = {k: np.zeros(shape) for k, shape in shapes[name].items() if k != key}
    with pytest.raises(ValueError, match=f"missing '{key}'"):
        convert.from_torch(name, state)


@pytest.mark.slow
def test_imported_openpose_takes_what_its_weights_were_trained_on(tmp_path):
    import argparse

    state = recipe.state_dict(openpose_shapes(3), 0.5)
    file, folder = tmp_path / "checkpoint.pth", tmp_path / "run"
    save_torch(state, file)
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    words = ["lightweight_openpose", file, "-o", folder, "--option", "refinement_stages=3"]
    assert command.run(parser.parse_args(list(map(str, words)))) == 0

    from jaxpose import runs
    from jaxpose.tasks import part_affinity

    config, model, _, skeleton = runs.load_run(folder)
    assert (config.task, config.sigma, config.eval.metric) == ("part_affinity", 7, "coco")
    assert (skeleton.name, model.num_keypoints, model.refinement_stages) == ("coco", 18, 3)
    assert model.public_input
    assert part_affinity.decoder_from_config(config).grouping == Grouping()
