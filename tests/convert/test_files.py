"""Weights in files as training programs write them: wrappers, prefixes, averages, damage."""

import argparse
import json
import os
import pathlib
import struct
import zipfile

import ml_dtypes
import numpy as np
import pytest

from jaxpose.convert import names
from jaxpose.convert.files import read_state_dict
from tests.helpers.checkpoints import assert_equal, save_torch

KEYS = ("backbone.conv1.weight", "backbone.bn1.running_mean", "head.final_layer.weight")
WEIGHTS = {key: np.full((2, 3), number, np.float32) for number, key in enumerate(KEYS)}
AVERAGE = {key: value + 0.5 for key, value in WEIGHTS.items()}


@pytest.fixture
def save(tmp_path):
    """Writes a dict with numpy arrays as a PyTorch file with tensors."""
    pytest.importorskip("torch")

    def write(content, name="weights.pth", **options):
        save_torch(content, tmp_path / name, **options)
        return tmp_path / name

    return write


def prefixed(weights, prefix):
    return {prefix + key: value for key, value in weights.items()}


def copies(weights):
    return {"ema_" + key.replace(".", "_"): value for key, value in weights.items()}


LUCIDRAINS = (
    prefixed(AVERAGE, "ema_model.")
    | prefixed(WEIGHTS, "online_model.")
    | {"initted": np.array([True]), "step": np.array([7])}
)


@pytest.mark.parametrize(
    "content",
    [
        WEIGHTS,
        *({name: WEIGHTS, "epoch": 3} for name in ("state_dict", "model", "network", "net")),
        *({name: WEIGHTS, "lr": 0.1} for name in ("model_state_dict", "params", "ema")),
        {"checkpoint": {"model": WEIGHTS}, "meta": {"epoch": 3, "name": "x"}},
        {"state_dict": prefixed(WEIGHTS, "module.")},
        {"state_dict": prefixed(WEIGHTS, "module.model.net.")},
        {"state_dict": prefixed(WEIGHTS, "1.")},
        {"state_dict": prefixed(WEIGHTS, "_orig_mod.")},
        {"model": prefixed(WEIGHTS, "module.") | {"n_averaged": np.array(7)}},
        {"model": WEIGHTS, "optimizer": {"state": {str(i): np.ones(3) for i in range(9)}}},
        {"state_dict": WEIGHTS | copies(AVERAGE)},
        {"state_dict": WEIGHTS, "ema_state_dict": prefixed(AVERAGE, "module.")},
        {"model": WEIGHTS, "model_ema": AVERAGE},
        {"state_dict": WEIGHTS, "best": np.float64(0.7), "classes": np.int64(3)},
        {"state_dict": WEIGHTS, "args": argparse.Namespace(lr=1), "folder": pathlib.Path("x")},
        {"state_dict": WEIGHTS, "ap": {"coco": [np.float32(0.5), None, True]}},
        {"model": prefixed(WEIGHTS, "module."), "swa": {"n": np.array(7)} | AVERAGE},
        {"model": WEIGHTS, "discriminator": AVERAGE | {"more.weight": np.ones((2, 2))}},
        {"state_dict": prefixed(WEIGHTS, "model.") | {"criterion.w": np.ones(3)}},
        {"state_dict": prefixed(WEIGHTS, "model.") | prefixed(AVERAGE, "model_ema.")},
        {"model": WEIGHTS, "ema": LUCIDRAINS},
    ],
)
def test_the_weights_are_found(save, content):
    assert_equal(read_state_dict(save(content)), WEIGHTS)


@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": WEIGHTS | copies(AVERAGE)},
        {"state_dict": prefixed(WEIGHTS | copies(AVERAGE), "model.")},
        {"model": WEIGHTS, "model_ema": AVERAGE},
        {"state_dict": WEIGHTS, "ema": {"module": AVERAGE, "updates": 7}},
        {"ema": AVERAGE},
        {"ema": AVERAGE, "step": np.array(7)},
        {"state_dict": prefixed(WEIGHTS, "model.") | prefixed(AVERAGE, "model_ema.")},
        {"state_dict": prefixed(WEIGHTS, "model.") | prefixed(AVERAGE, "ema.module.")},
        {"model": WEIGHTS, "ema": LUCIDRAINS},
        {"model": WEIGHTS, "ema": {k: v for k, v in LUCIDRAINS.items() if k[:6] != "online"}},
        {"ema": LUCIDRAINS},
    ],
)
def test_the_moving_average_is_taken_when_asked_for(save, content):
    if "state_dict" in content and any(k.startswith("model.") for k in content["state_dict"]):
        plain = prefixed(WEIGHTS, "model.")
        content = {"state_dict": plain | copies(prefixed(AVERAGE, "model."))}
    assert_equal(read_state_dict(save(content), ema=True), AVERAGE)


def test_what_has_no_average_comes_from_the_weights_beside_it(save):
    mean = KEYS[1]
    partial = {key: value for key, value in AVERAGE.items() if key != mean}
    file = save({"state_dict": WEIGHTS | copies(partial)})
    assert_equal(read_state_dict(file, ema=True), partial | {mean: WEIGHTS[mean]})


def test_without_an_average_one_line_says_so(save):
    with pytest.raises(ValueError, match=r"no moving average .*omit --ema; it has state_dict"):
        read_state_dict(save({"state_dict": WEIGHTS}), ema=True)


def test_an_average_that_lacks_a_parameter_is_refused(save):
    other = {f"other.{key}": value for key, value in AVERAGE.items()} | {KEYS[0]: AVERAGE[KEYS[0]]}
    with pytest.raises(ValueError, match=r"lacks 1 of the 3 arrays .*'head.final_layer.weight'"):
        read_state_dict(save({"model": WEIGHTS, "ema": other}), ema=True)


def test_mmengine_and_mmcv_store_the_average_under_the_normal_names(save, capsys):
    swapped = {"state_dict": AVERAGE, "ema_state_dict": prefixed(WEIGHTS, "module.")}
    file = save(swapped | {"message_hub": {"log_scalars": {}}})
    assert_equal(read_state_dict(file), AVERAGE)
    with pytest.raises(ValueError, match="MMEngine stores the moving average as state_dict"):
        read_state_dict(file, ema=True)
    file = save({"state_dict": AVERAGE | copies(WEIGHTS)})
    assert_equal(read_state_dict(file), AVERAGE)
    assert capsys.readouterr().err == ""
    assert_equal(read_state_dict(file, ema=True), WEIGHTS)
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("part", ["ema.conv.weight", "model.0.weight"])
def test_a_module_of_the_network_may_be_called_like_a_wrapper(save, part):
    weights = WEIGHTS | {part: np.ones((2, 2), np.float32)}
    assert_equal(read_state_dict(save({"state_dict": weights})), weights)


def test_a_backbone_keeps_its_prefix(save):
    backbone = {key: value for key, value in WEIGHTS.items() if key.startswith("backbone.")}
    assert_equal(read_state_dict(save({"model": prefixed(backbone, "module.")})), backbone)


def test_half_precision_becomes_float32(save):
    torch = pytest.importorskip("torch")
    halves = {key: torch.tensor(value).to(torch.bfloat16) for key, value in WEIGHTS.items()}
    assert read_state_dict(save(halves))[KEYS[0]].dtype == np.float32
    assert_equal(read_state_dict(save(halves)), WEIGHTS)


def test_files_of_old_pytorch_versions(save):
    content = {"state_dict": WEIGHTS, "args": argparse.Namespace(lr=1), "best": np.float64(0.7)}
    assert_equal(read_state_dict(save(content, _use_new_zipfile_serialization=False)), WEIGHTS)


@pytest.mark.parametrize(
    "content,message",
    [
        ({}, "contains no weights: it is an empty dict"),
        ([1, 2], "contains no weights: it is a list"),
        (np.zeros(3), "contains no weights: it is a single array"),
        ({"epoch": 3, "optimizer": {"a": np.ones(3)}}, r"it has epoch \(int\), optimizer \(dict"),
        ({"student": WEIGHTS, "teacher": AVERAGE}, "several sets of weights, 'student' and"),
        (
            WEIGHTS | {KEYS[1]: np.array([1, np.nan]), KEYS[2]: np.array([np.inf])},
            "'backbone.bn1.running_mean' and 1 more has values that are not finite",
        ),
    ],
)
def test_content_that_is_not_the_weights_of_a_network(save, content, message):
    file = save(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_state_dict(file)
    assert str(caught.value).startswith(f"{file}: ") and "\n" not in str(caught.value)


class Harmful:
    def __reduce__(self):
        return os.system, ("touch " + str(self.file),)


def test_code_in_a_file_is_never_executed(save, tmp_path):
    harmful = Harmful()
    harmful.file = tmp_path / "executed"
    for legacy in (False, True):
        file = save(
            {"state_dict": WEIGHTS, "hook": harmful}, _use_new_zipfile_serialization=not legacy
        )
        with pytest.raises(ValueError, match=r"loading it would call (posix|nt)\.system"):
            read_state_dict(file)
    assert not harmful.file.exists()


class Counted(dict):
    pass


class Harmless:
    def __init__(self):
        self.name = "x"


def test_objects_of_unknown_classes_are_passed_over(save):
    content = {"state_dict": WEIGHTS, "log": Counted(a=1, b=2), "more": [Counted(), Harmless()]}
    assert_equal(read_state_dict(save(content)), WEIGHTS)
    with pytest.raises(ValueError, match=r"contains no weights: it has hook \(object\)"):
        read_state_dict(save({"hook": Harmless()}))


@pytest.mark.parametrize(
    "content,message",
    [
        (b"", "empty, not a PyTorch checkpoint"),
        (b"not a checkpoint", "damaged"),
        (b"<!DOCTYPE html><html>Not found</html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a Git LFS pointer"),
        (None, "no such file"),
    ],
)
def test_a_file_that_is_not_a_checkpoint(tmp_path, content, message):
    pytest.importorskip("torch")
    file = tmp_path / "weights.pth"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_state_dict(file)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_that_was_cut_off(save, legacy):
    file = save({"state_dict": WEIGHTS}, _use_new_zipfile_serialization=not legacy)
    data = file.read_bytes()
    for length in (len(data) // 3, len(data) - 20):
        file.write_bytes(data[:length])
        with pytest.raises(ValueError, match="damaged") as caught:
            read_state_dict(file)
        assert len(str(caught.value).splitlines()) == 1


def test_a_zip_file_of_something_else(tmp_path):
    pytest.importorskip("torch")
    with zipfile.ZipFile(tmp_path / "weights.pth", "w") as archive:
        archive.writestr("photo.txt", "x")
    with pytest.raises(ValueError, match="not a PyTorch checkpoint"):
        read_state_dict(tmp_path / "weights.pth")


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pytorch_file_may_have_the_ending_of_the_other_format(save, legacy):
    options = {"_use_new_zipfile_serialization": not legacy}
    assert_equal(read_state_dict(save(WEIGHTS, "model.safetensors", **options)), WEIGHTS)


def write_safetensors(path, weights):
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for key, (kind, value) in weights.items():
        offsets = [len(data), len(data) + value.nbytes]
        header[key] = {"dtype": kind, "shape": list(value.shape), "data_offsets": offsets}
        data += value.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def test_safetensors(tmp_path):
    file = tmp_path / "model.safetensors"
    types = (("F32", np.float32), ("BF16", ml_dtypes.bfloat16), ("F16", np.float16))
    write_safetensors(
        file,
        {
            "model." + key: (kind, WEIGHTS[key].astype(dtype))
            for key, (kind, dtype) in zip(KEYS, types, strict=True)
        },
    )
    assert_equal(read_state_dict(file), WEIGHTS)
    assert {value.dtype for value in read_state_dict(file).values()} == {np.dtype(np.float32)}
    data = file.read_bytes()
    for name in ("model.bin", "model.pth", "MODEL.SAFETENSORS"):
        (tmp_path / name).write_bytes(data)
        assert_equal(read_state_dict(tmp_path / name), WEIGHTS)
    for damaged in (data[:-3], data[:5], b"\xff" * 20, b"\x02" + 7 * b"\0" + b"[]"):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match="not a safetensors file, or damaged"):
            read_state_dict(file)


@pytest.mark.parametrize(
    "name,key,expected",
    [
        ("simplebaseline_resnet50", "layer1.0.conv1.weight", "backbone.layer1.0.conv1.weight"),
        ("simplebaseline_resnet50", "bn1.running_var", "backbone.bn1.running_var"),
        ("simplebaseline_resnet50", "deconv_layers.0.weight", "head.deconv_layers.0.weight"),
        ("simplebaseline_resnet50", "final_layer.bias", "head.final_layer.bias"),
        ("vipnas_mobilenetv3", "keypoint_head.final_layer.bias", "head.final_layer.bias"),
        ("lite_hrnet_18", "backbone.head_layer.0.weight", "backbone.head_layer.0.weight"),
        (
            "hrnet_w32",
            "backbone.stage4.2.fuse_layers.0.3.1.bias",
            "stage4.2.fuse_layers.0.3.1.bias",
        ),
        ("hrnet_w32", "final_layer.bias", "final_layer.bias"),
        ("higher_hrnet_w32", "keypoint_head.final_layers.1.bias", "final_layers.1.bias"),
        ("litepose_s", "first.0.0.weight", "first.0.0.weight"),
        ("efficient_hrnet_hm4", "features.0.1.weight", "features.0.1.weight"),
        ("lightweight_openpose", "model.0.0.weight", "model.0.0.weight"),
    ],
)
def test_keys_of_the_authors_and_of_mmpose(name, key, expected):
    assert names.canonical(name, key) == expected
    assert names.canonical(name, "module." + key) == expected
