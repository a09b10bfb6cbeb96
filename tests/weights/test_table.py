"""The public table, and a lab's own."""

import collections
import json
import re

import jax
import numpy as np
import pytest

from jaxpose import models, tasks, weights
from jaxpose.config import defaults
from jaxpose.convert import names
from jaxpose.weights import command
from jaxpose.weights.run_config import COCO_BOXES, run_config

TABLE = weights.load_table()
ROW = {
    "model": "hrnet_w32",
    "url": "net.pth",
    "sha256_prefix": "0123abcd",
    "dataset": "coco",
    "input": "256x192",
}


def test_the_public_table_is_whole():
    assert len(TABLE) == 208
    assert len({c.name for c in TABLE}) == 208
    refused = {c.sha256 for c in TABLE if c.refused}
    assert refused == {
        "", "9c0b77b4", "be2dbba4", "8cc64794", "7cad61ef", "21815b2c",
    }  # fmt: skip
    for c in TABLE:
        assert c.license == "Apache-2.0" and c.page.startswith("open-mmlab/mmpose ")
        project = "mmdetection" if c.dataset == "imagenet" else "mmpose"
        assert c.url.startswith(f"https://download.openmmlab.com/{project}/")
        assert c.sha256 in c.url and (c.scores or c.refused)
        heatmaps = 3.0 if c.input_size == (384, 288) else 2.0
        assert c.part or c.sigma == (None if c.codec == "simcc" else heatmaps)
    assert collections.Counter(c.part for c in TABLE) == {"": 184, "backbone": 24}
    assert sum(c.codec == "simcc" for c in TABLE) == 48


def test_names_are_as_short_as_they_can_be():
    """MODEL-DATASET-HxW, with the codec and the hash's digits only where others share the name."""
    whole = [c for c in TABLE if not c.part]
    base = collections.Counter(c.base_name for c in whole)
    coded = collections.Counter(f"{c.base_name}-{c.codec}" for c in whole)
    for c in whole:
        if base[c.base_name] == 1:
            assert c.name == c.base_name
        elif coded[f"{c.base_name}-{c.codec}"] == 1:
            assert c.name == f"{c.base_name}-{c.codec}"
        else:
            assert c.name == f"{c.base_name}-{c.codec}-{c.sha256}"
    named = {c.name: c for c in TABLE}
    assert named["lite_hrnet_18-coco-256x192"].sha256 == "6bace359"
    assert named["hrnet_w32-mpii-256x256-dark"].scores == {"mean": 0.904, "mean@0.1": 0.354}
    assert "hrnet_w32-coco-256x192-gaussian-81c58e40" in named
    assert named["rtmpose_m-coco-wholebody-256x192"].sha256 == "cd5e845c"
    backbone = named["cspnext_x-imagenet-224x224"]
    assert (backbone.model, backbone.part) == ("rtmpose_x", "backbone")


IMPORTABLE = [c for c in TABLE if not c.refused and not c.part]


@pytest.mark.parametrize("checkpoint", IMPORTABLE, ids=lambda c: c.name)
def test_every_row_makes_complete_settings(checkpoint):
    task = tasks.get(models.task_name(checkpoint.model))
    assert not [side for side in checkpoint.input_size if side % task.INPUT_STEP]
    assert checkpoint.model in names.RENAMES
    skeleton = checkpoint.skeleton or weights_of_unknown(checkpoint)
    config = run_config(
        checkpoint.model, task, checkpoint.input_size, skeleton, options={},
        codec=checkpoint.codec, sigma=checkpoint.sigma, dataset=checkpoint.dataset,
        settings=checkpoint.settings,
    )  # fmt: skip
    config.data.root = "data"
    tasks.validate(config, devices=1, training=False)
    assert config.eval.flip
    on_coco = checkpoint.dataset in ("coco", "aic_coco", "body7")  # scored on its val2017
    if checkpoint.codec != "simcc":
        assert config.sigma == checkpoint.sigma and config.loss.name == "mse"
    if on_coco:
        assert config.data.val_annotations == "annotations/person_keypoints_val2017.json"
    else:  # no file of another dataset
        assert "person_keypoints" not in config.data.val_annotations + config.data.train_annotations
    if checkpoint.dataset in ("humanart", "coco-wholebody", "macaque", "horse10", "h36m"):
        assert config.data.val_annotations == ""
    of_box = checkpoint.dataset in ("aic", "exlpose")  # mmpose's configs: use_area=False
    assert config.eval.area == ("box" if of_box else "annotated")
    if task.EXAMPLE == "crop":
        detected = on_coco or checkpoint.dataset == "coco-wholebody"
        assert config.data.detections == (COCO_BOXES if detected else "")
        own = checkpoint.dataset in ("mpii", "crowdpose")
        assert config.eval.metric == (checkpoint.dataset if own else "coco")
    if task is tasks.get("topdown"):
        assert config.codec == ("udp" if checkpoint.codec == "udp" else "gaussian")
        assert config.eval.decode == ("dark" if checkpoint.codec == "dark" else "quarter")


def weights_of_unknown(checkpoint):
    from jaxpose import public_skeletons

    return public_skeletons.numbered(checkpoint.dataset, 9)


def test_udp_files_of_mmpose_0_at_384_are_decoded_with_their_kernel():
    kernels = {c.sha256: dict(c.settings) for c in TABLE if c.settings}
    assert kernels == {h: {"eval.udp_kernel": 17} for h in ("e97c1a0f", "0f89c63e")}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["simplebaseline_mobilenetv2-coco_wholebody_face-256x256", "lite_hrnet_18-coco-256x192"],
)
def test_the_network_of_a_row_has_its_keypoints(name):
    checkpoint = weights.find(name, TABLE)
    model = models.create_model(checkpoint.model, checkpoint.skeleton.num_joints)
    size = (1, *checkpoint.input_size, 3)
    out = jax.eval_shape(
        lambda: model.init_with_output(jax.random.key(0), np.zeros(size, np.float32), train=False)
    )[0]
    height, width = checkpoint.input_size
    assert out.shape == (1, height // 4, width // 4, checkpoint.skeleton.num_joints)


def test_a_name_may_be_shortened_while_it_is_unique():
    assert weights.find("higher_hrnet_w32-coco-640", TABLE).sha256 == "a22fe938"
    with pytest.raises(ValueError, match=r"is the start of 10 names: .*AP 0\.757.* and 6 more"):
        weights.find("hrnet_w32-coco-256x192", TABLE)
    with pytest.raises(ValueError, match="did you mean 'lite_hrnet_18-coco-256x192'"):
        weights.find("lite_hrnet18-coco-256x192", TABLE)


def write(folder, *rows, **head):
    path = folder / "lab.json"
    path.write_text(json.dumps({"checkpoints": list(rows), **head}))
    return path


def test_a_table_of_ones_own(tmp_path):
    path = write(
        tmp_path,
        ROW,
        ROW | {"url": "https://a.example/net.pth", "codec": "dark", "scores": {"ap": 0.5}},
        ROW | {"name": "ours", "sigma": 3, "license": "MIT", "size": 5_000_000},
        licence="CC-BY-4.0",
    )
    first, second, third = weights.load_table(path)
    assert first.url == (tmp_path / "net.pth").as_uri()
    assert (first.name, second.name, third.name) == (
        "hrnet_w32-coco-256x192-gaussian",
        "hrnet_w32-coco-256x192-dark",
        "ours",
    )
    assert (first.license, third.license) == ("CC-BY-4.0", "MIT")
    assert (second.score, first.score, third.sigma) == ("AP 0.5", "", 3.0)
    text = command.listing([first, second, third])
    assert re.search(r"ours .*17 .*256x192 .*gaussian .*MIT .*5 MB", text)


def test_a_list_of_rows_is_a_table_too(tmp_path):
    path = tmp_path / "lab.json"
    for encoding in ("utf-8", "utf-8-sig"):  # with a byte-order mark
        path.write_text(json.dumps([ROW]), encoding=encoding)
        assert weights.load_table(path)[0].name == "hrnet_w32-coco-256x192"


def test_a_row_with_further_facts_and_without_a_hash(tmp_path):
    facts = {"mmpose": "1.3.2", "also": [{"note": "multi-scale", "ap": 0.7}]}
    path = write(tmp_path, ROW | facts, ROW | {"name": "unknown", "sha256_prefix": None})
    first, second = weights.load_table(path)
    assert (first.mmpose, first.refused) == ("1.3.2", "")
    assert "multi-scale, ap 0.7" in command.describe(first)
    assert second.refused == "the table has no SHA-256 of its file"
    with pytest.raises(weights.DownloadError, match="unknown cannot be imported: .* no SHA-256"):
        weights.fetch(second)


def test_a_skeleton_may_be_written_out(tmp_path):
    skeleton = {"name": "stick", "joints": ["top", "end"], "limbs": [[0, 1]], "sigmas": [0.1, 0.1]}
    path = write(tmp_path, ROW | {"skeleton": skeleton, "dataset": "sticks"})
    assert weights.load_table(path)[0].skeleton.joints == ("top", "end")


@pytest.mark.parametrize(
    "change,message",
    [
        ({"modl": "x"}, "unknown key 'modl'; did you mean 'model'"),
        ({"model": "hrnet_w33"}, "model='hrnet_w33': did you mean 'hrnet_w32'"),
        ({"model": 3}, "model=3 has the wrong type"),
        ({"url": ""}, "url is missing"),
        ({"url": "ftp://a.example/net.pth"}, "must be an http, https or file address"),
        ({"sha256_prefix": "0123"}, "7 to 64 hexadecimal digits"),
        ({"sha256_prefix": "xyzxyzxyz"}, "7 to 64 hexadecimal digits"),
        ({"input": "256"}, "input: size '256' must be HxW"),
        ({"part": "backbones"}, "part='backbones': did you mean 'backbone'"),
        ({"codec": "udb"}, "codec='udb': did you mean 'udp'"),
        ({"sigma": -1}, "sigma=-1 must be greater than 0"),
        ({"sigma": float("nan")}, "sigma=nan must be greater than 0"),
        ({"keep_keypoints": 0}, "keep_keypoints=0 must be greater than 0"),
        ({"skeleton": "cocoo"}, "skeleton='cocoo': did you mean 'coco'"),
        ({"skeleton": {"name": "x"}}, "skeleton: skeleton lacks joints"),
        ({"scores": {"ap": "high"}}, "scores: ap='high' must be a number"),
        ({"name": "hrnet_w32"}, "the name 'hrnet_w32' is already the name of a model"),
    ],
)
def test_an_invalid_row_is_named(tmp_path, change, message):
    path = write(tmp_path, ROW | {"dataset": "mpii"}, ROW | change)
    with pytest.raises(ValueError, match=message) as caught:
        weights.load_table(path)
    assert f"{path}: row 1" in str(caught.value) and "\n" not in str(caught.value)


def test_two_rows_of_one_name(tmp_path):
    with pytest.raises(
        ValueError, match=r"row 1: the name '.*-gaussian-0123abcd' is already used by row 0"
    ):
        weights.load_table(write(tmp_path, ROW, ROW))


@pytest.mark.parametrize(
    "text,message",
    [
        ("{", "not a JSON file"),
        ("3", "needs a list of checkpoints"),
        ('{"checkpoints": []}', "needs a list of checkpoints"),
        ('{"checkpoints": [3]}', "row 0: must be a dict"),
        ('{"checkpoint": []}', "needs a list of checkpoints"),
    ],
)
def test_a_file_that_is_no_table(tmp_path, text, message):
    path = tmp_path / "lab.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        weights.load_table(path)
    with pytest.raises(ValueError, match="no such file"):
        weights.load_table(tmp_path / "other.json")


def test_the_listing_names_what_cannot_be_imported():
    text = command.listing([c for c in TABLE if c.model == "higher_hrnet_w48"])
    assert re.search(r"higher_hrnet_w48-coco-wholebody-512x512 .*133 .*whole-body AP 0\.487", text)
    refused = text.partition("not importable:")[2]
    assert "higher_hrnet_w48-coco-512x512-udp: the UDP codec of bottom-up" in refused


def test_backbones_are_listed_apart():
    chosen = [c for c in TABLE if c.model == "rtmpose_t"]
    whole, _, parts = command.listing(chosen).partition("--config.init_from=NAME:")
    assert "rtmpose_t-coco-256x192" in whole and "cspnext" not in whole
    assert "cspnext_t-imagenet-224x224: backbone of rtmpose_t (top-1 0.6944)" in parts
    row = weights.find("cspnext_t-coco-256x192", TABLE)
    assert "rtmpose_t, only its backbone" in command.describe(row)


def test_settings_of_a_row_are_checked():
    task = tasks.get("topdown")
    make = lambda **settings: run_config(  # noqa: E731
        "hrnet_w32", task, (64, 64), TABLE[0].skeleton, options={}, settings=settings
    )
    assert make(**{"eval.flip": False}).eval.flip is False
    assert defaults(task.SETTINGS)["eval.flip"] is True
    for settings, message in (
        ({"eval.flop": False}, "no setting 'eval.flop'; did you mean 'eval.flip'"),
        ({"eval.flip": "no"}, "eval.flip='no' must be of type bool"),
        ({"sigma": -1.0}, "sigma"),
    ):
        with pytest.raises(ValueError, match=message):
            make(**settings)
