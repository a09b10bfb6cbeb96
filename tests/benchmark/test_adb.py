"""The folder for a phone: its script with an adb that records, and its logs as a table."""

import json
import os
import shutil
import subprocess

import pytest

from jaxpose.benchmark import adb
from tests.helpers import phone_logs, tiny_files

# What adb is asked goes to calls.txt; the programs answer with their recorded output.
FAKE_ADB = """\
#!/bin/sh
printf '%s\\n' "$*" >>"$(dirname "$0")/calls.txt"
case "$*" in
get-state) [ ! -e "$(dirname "$0")/unplugged" ] ;;
*product.model*) printf 'Pixel 5\\r\\n' ;;
*product.manufacturer*) printf 'Google\\r\\n' ;;
*build.version.release*) printf '14\\r\\n' ;;
*getprop*) echo ;;
*"benchmark_model --graph"*use_gpu*) cat "$RECORDED/litert_gpu" ;;
*"benchmark_model --graph"*) cat "$RECORDED/litert_cpu" ;;
*"benchncnn 7 1 2 0 0"*) cat "$RECORDED/ncnn_gpu" >&2 ;;
*"benchncnn 7"*) cat "$RECORDED/ncnn_cpu" >&2 ;;
esac
"""
RECORDED = {
    "litert_cpu": phone_logs.LITERT,
    "litert_gpu": phone_logs.TFLITE_GPU,
    "ncnn_cpu": phone_logs.NCNN,
    "ncnn_gpu": phone_logs.NCNN_VULKAN,
}


@pytest.fixture
def tools(tmp_path):
    """A folder with adb and what the programs print."""
    folder = tmp_path / "tools"
    folder.mkdir()
    (folder / "adb").write_text(FAKE_ADB)
    (folder / "adb").chmod(0o755)
    for name, text in RECORDED.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def files(tmp_path):
    """A LiteRT file, whose name needs quotes, and an ncnn network."""
    pytest.importorskip("ai_edge_litert")
    pytest.importorskip("ncnn")
    litert = tiny_files.write(tmp_path / "it's a.tflite", "wlitepose_s", (64, 32), precision="fp16")
    return [litert, tiny_files.write(tmp_path / "b.param", "tiny", (64, 32))]


def run_script(folder, tools, *programs):
    for program in programs:
        (folder / program).write_text("a program for arm64")
    settings = {"PATH": f"{tools}:{os.environ['PATH']}", "RECORDED": str(tools), "PAUSE": "0"}
    return subprocess.run(
        ["sh", str(folder / adb.SCRIPT)], env=os.environ | settings, capture_output=True, text=True
    )


def test_the_script_measures_all_files_and_the_logs_become_a_table(tmp_path, files, tools):
    folder = tmp_path / "phone"
    adb.emit(folder, files, runs=7)
    assert {p.name for p in (folder / "models").iterdir()} == {"it_s_a.tflite", "b.param"}
    with pytest.raises(ValueError, match=r"there are no logs: connect a phone and run run\.sh"):
        adb.read(folder)
    done = run_script(folder, tools, "benchmark_model", "benchncnn")
    assert done.returncode == 0, done.stderr
    assert "--read-adb" in done.stderr
    calls = (tools / "calls.txt").read_text().splitlines()
    remote = "/data/local/tmp/jaxpose"
    assert f"push benchmark_model {remote}/benchmark_model" in calls
    assert f"push models/it_s_a.tflite {remote}/it_s_a.tflite" in calls
    measured = [call.partition("&& ")[2] for call in calls if call.startswith("shell cd ")]
    litert = "./benchmark_model --graph=it_s_a.tflite --num_threads={} --warmup_runs=10 "
    assert measured == [
        litert.format(1) + "--num_runs=7 --use_xnnpack=true",
        litert.format(4) + "--num_runs=7 --use_xnnpack=true",
        litert.format(1) + "--num_runs=7 --use_gpu=true",
        './benchncnn 7 1 2 -1 0 param=b.param "shape=[32,64,3]"',  # width first
        './benchncnn 7 4 2 -1 0 param=b.param "shape=[32,64,3]"',
        './benchncnn 7 1 2 0 0 param=b.param "shape=[32,64,3]"',
    ]
    assert calls[-1] == f"shell rm -rf {remote}"

    rows, terms = adb.read(folder)
    cells = ("runtime", "device", "threads", "precision", "mean_ms", "images_s")
    assert [tuple(row[cell] for cell in cells) for row in rows[:6]] == [
        ("litert", "CPU", 1, "fp16", pytest.approx(0.947132), pytest.approx(1000 / 0.942)),
        ("litert", "CPU", 4, "fp16", pytest.approx(0.947132), pytest.approx(1000 / 0.942)),
        ("litert", "GPU", 1, "fp16", 119.375, pytest.approx(1000 / 119.375)),
        ("ncnn", "CPU", 1, "fp32", 28.64, pytest.approx(1000 / 28.64)),
        ("ncnn", "CPU", 4, "fp32", 28.64, pytest.approx(1000 / 28.64)),
        ("ncnn", "Vulkan (Adreno (TM) 620)", 1, "fp32", 38.44, pytest.approx(1000 / 38.44)),
    ]
    assert [row.get("delegated") for row in rows[:3]] == [None, None, "all"]
    assert all(row["source"].startswith("logs/") and row["file_kb"] > 0 for row in rows[:6])
    (quoted,) = rows[6:]  # the paper's time is in a column and a row of its own
    assert quoted["quoted_ms"] == 81 and quoted["source"].startswith("quoted: WLitePose paper")
    assert quoted["input"] == "448x448" and "mean_ms" not in quoted
    assert terms["phone"] == "Google Pixel 5, chip unknown, Android 14"
    assert terms["without result"] == "none"


def test_logs_without_a_result_are_named_and_have_no_row(tmp_path, files, tools):
    folder = tmp_path / "phone"
    adb.emit(folder, files[1:], runs=7)
    (tools / "ncnn_gpu").write_text(phone_logs.NCNN_NOT_READ + phone_logs.NCNN)
    assert run_script(folder, tools, "benchncnn").returncode == 0
    (folder / "logs/b.param.cpu4.log").unlink()
    rows, terms = adb.read(folder)
    assert [(row["device"], row["threads"]) for row in rows] == [("CPU", 1)]
    problems = "b.param.cpu4.log: not run; b.param.gpu1.log: network graph not ready"
    assert terms["without result"] == problems
    assert "no phone times of these networks" in terms["quoted"]


def test_a_gpu_that_takes_nothing_is_not_called_one(tmp_path, files, tools):
    folder = tmp_path / "phone"
    adb.emit(folder, files[:1], runs=7)
    line = "Though GPU delegate is explicitly applied, the model graph will not be executed by the"
    (tools / "litert_gpu").write_text(f"{line} delegate.\n{phone_logs.TFLITE_CPU}")
    assert run_script(folder, tools, "benchmark_model").returncode == 0
    row = adb.read(folder)[0][2]
    assert row["device"] == "CPU (the GPU took nothing)" and row["delegated"] == "none"


def test_the_script_says_in_one_line_what_is_missing(tmp_path, files, tools):
    folder = tmp_path / "phone"
    adb.emit(folder, files, runs=7)
    done = run_script(folder, tools, "benchmark_model")
    assert done.returncode == 1  # the other program ran
    (line,) = [line for line in done.stderr.splitlines() if "missing" in line]
    assert line.startswith("run.sh: benchncnn is missing beside run.sh")
    assert "github.com/Tencent/ncnn" in line
    assert len(adb.read(folder)[0]) == 4 and not list((folder / "logs").glob("b.param*"))

    (folder / "benchmark_model").unlink()
    done = run_script(folder, tools)
    assert "benchmark_model is missing" in done.stderr and "storage.googleapis.com" in done.stderr
    assert not list((folder / "logs").glob("*.log"))  # those of the run before are gone

    (tools / "unplugged").touch()
    done = run_script(folder, tools, "benchmark_model", "benchncnn")
    assert done.returncode == 2 and done.stderr.startswith("run.sh: no phone: ")


def test_the_script_is_portable(tmp_path, files):
    folder = tmp_path / "phone"
    adb.emit(folder, files, runs=50)
    script = str(folder / adb.SCRIPT)
    assert subprocess.run(["sh", "-n", script]).returncode == 0
    checker = shutil.which("shellcheck")
    if checker:
        assert subprocess.run([checker, "--shell=sh", script]).returncode == 0
    readme = (folder / "README.md").read_text()
    for term in ("benchmark_model", "benchncnn", "50 calls", "zeros", "--read-adb"):
        assert term in readme


def test_what_cannot_be_emitted_leaves_nothing(tmp_path, files):
    litert, ncnn = files
    other = tmp_path / "other"
    other.mkdir()
    twin = shutil.copy(litert, other / litert.name)
    full = tmp_path / "full"
    full.mkdir()
    (full / "notes.txt").touch()
    onnx = tmp_path / "a.onnx"
    onnx.touch()
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(litert.read_bytes()[:100])
    folder = tmp_path / "phone"
    for target, given, message in (
        (folder, [], "needs files"),
        (folder, [onnx], "--to litert,ncnn"),
        (folder, [tmp_path / "absent.tflite"], "no such file"),
        (folder, [litert, other / twin.name], "same name"),
        (folder, [damaged], "cannot be read"),
        (full, [ncnn], "not empty"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
            adb.emit(target, given, runs=7)
        assert "\n" not in str(error.value)
    assert not folder.exists() and [p.name for p in full.iterdir()] == ["notes.txt"]
    assert not list(tmp_path.glob(".phone*"))


@pytest.mark.parametrize("text", [None, "{", json.dumps([{"log": "a.log"}])])
def test_other_folders_are_refused(tmp_path, text):
    if text is not None:
        (tmp_path / "plan.json").write_text(text)
    with pytest.raises(ValueError, match="not a folder of --emit-adb"):
        adb.read(tmp_path)
