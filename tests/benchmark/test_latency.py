"""`jaxpose benchmark latency`: what is reported, with its conditions. No time is checked."""

import argparse
import json

import numpy as np
import pytest

from jaxpose import benchmark, runs, skeletons, tasks
from jaxpose.benchmark import latency, prepost, report
from tests.helpers import phone_logs, tiny_files, tiny_runs
from tests.helpers.networks import initialized

FAST = "--threads 1 --warmup 1 --runs 2 --seconds 0"


def parsed(*words):
    parser = argparse.ArgumentParser()
    benchmark.add_arguments(parser)
    return parser.parse_args(words)


@pytest.fixture
def tiny(register):
    """The model `hwl_mobilenetv3` is the tiny network."""
    register("hwl_mobilenetv3", tiny_files.Tiny, "topdown", (256, 192), replace=True)


@pytest.fixture
def crowds(register):
    """Bottom-up models of few layers."""
    for name, network in (
        ("litepose_xs", tiny_runs.TinyPose),
        ("lightweight_openpose", tiny_runs.TinyFields),
    ):
        register(name, network, network.task, network.input_size, replace=True)


@pytest.mark.slow
def test_a_remote_run_is_timed(tiny, memory_store, tmp_path):
    for package in ("onnxruntime", "torch"):
        pytest.importorskip(package)
    config = tiny_runs.config(tmp_path, model="hwl_mobilenetv3")
    model = tasks.create_model(config, 17)
    run, path = f"{memory_store}/run", tmp_path / "latency.json"
    runs.write_run(run, config, skeletons.COCO, initialized(model, config.input_size))
    words = f"latency {run} --no-memory --no-include-prepost {FAST} --json {path}"
    assert benchmark.run(parsed(*words.split())) == 0
    rows = json.loads(path.read_text())["rows"]
    assert [row["runtime"].split()[0] for row in rows] == ["jax", "onnxruntime", "torch"]


@pytest.mark.slow
def test_files_of_all_formats_in_one_table(tmp_path, capsys):
    for package in ("onnxruntime", "torch", "ai_edge_litert", "ncnn"):
        pytest.importorskip(package)
    names = ("a.onnx", "b.pt2", "c.tflite", "d.param")
    files = [str(tiny_files.write(tmp_path / name)) for name in names]
    half = tiny_files.write(tmp_path / "e.tflite", precision="fp16")
    path = tmp_path / "latency.json"
    words = ["latency", *files, str(half), *FAST.split(), "--json", str(path)]
    assert benchmark.run(parsed(*words)) == 0
    printed = capsys.readouterr().out
    for term in ("flip test", "decoding", "fresh process", "ratio of medians", "1 person"):
        assert term in printed
    result = json.loads(path.read_text())
    rows = result["rows"]
    runtimes = ["onnxruntime", "torch", "litert", "ncnn", "litert"]
    assert [row["runtime"].split()[0] for row in rows] == runtimes
    assert [row["precision"] for row in rows] == ["fp32"] * 4 + ["fp16"]
    for row in rows:
        assert set(latency.COLUMNS) <= set(row)
        assert row["runs"] >= 2 and row["warmup"] == 1 and row["threads"] == 1
        assert min(row["file_kb"], row["memory_mb"], row["pre_ms"], row["post_ms"]) > 0
        assert row["images_s"] == pytest.approx(1000 / row["median_ms"])
        assert row["min_ms"] <= row["median_ms"] <= row["p90_ms"] <= row["p99_ms"]
    assert rows[0]["ratio"] == 1 and all(row["ratio"] > 0 for row in rows)
    assert result["terms"]["host"] == report.host_cpu()
    assert result["terms"]["ratio"].startswith(f"to {files[0]} ")


@pytest.mark.slow
def test_a_model_is_timed_in_three_runtimes(tiny, tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("torch")
    baseline = tiny_files.write(tmp_path / "base.onnx")
    path = tmp_path / "latency.json"
    words = f"latency hwl_mobilenetv3 --size 32x32 {FAST} --no-memory --no-include-prepost"
    args = parsed(*words.split(), "--vs", str(baseline), "--json", str(path))
    assert benchmark.run(args) == 0
    printed = capsys.readouterr().out
    for term in ("onnxruntime", "torch", "jax", "taskset", "peak RSS"):
        assert term in printed
    rows = json.loads(path.read_text())["rows"]
    assert [row["model"] for row in rows] == ["base.onnx"] + ["hwl_mobilenetv3"] * 3
    assert [row["runtime"].split()[0] for row in rows[1:]] == ["jax", "onnxruntime", "torch"]
    # JAX has threads of its own, so it has no ratio to a file with one thread.
    assert rows[0]["ratio"] == 1 and rows[1]["ratio"] is None
    assert rows[2]["ratio"] > 0 and rows[3]["ratio"] > 0
    assert not {"memory_mb", "pre_ms", "post_ms"} & set(rows[2])


def test_several_images_per_call(tmp_path):
    pytest.importorskip("ncnn")
    file = tiny_files.write(tmp_path / "a.param", precision="fp16")
    path = tmp_path / "latency.json"
    words = ["latency", str(file), *FAST.split(), "--batch", "3", "--no-memory"]
    assert benchmark.run(parsed(*words, "--no-include-prepost", "--json", str(path))) == 0
    (row,) = json.loads(path.read_text())["rows"]
    assert (row["precision"], row["input"], row["threads"]) == ("fp16", "3x3x32x32", 1)
    assert row["images_s"] == pytest.approx(3000 / row["median_ms"])
    size = sum(file.with_suffix(suffix).stat().st_size for suffix in (".param", ".bin", ".json"))
    assert row["runtime"].startswith("ncnn ") and row["file_kb"] == round(size / 1024)


@pytest.mark.slow
@pytest.mark.parametrize(
    "codec, name",
    [
        ({"targets": "udp", "decode": "udp", "sigma": 2.0, "kernel": 11}, "udp"),
        ({"decode": "dark", "sigma": 2.0}, "dark"),
    ],
)
def test_cropping_and_decoding_are_those_of_the_file(codec, name):
    task = tasks.get("topdown")
    decoder = task.decoder_from_metadata({"codec": codec})
    steps = prepost.measure(task, decoder, (64, 64), warmup=0, runs=1, seconds=0)
    assert steps["post"].startswith(f"decode 1 person, {name}, jax ")
    assert steps["pre"].startswith("crop of 480x640 + normalize")
    assert np.isfinite([steps["pre_ms"], steps["post_ms"]]).all()


@pytest.mark.slow
@pytest.mark.parametrize("model", ["litepose_xs", "lightweight_openpose"])
def test_a_bottomup_model(crowds, model, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("torch")
    path = tmp_path / "latency.json"
    words = f"latency {model} --size 64x32 {FAST} --no-memory"
    assert benchmark.run(parsed(*words.split(), "--json", str(path))) == 0
    for row in json.loads(path.read_text())["rows"]:
        assert row["pre"].startswith("image of ") and "10 people" in row["post"]


def test_a_phone_by_way_of_a_folder(tmp_path, capsys):
    pytest.importorskip("ncnn")
    file = tiny_files.write(tmp_path / "a.param", "litepose_s")
    folder = tmp_path / "phone"
    assert benchmark.run(parsed("latency", str(file), "--emit-adb", str(folder))) == 0
    assert f"connect a phone and run {folder}/run.sh" in capsys.readouterr().out
    (folder / "logs").mkdir()
    (folder / "logs/a.param.cpu1.log").write_text(phone_logs.NCNN)
    path = tmp_path / "phone.json"
    assert benchmark.run(parsed("latency", "--read-adb", str(folder), "--json", str(path))) == 0
    printed = capsys.readouterr().out
    for term in ("28.64", "quoted: WLitePose paper", "76.00", "a.param.gpu1.log: not run"):
        assert term in printed
    measured, quoted = json.loads(path.read_text())["rows"]
    assert measured["source"] == "logs/a.param.cpu1.log" and "quoted_ms" not in measured
    assert quoted["quoted_ms"] == 76 and quoted["device"] == "Qualcomm Snapdragon 855 GPU"


@pytest.mark.parametrize(
    "words, message",
    [
        ("", "nothing to time"),
        ("hwl_mobilnetv3", "hwl_mobilenetv3"),
        ("missing.onnx", "missing.onnx"),
        ("hwl_mobilenetv3 --threads 0", "at least 1"),
        ("hwl_mobilenetv3 --threads many", "many"),
        ("hwl_mobilenetv3 --size 7", "HxW"),
        ("--emit-adb phone", "--emit-adb needs files"),
        ("--emit-adb phone --read-adb phone", "cannot be combined"),
        ("a.tflite --read-adb phone", "takes no files"),
        ("--read-adb phone", "phone: not a folder of --emit-adb"),
    ],
)
def test_bad_arguments_are_one_line(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        benchmark.run(parsed("latency", *words.split()))
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())
