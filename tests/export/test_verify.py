"""Verification: a file that disagrees is refused and leaves nothing behind."""

import argparse
import logging
import os
import sys
import zipfile
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxpose import export, ops, skeletons
from jaxpose.export import command
from jaxpose.export.targets import Options
from jaxpose.predict import PoseEstimator
from jaxpose.tasks import crops, topdown
from jaxpose.tasks.agreement import tolerance_of
from tests.helpers.networks import Function, source_of, weight

SIZE = (64, 48)
MAPS = (16, 12)


def body(m, x):
    x = ops.conv(x, weight(m, "stem", (4, 4, 3, 8)), stride=4)
    return ops.conv(ops.activation(x, kind="relu"), weight(m, "final", (1, 1, 8, 17)))


def source():
    return source_of(Function(body), "tiny", "topdown", SIZE)


def compared(expected, actual):
    return crops.compare(expected, actual, SIZE, topdown.Decoder(), skeletons.COCO)


def peaks(places, height=1.0):
    """Heatmaps [1,h,w,K] with one smooth peak per keypoint at (x, y)."""
    y, x = np.mgrid[: MAPS[0], : MAPS[1]]
    maps = [height * np.exp(-((x - px) ** 2 + (y - py) ** 2) / 8) for px, py in places]
    return np.stack(maps, -1)[None].astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["onnx", "torch"])
def test_an_agreeing_file_gets_its_name(target, tmp_path):
    pytest.importorskip({"onnx": "onnxruntime", "torch": "torch"}[target])
    path, agreement = command.export_file(source(), target, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert agreement.error <= 1e-4
    assert agreement.distances.largest <= 0.05
    stored = export.read_metadata(path)
    assert skeletons.Skeleton.from_dict(stored["skeleton"]) == skeletons.COCO
    assert stored["box_padding"] == 1.25 and stored["color_order"] == "RGB"
    assert stored["flip"] is True
    assert stored["input_size"] == list(SIZE) and stored["codec"]["name"] == "topdown"


def test_a_disagreeing_file_leaves_nothing(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    original = source()
    wrong = jax.tree.map(lambda a: np.asarray(a) * np.float32(1.01), original.variables)
    to_onnx = export.to_onnx
    monkeypatch.setattr(
        export, "to_onnx", lambda model, _, *rest, **kw: to_onnx(model, wrong, *rest, **kw)
    )
    with pytest.raises(export.MismatchError, match=r"differ by at most \d"):
        command.export_file(original, "onnx", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_an_ncnn_network_gets_its_names(precision, tmp_path):
    pytest.importorskip("ncnn")
    path, agreement = command.export_file(source(), "ncnn", tmp_path, None, Options(precision))
    assert path.name == {"fp32": "tiny_64x48.param", "fp16": "tiny_64x48_fp16.param"}[precision]
    names = {path.with_suffix(suffix).name for suffix in (".param", ".bin", ".json")}
    assert {file.name for file in tmp_path.iterdir()} == names
    assert agreement.holds and agreement.tolerance == tolerance_of(precision, trained=False)
    assert (agreement.error <= 1e-4) == (precision == "fp32")
    assert export.read_metadata(path) == source().metadata() | {"precision": precision}
    assert PoseEstimator(path)(np.zeros((90, 70, 3), np.uint8)).keypoints.shape == (1, 17, 2)


def test_a_disagreeing_ncnn_network_leaves_nothing(tmp_path, monkeypatch):
    pytest.importorskip("ncnn")
    original = source()
    wrong = jax.tree.map(lambda a: np.asarray(a) * np.float32(1.2), original.variables)
    to_ncnn = export.to_ncnn
    monkeypatch.setattr(
        export, "to_ncnn", lambda model, _, *rest, **kw: to_ncnn(model, wrong, *rest, **kw)
    )
    with pytest.raises(export.MismatchError, match="tolerances are 0.1 of the largest value$"):
        command.export_file(original, "ncnn", tmp_path, None, Options("fp16"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("older", [True, False])
@pytest.mark.parametrize("failing", [".param", ".bin", ".json"])
def test_all_files_of_a_network_are_renamed_or_none(failing, older, tmp_path, monkeypatch):
    path = tmp_path / "m.param"
    files = [path.with_suffix(suffix) for suffix in (".param", ".bin", ".json")]
    if older:
        for file in files:
            file.write_text(f"old {file.name}")

    def write(unfinished):
        for suffix in (".param", ".bin", ".json"):
            unfinished.with_suffix(suffix).write_text("new")

    replace = os.replace

    def refuse(source, target):
        if target == path.with_suffix(failing) and Path(source).read_text() == "new":
            raise OSError("no space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="no space"):
        export.write_verified(write, lambda file: None, path)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == (
        {file.name: f"old {file.name}" for file in files} if older else {}
    )
    monkeypatch.undo()
    export.write_verified(write, lambda file: None, path)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {
        file.name: "new" for file in files
    }


def test_an_older_file_stays_when_the_new_one_disagrees(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_text("old")

    def check(_):
        raise export.MismatchError("no")

    with pytest.raises(export.MismatchError):
        export.write_verified(lambda p: p.write_text("new"), check, path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_moved_peak_is_measured_in_input_pixels():
    left = peaks([(4, 5), (8, 9)])
    right = peaks([(4, 5), (7, 9)])
    agreement = compared(left, right)
    distances = agreement.distances  # one keypoint moved by one heatmap cell
    assert distances.largest == distances.p99 == pytest.approx(4, abs=1e-3)
    assert distances.median == pytest.approx(0, abs=1e-3)
    assert distances.mean == pytest.approx(2, abs=1e-3)
    assert (distances.moved, distances.keypoints, agreement.images) == (0.5, 2, 1)


def test_ties_are_counted_not_compared():
    left = peaks([(4, 5)])
    left[0, 5, 9, 0] = left[0, 5, 4, 0]
    right = left.copy()
    right[0, 5, 9, 0] += 1e-6
    agreement = compared(left, right)
    assert agreement.ties == 1 and agreement.distances.keypoints == 0


def test_udp_leaves_out_positions_that_rounding_moves():
    """UDP divides by the curvature, which is near 0 on a map that is nearly flat."""

    def compared(expected, actual):
        return crops.compare(expected, actual, SIZE, topdown.Decoder(udp=True), skeletons.COCO)

    left = peaks([(4, 5), (8, 9)])
    rows, columns = np.mgrid[: MAPS[0], : MAPS[1]]
    left[0, ..., 1] = 0.5 + 1e-3 * ((columns == 6) & (rows == 8))
    right = left + 1e-5 * np.random.default_rng(0).choice((-1, 1), left.shape).astype(np.float32)
    agreement = compared(left, right)
    assert agreement.holds and (agreement.distances.keypoints, agreement.ties) == (1, 1)
    moved = compared(peaks([(4, 5), (8, 9)]), peaks([(4, 5), (8.1, 9)]))
    assert moved.ties == 0
    assert moved.distances.largest == pytest.approx(0.1 * 48 / 11, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["onnx", "torch"])
def test_a_random_network_with_udp_agrees_with_its_file(target, tmp_path):
    pytest.importorskip({"onnx": "onnxruntime", "torch": "torch"}[target])
    network = source_of(Function(body), "tiny", "topdown", SIZE, {"codec": "udp"})
    path, agreement = command.export_file(network, target, tmp_path)
    assert agreement.holds and agreement.distances.keypoints > 0
    stored = export.read_metadata(path)["codec"]
    assert stored == {
        "name": "topdown", "targets": "udp", "decode": "udp", "sigma": 2.0, "flip_shift": False,
        "kernel": 11,
    }  # fmt: skip
    assert topdown.decoder_from_metadata({"codec": stored}) == network.decoder


def test_nan_is_a_disagreement(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    original = source()
    broken = jax.tree.map(lambda a: np.full_like(a, np.nan), original.variables)
    path = tmp_path / "m.onnx"
    export.to_onnx(original.model, broken, SIZE, path, metadata=original.metadata())
    with pytest.raises(export.MismatchError):
        export.verify(
            original.model, original.variables, path, SIZE, original.task, original.decoder
        )


def test_one_result_of_the_model_serves_several_files(tmp_path):
    pytest.importorskip("onnxruntime")
    original, (sound, broken) = source(), (tmp_path / "sound.onnx", tmp_path / "broken.onnx")
    wrong = jax.tree.map(lambda a: np.asarray(a) * np.float32(1.01), original.variables)
    for path, variables in ((sound, original.variables), (broken, wrong)):
        export.to_onnx(original.model, variables, SIZE, path, metadata=original.metadata())
    expected = original.expected_outputs()
    agreement = export.verify(
        original.model, original.variables, sound, SIZE, original.task, original.decoder
    )
    assert expected.verify(sound) == expected.compare(sound) == agreement and agreement.holds
    beyond = expected.compare(broken)
    assert not beyond.holds and beyond.error == pytest.approx(1.01**2 - 1, rel=1e-3)
    with pytest.raises(export.MismatchError, match="broken.onnx: the file does not agree"):
        expected.verify(broken)


@pytest.mark.parametrize("images", [np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, *SIZE, 3))])
def test_images_of_another_type_or_size_are_refused(images):
    with pytest.raises(ValueError, match=r"must be uint8 \[N, 64, 48, 3\], got "):
        source().expected_outputs(images)


def test_foreign_and_absent_files(tmp_path):
    onnx = pytest.importorskip("onnx")
    with pytest.raises(FileNotFoundError, match="absent.onnx"):
        export.run_file(tmp_path / "absent.onnx")
    with pytest.raises(ValueError, match=".pt2"):
        export.run_file(tmp_path / "model.h5")
    helper, foreign = onnx.helper, tmp_path / "foreign.onnx"
    values = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    for content, message in ((nodes, "not written by"), ([], "cannot be read: ")):
        graph = helper.make_graph(content, "g", values[:1], values[1:])
        opset = helper.make_opsetid("", 18)
        onnx.save(helper.make_model(graph, ir_version=10, opset_imports=[opset]), foreign)
        with pytest.raises(ValueError, match=f"foreign.onnx: {message}") as error:
            export.read_metadata(foreign)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("kept", [0.5, 0.99])
def test_truncated_files_are_one_line(tmp_path, kept):
    pytest.importorskip("onnx")
    original = source()
    path = tmp_path / "m.onnx"
    export.to_onnx(original.model, original.variables, SIZE, path, metadata=original.metadata())
    assert_unreadable(path, path.read_bytes(), kept, export.read_metadata, export.run_file)


@pytest.mark.parametrize("kept", [0.5, 0.99])
def test_truncated_torch_files_are_one_line(tmp_path, kept, caplog):
    pytest.importorskip("torch")
    original = source()
    path = tmp_path / "m.pt2"
    module = export.to_torch(original.model, original.variables, SIZE)
    export.save_torch(module, SIZE, path, metadata=original.metadata())
    assert_unreadable(path, path.read_bytes(), kept, export.read_metadata, export.run_file)
    logged = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert not logged  # torch would log the whole traceback
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other.txt", "")
    with pytest.raises(ValueError, match="m.pt2: cannot be read: "):
        export.read_metadata(path)


def assert_unreadable(path, data, kept, *readers):
    path.write_bytes(data[: int(kept * len(data))])
    for read in readers:
        with pytest.raises(ValueError, match=f"{path.name}: cannot be read: ") as error:
            read(path)
        assert "\n" not in str(error.value)


def arguments(*words):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize(
    "words, message",
    [
        (("hwl_mobilenetv3", "--init", "random", "--to", "onx"), "did you mean 'onnx'"),
        (("hwl_mobilenetv3", "--init", "random", "--to", "tflite"), "onnx, torch"),
        (("hwl_mobilenetv3", "--init", "random", "--precision", "int8"), "fp32"),
        (
            ("hwl_mobilenetv3", "--init", "random", "--precision", "int8-dynamic"),
            "precision of onnx 'int8-dynamic'",
        ),
        (("hwl_mobilenetv3", "--init", "random", "--batch", "0"), "at least 1 image"),
        (("hwl_mobilenetv3", "--init", "random", "--batch", "1", "--to", "torch"), "add onnx"),
        (("hwl_mobilenetv3", "--init", "random", "--vulkan", "--to", "onnx"), "add ncnn"),
        (("hwl_mobilenetv3", "--init", "random", "--size", "x"), "HxW"),
        (("nowhere",), "nowhere"),
    ],
)
def test_the_command_refuses_in_one_line(words, message):
    with pytest.raises(ValueError, match=message) as error:
        command.run(arguments(*words))
    assert "\n" not in str(error.value)


def test_a_missing_runtime_is_named_before_the_export(monkeypatch):
    monkeypatch.setitem(sys.modules, "ncnn", None)
    words = ("hwl_mobilenetv3", "--init", "random", "--to", "ncnn")
    with pytest.raises(ImportError, match="^ncnn is not installed: pip install ncnn$"):
        command.run(arguments(*words))


def test_images_are_cropped_like_people(tmp_path):
    cv2 = pytest.importorskip("cv2")
    file = tmp_path / "p.png"
    cv2.imwrite(str(file), np.full((50, 30, 3), 90, np.uint8))
    crops = command._verification_images([file], source())
    assert crops.shape[1:] == (*SIZE, 3) and crops.dtype == np.uint8
    assert (crops[0, SIZE[0] // 2, SIZE[1] // 2] == 90).all()
    file.write_bytes(b"no image")
    with pytest.raises(ValueError, match="p.png"):
        command._verification_images([file], source())


def test_a_calibrated_file_is_not_verified_on_synthetic_images(tmp_path):
    """Values beyond the calibrated ranges are cut off, so that a sound file would be refused."""
    cv2 = pytest.importorskip("cv2")
    calibration = np.full((40, *SIZE, 3), 7, np.uint8)
    assert command._verification_images([], source()) is None
    alone = command._verification_images([], source(), calibration)
    assert np.array_equal(alone, calibration[: command.VALIDATION])
    file = tmp_path / "p.png"
    cv2.imwrite(str(file), np.full((50, 30, 3), 90, np.uint8))
    assert len(command._verification_images([file], source())) == 1 + 4
    assert len(command._verification_images([file], source(), calibration)) == 1
