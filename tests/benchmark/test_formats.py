"""`jaxpose benchmark formats`: one row per format and precision, with its conditions."""

import argparse
import dataclasses
import json

import pytest

from jaxpose import benchmark, config, images, runs, skeletons, tasks
from jaxpose.benchmark import formats
from jaxpose.models import list_models
from jaxpose.runtimes import RUNTIMES, FileError
from jaxpose.tasks.agreement import TOLERANCES
from tests.helpers import tiny_files
from tests.helpers.networks import initialized

FAST = "--warmup 0 --runs 2 --seconds 0"


def parsed(*words):
    parser = argparse.ArgumentParser()
    benchmark.add_arguments(parser)
    return parser.parse_args(["formats", *words])


@pytest.fixture
def tiny(register):
    register("tiny_pose", tiny_files.Tiny, "topdown", (32, 32))


def write_run(folder):
    """A run folder of the registered network, with random weights."""
    settings = config.default_config(tasks.topdown.SETTINGS, task="topdown")
    settings.update({"model": "tiny_pose", "input_size": tiny_files.SIZE})
    model = tasks.create_model(settings, 17)
    runs.write_run(folder, settings, skeletons.COCO, initialized(model, tiny_files.SIZE))
    return folder


@pytest.mark.slow
def test_a_model_in_formats_and_precisions(tiny, tmp_path, capsys):
    for package in ("onnxruntime", "onnx", "ai_edge_litert", "ncnn"):
        pytest.importorskip(package)
    path = tmp_path / "formats.json"
    words = f"tiny_pose --to onnx,litert,ncnn --precision fp32,fp16 {FAST}"
    assert benchmark.run(parsed(*words.split(), "--json", str(path))) == 0
    printed = capsys.readouterr().out
    for term in ("random", "says nothing about a trained network", "1 thread", "GPU delegate"):
        assert term in printed
    rows = json.loads(path.read_text())["rows"]
    kinds = [(row["format"], row["precision"]) for row in rows]
    assert kinds == [
        ("onnx", "fp32"),
        ("onnx", "fp16"),
        ("litert", "fp32"),
        ("litert", "fp16"),
        ("ncnn", "fp32"),
        ("ncnn", "fp16"),
    ]
    for row in rows:
        assert row["weights"] == "random" and row["within"] == "yes" and row["keypoints"] > 0
        assert row["error_%"] < (1e-2 if row["precision"] == "fp32" else 5)
        assert min(row["ratio"], row["median_ms"], row["file_kb"], row["operators"]) > 0
        assert row["transposes"] == 0 and row["runs"] >= 2
        assert row.get("gpu_refused") == (0 if row["format"] == "litert" else None)
    assert rows[0]["ratio"] == 1
    assert rows[3]["error_%"] > rows[2]["error_%"]  # float16 is seen


@pytest.mark.slow
def test_a_run_has_its_own_weights_and_files_beyond_the_tolerances_are_marked(
    tiny, tmp_path, monkeypatch
):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    run = write_run(tmp_path / "run")
    monkeypatch.setitem(TOLERANCES, "fp32", tasks.agreement.Tolerance(0.0, 0.0))
    pairs = [("onnx", "fp32")]
    (row,) = formats.measure(str(run), pairs, warmup=0, runs=1, seconds=0)
    assert row["weights"] == "run" and row["model"] == "tiny_pose" and row["input"] == "32x32"
    assert row["within"] == "no" and row["median_ms"] > 0


@pytest.mark.slow
def test_a_remote_run_is_measured(tiny, memory_store, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    path, words = tmp_path / "formats.json", f"--to onnx --precision fp32 {FAST}"
    run = write_run(f"{memory_store}/run")
    assert benchmark.run(parsed(run, *words.split(), "--json", str(path))) == 0
    (row,) = json.loads(path.read_text())["rows"]
    assert row["weights"] == "run" and row["model"] == "tiny_pose" and row["within"] == "yes"


@pytest.mark.parametrize("weights", ["random", "run"])
def test_int8_is_judged_in_keypoints_on_trained_weights_only(weights, tiny, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    pairs = [("onnx", "int8-static"), ("onnx", "fp16")]
    what = "tiny_pose"
    if weights == "run":
        what = str(write_run(tmp_path / "run"))
        drawn = images.draw_samples(tiny_files.SIZE)
        monkeypatch.setattr(formats.crops, "of_training", lambda source: drawn)
    row, half = formats.measure(what, pairs, warmup=0, runs=1, seconds=0)
    judged = {"median_px", "p99_px", "max_px", "moved_%", "keypoints", "within"}
    assert judged & set(row) == (judged if weights == "run" else set())
    assert judged <= set(half)
    assert {"error_%", "file_kb", "median_ms", "ratio", "operators"} <= set(row)
    assert row["error_%"] > half["error_%"] > 0
    assert "with random weights" in formats.describe_terms()["int8"]


@pytest.mark.slow
def test_the_baseline_needs_no_row_and_other_formats_no_runtime(tiny, monkeypatch):
    pytest.importorskip("ai_edge_litert")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    pytest.importorskip("ncnn")
    missing = dataclasses.replace(RUNTIMES["litert"], available=False)
    monkeypatch.setitem(RUNTIMES, "litert", missing)
    pairs = [("litert", "fp32"), ("ncnn", "fp16")]
    other, row = formats.measure("tiny_pose", pairs, warmup=0, runs=2, seconds=0)
    assert row["runtime"].startswith("ncnn") and row["ratio"] > 0 and row["ratio"] != 1
    # A format without a runtime here has a size and operators.
    assert other["within"] == "not run" and other["file_kb"] > 0 and other["operators"] > 0
    assert not {"median_ms", "error_%"} & set(other)


def test_a_file_that_its_runtime_refuses_is_a_row_without_times(tiny, monkeypatch, capsys):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    whole = formats.Expected.compare

    def compare(expected, path, precision):
        if precision == "fp16":
            raise FileError(f"{path}: cannot be read: no such operator")
        return whole(expected, path, precision)

    monkeypatch.setattr(formats.Expected, "compare", compare)
    pairs = [("onnx", "fp32"), ("onnx", "fp16")]
    good, bad = formats.measure("tiny_pose", pairs, warmup=0, runs=1, seconds=0)
    assert bad["within"] == "refused" and bad["file_kb"] > 0 and "median_ms" not in bad
    assert good["within"] == "yes" and good["median_ms"] > 0
    assert "no such operator" in capsys.readouterr().out


def test_the_default_networks_exist():
    assert set(formats.NETWORKS) <= set(list_models()) and len(formats.NETWORKS) == 8


@pytest.mark.parametrize(
    "words, message",
    [
        ("tiny_pos", "tiny_pose"),
        ("tiny_pose --to tflite", "target 'tflite' is not available"),
        ("tiny_pose --precision fp17", "precision 'fp17' is not available"),
        ("tiny_pose --to torch --precision fp16", "none of torch has the precision fp16"),
        ("tiny_pose --size 7", "HxW"),
        ("tiny_pose --runs 0", "at least 1"),
    ],
)
def test_bad_arguments_are_one_line(tiny, words, message):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("torch")
    with pytest.raises(ValueError, match=message) as error:
        benchmark.run(parsed(*words.split()))
    assert "\n" not in str(error.value)
