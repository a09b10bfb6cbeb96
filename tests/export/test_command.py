"""`jaxpose export` on a run folder, up to a file that the rest of the library can use."""

import argparse
import errno
import importlib
import json
import os
import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import jaxpose
from configs import common
from jaxpose import cli, export, ops, runs, runtimes, skeletons
from jaxpose.export import command
from jaxpose.export.targets import TARGETS, Options
from tests.helpers import seeing
from tests.helpers.networks import Function, images, initialized, run_jax, source_of, weight


@pytest.mark.slow
def test_a_run_folder_becomes_files(tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("torch")
    config = common.get_config()
    config.input_size = (64, 32)
    config.eval.decode = "dark"
    model = jaxpose.create_model("hwl_mobilenetv3", 16)
    variables = initialized(model, (64, 32))
    run = tmp_path / "run"
    runs.write_run(run, config.to_dict(), skeletons.MPII, variables)

    assert cli.main(["export", str(run), "--to", "onnx,torch"]) == 0
    printed = capsys.readouterr().out
    header, *lines = printed.splitlines()
    columns = "file|KB|% of fp32|precision|largest error %|mean error %|median px|p99 px|max px"
    assert re.split(" {2,}", header) == [*columns.split("|"), ">1 px %", "keypoints", "ties"]
    rows, notes = [re.split(" {2,}", line) for line in lines[:2]], lines[2:]
    assert [row[0] for row in rows] == [
        str(run / "export" / f"hwl_mobilenetv3_64x32{suffix}") for suffix in (".onnx", ".pt2")
    ]
    for _, size, share, precision, *numbers in rows:
        assert int(size) > 0 and (share, precision) == ("100.0", "fp32")
        largest, mean, median, p99, most, moved, keypoints, ties = map(float, numbers)
        assert mean <= largest <= 0.01 and median <= p99 <= most <= 0.05 and moved == 0
        assert keypoints > 0 and keypoints + ties == 4 * 16
    assert notes[0].startswith("error: difference of the outputs from those of the model")
    assert notes[0].endswith("distance of the keypoints from those of the model, 4 images")
    x = images((64, 32))
    expected = run_jax(model, variables, x)
    for suffix in (".onnx", ".pt2"):
        path = run / "export" / f"hwl_mobilenetv3_64x32{suffix}"
        np.testing.assert_allclose(export.run_file(path)(x), expected, atol=1e-4)
        metadata = export.read_metadata(path)
        assert metadata["codec"]["decode"] == "dark" and metadata["num_keypoints"] == 16
        assert skeletons.Skeleton.from_dict(metadata["skeleton"]) == skeletons.MPII


def test_files_of_one_checkpoint_go_beside_the_checkpoints(tmp_path):
    pytest.importorskip("onnxruntime")
    run = seeing.write_runs(tmp_path)[0]
    checkpoint = run / "checkpoints" / "0"
    before = set(checkpoint.iterdir())
    assert cli.main(["export", str(checkpoint)]) == 0
    assert (run / "export" / "Looker_32x128.onnx").is_file()
    assert set(checkpoint.iterdir()) == before


def test_a_file_with_a_fixed_batch_takes_any_number_of_images(tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    run = seeing.write_runs(tmp_path)[0]
    assert cli.main(["export", str(run)]) == 0
    assert cli.main(["export", str(run), "--batch", "2"]) == 0
    files = [run / "export" / f"Looker_32x128{end}.onnx" for end in ("", "_batch2")]
    shapes = [onnx.load(file).graph.input[0].type.tensor_type.shape.dim for file in files]
    assert [shape[0].dim_param or shape[0].dim_value for shape in shapes] == ["batch", 2]
    x = images((32, 128), batch=5)
    np.testing.assert_allclose(*(export.run_file(file)(x) for file in files), rtol=1e-6)


def test_the_model_runs_once_for_all_files(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("ncnn")
    batches, devices = [], []
    avg_pool, verify = ops.avg_pool, importlib.import_module("jaxpose.export.verify")
    run_file = verify.run_file

    def pool(x, **options):
        batches.append(x.shape[0])
        return avg_pool(x, **options)

    def run(path, *, vulkan):
        devices.append(vulkan)
        return run_file(path)

    monkeypatch.setattr(ops, "avg_pool", pool)  # the network calls it whenever it is traced
    monkeypatch.setattr(verify, "run_file", run)
    folder = seeing.write_runs(tmp_path)[0]
    batches.clear()
    assert cli.main(["export", str(folder), "--to", "onnx,ncnn", "--vulkan"]) == 0
    assert devices == [False, False, True]
    assert batches.count(4) == 1  # synthetic images; the exporter traces with one image


def test_a_wrong_size_is_one_line(capsys):
    words = ["export", "hwl_mobilenetv3", "--init", "random", "--size", "60x64"]
    assert cli.main(words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "64x64" in error


# --- the table -----------------------------------------------------------------------------------


def test_the_table_as_json_and_beside_a_float32_file(tmp_path, capsys):
    pytest.importorskip("ncnn")
    run, document = seeing.write_runs(tmp_path)[0], tmp_path / "table.json"
    words = ["export", str(run), "--to", "ncnn", "--json", str(document)]
    assert cli.main([*words, "--precision", "fp16"]) == 0
    (row,) = json.loads(document.read_text())["rows"]
    assert row["share_of_fp32"] is None  # there is no float32 file to compare with
    assert cli.main(words) == 0
    assert cli.main([*words, "--precision", "fp16"]) == 0
    stored = json.loads(document.read_text())
    (row,) = stored["rows"]
    small, large = (run / "export" / f"Looker_32x128{end}.param" for end in ("_fp16", ""))
    sizes = [sum(part.stat().st_size for part in runtimes.files_of(f)) for f in (small, large)]
    assert row["bytes"] == sizes[0] and row["share_of_fp32"] == sizes[0] / sizes[1]
    assert (row["target"], row["precision"], row["file"]) == ("ncnn", "fp16", str(small))
    assert 0 <= row["error_mean"] <= row["error_max"] < 0.1
    assert row["keypoint_median_px"] <= row["keypoint_p99_px"] <= row["keypoint_max_px"]
    assert row["metric"] is None and row["keypoints_judged"] is True
    assert stored["terms"] == {"images": 4}
    assert "AP" not in capsys.readouterr().out


def test_the_table_says_when_keypoints_are_not_judged(tmp_path, capsys, monkeypatch):
    pytest.importorskip("ncnn")
    monkeypatch.chdir(tmp_path)
    words = ["export", "tests.helpers.seeing:Looker", "--init", "random", "--to", "ncnn"]
    assert cli.main(words) == 0
    assert "random weights" not in capsys.readouterr().out  # float32 is judged
    assert cli.main([*words, "--precision", "fp16"]) == 0
    assert "judged by their outputs alone" in capsys.readouterr().out


# --- what fails leaves nothing -------------------------------------------------------------------

SIZE = (64, 48)
# Exporting to PyTorch takes several seconds.
FORMATS = [
    pytest.param(name, marks=[pytest.mark.slow] if name == "torch" else []) for name in TARGETS
]


def body(m, x):
    x = ops.conv(x, weight(m, "stem", (4, 4, 3, 8)), stride=4)
    return ops.conv(ops.activation(x, kind="relu"), weight(m, "final", (1, 1, 8, 17)))


def sorting(m, x):
    return jnp.sort(body(m, x), axis=1)


def needs(target):
    for package in (*TARGETS[target].packages, TARGETS[target].runtime.package):
        pytest.importorskip(package)


@pytest.mark.parametrize("target", FORMATS)
def test_an_unsupported_operator_is_named_with_its_module(target, tmp_path):
    needs(target)
    source = source_of(Function(sorting), "tiny", "topdown", SIZE)
    with pytest.raises(export.ExportError, match="sort.*Function") as error:
        command.export_file(source, target, tmp_path / "files")
    assert "\n" not in str(error.value) and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", FORMATS)
def test_a_missing_package_is_named_before_anything_is_written(target, tmp_path, monkeypatch):
    run = seeing.write_runs(tmp_path)[0]
    package = TARGETS[target].runtime.package
    monkeypatch.setitem(importlib.import_module("sys").modules, package, None)
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    for other in (*TARGETS[target].packages,):
        pytest.importorskip(other)
    with pytest.raises(ImportError, match=f"^{package} is not installed: pip install"):
        command.run(parser.parse_args([str(run), "--to", target]))
    assert not (run / "export").exists()


@pytest.mark.parametrize("target", FORMATS)
def test_a_full_disk_leaves_nothing(target, small_disk):
    needs(target)
    full_disk = small_disk(16)

    def large(m, x):
        x = ops.conv(x, weight(m, "stem", (4, 4, 3, 64)), stride=4)
        return ops.conv(ops.activation(x, kind="relu"), weight(m, "final", (3, 3, 64, 17)))

    source = source_of(Function(large), "tiny", "topdown", SIZE)
    with pytest.raises(OSError, match="No space left on device") as error:
        command.export_file(source, target, full_disk)
    name = f"tiny_64x48{TARGETS[target].runtime.suffixes[0]}"
    assert str(error.value).startswith(f"{full_disk / name}: cannot be written")
    assert "\n" not in str(error.value) and list(full_disk.iterdir()) == []


@pytest.mark.parametrize("failing", [".param", ".bin", ".json"])
@pytest.mark.parametrize("older", [True, False])
def test_a_full_disk_leaves_no_part_of_an_ncnn_network(failing, older, tmp_path, monkeypatch):
    pytest.importorskip("ncnn")
    source = source_of(Function(body), "tiny", "topdown", SIZE)
    before = {}
    if older:
        command.export_file(source, "ncnn", tmp_path, None, Options())
        before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    write_bytes = Path.write_bytes

    def fill(path, data):
        if path.suffix != failing:
            return write_bytes(path, data)
        write_bytes(path, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", fill)
    with pytest.raises(OSError, match="tiny_64x48.param: cannot be written .*No space left"):
        command.export_file(source, "ncnn", tmp_path, None, Options())
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
