"""Where initial weights come from: files of whole networks and backbones, and the public table."""

import argparse
import functools
import hashlib
import json
import pathlib
import types

import jax
import numpy as np
import pytest

from jaxpose import models, public_skeletons, skeletons, weights
from jaxpose.convert import command, names, sources, to_torch_state_dict
from jaxpose.training import matching
from jaxpose.training.selection import flat
from tests.helpers.checkpoints import abstract, save_torch


def read(model, arrays):
    shapes = abstract(model, 5)
    task = models.task_name(model)
    source = sources.file_source(pathlib.Path("file.pth"), arrays, task, model, shapes)
    needed = flat(shapes)
    return source, needed, matching.match(needed, source.arrays, {}, [])


@pytest.mark.slow
@pytest.mark.parametrize("form", ["{}", "backbone.{}", "module.backbone.{}"])
@pytest.mark.parametrize("model", ["simplebaseline_mobilenetv2", "hwl_mobilenetv3"])
def test_files_of_mmpose_and_mmpretrain_with_and_without_prefixes(model, form):
    shapes = abstract(model, 5)
    random = np.random.default_rng(0)
    variables = jax.tree.map(lambda x: random.normal(size=x.shape).astype(np.float32), shapes)
    own = to_torch_state_dict(model, variables)
    arrays = {
        form.format(k.removeprefix("backbone.")): v for k, v in own.items() if "backbone" in k
    }
    _, needed, matched = read(model, arrays)
    assert len(matched.arrays) == sum("/backbone/" in path for path in needed)
    for path, array in matched.arrays.items():
        np.testing.assert_array_equal(array, flat(variables)[path])


def test_a_whole_file_is_matched_by_the_number_of_its_keypoints():
    model = "simplebaseline_mobilenetv2"
    shapes = abstract(model, 5)
    variables = jax.tree.map(lambda x: np.ones(x.shape, np.float32), shapes)
    own = dict(to_torch_state_dict(model, variables))
    for leaf in ("weight", "bias"):
        key = f"head.final_layer.{leaf}"
        own[key] = np.ones((17, *own[key].shape[1:]), np.float32)
    source, _, _ = read(model, own)
    assert source.joints is not None and source.joints[0] == "nose" and not source.unused
    assert source.note == "keypoints assumed: coco, by their number, 17"
    own["head.final_layer.weight"] = own["head.final_layer.weight"][:3]
    assert read(model, own)[0].joints is None


def test_a_file_of_the_table_is_known_by_its_hash(tmp_path, monkeypatch):
    model = "simplebaseline_mobilenetv2"
    variables = jax.tree.map(lambda x: np.ones(x.shape, np.float32), abstract(model, 14))
    state_dict = to_torch_state_dict(model, variables)
    path = tmp_path / "renamed.pth"
    path.write_bytes(b"weights")
    row = {
        "name": "ours", "model": model, "url": "net.pth", "dataset": "aic", "input": "64x64",
        "sha256": hashlib.sha256(b"weights").hexdigest(),
    }  # fmt: skip
    (tmp_path / "table.json").write_text(json.dumps([row]))
    table = weights.load_table(tmp_path / "table.json")
    read_from = functools.partial(
        sources.file_source, path, state_dict, models.task_name(model), model, abstract(model, 14)
    )
    assert read_from().joints == skeletons.CROWDPOSE.joints
    monkeypatch.setattr(weights, "load_table", lambda: table)
    source = read_from()
    assert source.joints == public_skeletons.AIC.joints
    assert source.note == "keypoints of ours, by the hash of the file"


def test_a_public_file_names_the_options_that_it_needs(monkeypatch):
    model = "simplebaseline_mobilenetv2"
    variables = jax.tree.map(lambda x: np.ones(x.shape, np.float32), abstract(model, 5))
    own = dict(to_torch_state_dict(model, variables))
    assert not read(model, own)[0].options
    monkeypatch.setitem(names.OPTIONS, model, {"public_input": True})
    assert read(model, own)[0].options == {"public_input": True}


@pytest.mark.slow
def test_a_file_of_something_else_is_refused_with_its_keys():
    arrays = {"encoder.weight": np.ones((2, 2)), "encoder.bias": np.ones(2)}
    with pytest.raises(ValueError, match="none of its 2 arrays belongs to hwl.*'encoder.bias'"):
        read("hwl_mobilenetv3", arrays)


@pytest.mark.slow
@pytest.mark.parametrize("more", [0, 2])
def test_a_name_of_the_table_gives_the_whole_network_and_its_keypoints(tmp_path, monkeypatch, more):
    model = "simplebaseline_mobilenetv2"
    random = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda x: random.normal(size=x.shape).astype(np.float32), abstract(model, 17 + more)
    )
    state_dict = to_torch_state_dict(model, variables)
    file = tmp_path / "weights.pth"
    save_torch(state_dict, file)
    row = {
        "model": model, "url": file.name, "dataset": "coco", "input": "256x192",
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }  # fmt: skip
    row |= {"keep_keypoints": 17} if more else {}
    row["options"] = {"bn_axis": None}
    (tmp_path / "table.json").write_text(json.dumps([row]))
    table = weights.load_table(tmp_path / "table.json")
    monkeypatch.setattr(weights, "load_table", lambda: table)
    monkeypatch.chdir(tmp_path)
    source = sources.read_source("simplebaseline_mobilenetv2-coco", "topdown", model, None)
    assert source.joints == skeletons.COCO.joints and source.note == table[0].name
    assert source.options == {"bn_axis": None}
    other = sources.read_source("simplebaseline_mobilenetv2-coco", "topdown", "hrnet_w32", None)
    assert not other.options
    assert source.arrays.keys() == flat(variables).keys()
    for path, array in flat(variables).items():
        kept = array[..., :17] if array.shape[-1] == 17 + more else array
        np.testing.assert_array_equal(source.arrays[path], kept, err_msg=path)


def test_a_backbone_of_the_table_starts_a_network(tmp_path, monkeypatch):
    """A CSPNeXt file with a heatmap head: the backbone is taken, and nothing of the head."""
    model = "rtmpose_t"
    variables = jax.tree.map(lambda x: np.ones(x.shape, np.float32), abstract(model, 17))
    keys = to_torch_state_dict(model, variables)
    arrays = {key: value for key, value in keys.items() if key.startswith("backbone.")}
    arrays |= {"head.final_layer.weight": np.ones((17, 256, 1, 1), np.float32)}
    arrays |= {"head.final_layer.bias": np.ones(17, np.float32)}
    file = tmp_path / "cspnext.pth"
    save_torch({"state_dict": arrays}, file)
    row = {
        "name": "cspnext_t-coco-64x64", "model": model, "part": "backbone", "url": file.name,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "dataset": "coco",
        "input": "64x64",
    }  # fmt: skip
    (tmp_path / "table.json").write_text(json.dumps([row]))
    table = weights.load_table(tmp_path / "table.json")
    monkeypatch.setattr(weights, "load_table", lambda path=None: table)
    monkeypatch.chdir(tmp_path)
    state = types.SimpleNamespace(**abstract(model, 5))
    needed = flat({"params": state.params, "batch_stats": state.batch_stats})
    backbone = {path for path in needed if "/backbone/" in path}
    source = sources.read_source("cspnext_t-coco-64x64", "simcc", model, state)
    assert set(source.arrays) == backbone and source.joints is None
    assert source.note == "cspnext_t-coco-64x64"
    # The same file by its path. The bias of the heatmaps has the right shape, its kernel has not.
    source = sources.file_source(file, arrays, "simcc", model, abstract(model, 17))
    matched = matching.match(flat(abstract(model, 17)), source.arrays, {}, [])
    assert set(matched.arrays) == backbone and source.unused == ("head.final_layer.bias",)
    with pytest.raises(ValueError, match="has only a backbone.*init_from=cspnext_t-coco-64x64"):
        command.import_checkpoint(table[0], None, tmp_path / "run", argparse.Namespace(**EMPTY))


EMPTY = dict.fromkeys(("size", "codec", "sigma", "skeleton")) | {"option": []}
