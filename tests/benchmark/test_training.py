"""`jaxpose benchmark train`: what is reported, and what happens where something is missing."""

import argparse
import json
import types

import jax
import numpy as np
import pytest

from jaxpose import benchmark, losses
from jaxpose.benchmark import devices, input_wait, torch_training, training_rows, workload
from jaxpose.benchmark.training_step import Contestant
from jaxpose.benchmark.workload import make_workload, paper_recipes
from jaxpose.codecs import topdown
from jaxpose.config import default_config
from jaxpose.tasks import topdown as topdown_task
from jaxpose.tasks import torch_losses

TINY = "tests.helpers.tiny_runs:TinyHeatmaps"


def parsed(*words):
    parser = argparse.ArgumentParser()
    benchmark.add_arguments(parser)
    return parser.parse_args(words)


def run(tmp_path, *words):
    """The rows and conditions of a measurement."""
    path = tmp_path / "train.json"
    args = parsed("train", *words, "--runs", "1", "--seconds", "0", "--json", str(path))
    assert benchmark.run(args) == 0
    return json.loads(path.read_text())


def contestant(name, call):
    return Contestant({"step": name, "note": None}, call)


@pytest.fixture
def tiny():
    return make_workload(TINY, (32, 32), 2)


def test_the_first_line_says_which_device_and_a_row_what_was_measured(tmp_path, capsys):
    result = run(tmp_path, TINY, "--size", "32x32", "--batch", "2", "--no-cached-first")
    first, header, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("device: CPU (JAX sees no GPU on this machine): ")
    for column in ("examples_per_s", "ratio", "mfu_%", "bandwidth_%", "input_wait_%", "note"):
        assert column in header.split()
    (row,) = result["rows"]
    assert row["network"] == TINY and row["step"].startswith(f"jax {jax.__version__}")
    assert row["first_step_s"] > row["compile_s"] > 0 and row["cached_first_s"] is None
    assert row["runs"] == row["ratio"] == 1 and row["memory_mb"] > 0 and row["note"] is None
    assert row["examples_per_s"] == pytest.approx(2e3 / row["median_ms"])
    # Peak and bandwidth of a CPU are not known.
    assert row["mfu_%"] is None and row["bandwidth_%"] is None
    assert result["terms"]["device"] == first.removeprefix("device: ")


def test_shares_of_known_peaks(monkeypatch):
    monkeypatch.setattr(training_rows, "peak_flops", lambda kind: 100e12)
    monkeypatch.setattr(training_rows, "peak_bandwidth", lambda kind: 1e12)
    row = {"median_ms": 10.0, "bytes": 2.5e9}
    assert training_rows._shares(row, 0.2e12) == pytest.approx({"mfu_%": 20, "bandwidth_%": 25})
    unknown = {"mfu_%": None, "bandwidth_%": None}
    assert training_rows._shares({"median_ms": 10.0, "bytes": None}, None) == unknown


def test_a_step_that_runs_out_of_memory_is_one_row(tiny, monkeypatch):
    def too_large(*args, **options):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory\nmore lines")

    left = iter([1.0, 1.0, RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")])

    def call():
        value = next(left)
        if isinstance(value, Exception):
            raise value
        return value

    made = {"auto": contestant("jax", lambda: 1.0), "lax": None}
    monkeypatch.setattr(training_rows, "jax_step", lambda w, name, **_: made[name] or too_large())
    monkeypatch.setattr(training_rows, "torch_step", lambda w, **_: contestant("torch", call))
    monkeypatch.setattr(training_rows, "torch_device", lambda backend: "cpu")
    rows = training_rows.measure(tiny, vs=["lax", "torch"], runs=3, seconds=0)
    assert [row["note"] for row in rows] == [
        None,
        "out of memory: RESOURCE_EXHAUSTED: Out of memory",
        "out of memory: CUDA out of memory. Tried to allocate 2 GiB",
    ]
    assert [row["runs"] for row in rows] == [3, 0, 0] and rows[0]["ratio"] == 1
    assert "median_ms" not in rows[1] and "ratio" not in rows[2]


def test_other_failures_of_the_own_step_are_not_hidden(tiny, monkeypatch):
    def fails(*args, **options):
        raise ValueError("a fault")

    monkeypatch.setattr(training_rows, "jax_step", fails)
    with pytest.raises(ValueError, match="a fault"):
        training_rows.measure(tiny)


@pytest.mark.parametrize("problem", ["no torch", "no GPU in torch", "a setting", "no compiler"])
def test_a_rival_that_cannot_run_says_why_in_its_row(tiny, monkeypatch, problem):
    pytest.importorskip("torch")
    monkeypatch.setattr(
        training_rows, "jax_step", lambda *_, **options: contestant("jax", lambda: 1.0)
    )
    if problem == "no torch":

        def require(name):
            raise ImportError(f"{name} is not installed: pip install {name}")

        monkeypatch.setattr(torch_training, "require", require)
        message = "torch is not installed: pip install torch"
    elif problem == "no GPU in torch":
        torch = types.SimpleNamespace(
            __version__="2.13.0+cpu", cuda=types.SimpleNamespace(is_available=lambda: False)
        )
        monkeypatch.setattr(torch_training, "require", lambda name: torch)
        monkeypatch.setattr(training_rows.jax, "default_backend", lambda: "gpu")
        message = "torch 2.13.0+cpu cannot use the GPU"
    elif problem == "a setting":
        tiny.config.ema_decay = 0.9
        message = "the step in torch does not have config.ema_decay"
    else:
        from torch._inductor.exc import InvalidCxxCompiler

        def step(*args, **options):
            raise InvalidCxxCompiler

        monkeypatch.setattr(training_rows, "torch_step", step)
        message = "torch.compile fails: No working C++ compiler found in "
    rows = training_rows.measure(tiny, vs=["torch"], runs=1, seconds=0)
    assert rows[0]["note"] is None and rows[0]["runs"] == 1
    assert rows[1]["note"].startswith(message) and "\n" not in rows[1]["note"]


def test_a_gpu_that_is_not_there_is_one_line():
    with pytest.raises(ValueError, match="--device=gpu: JAX sees no GPU on this machine"):
        benchmark.run(parsed("train", TINY, "--device", "gpu"))
    assert devices.describe(devices.open_device("cpu"), "cpu").startswith("CPU (as asked for): ")


def test_the_recipes_of_the_papers():
    made = [make_workload(recipe, None, 1, dtype="bfloat16") for recipe in paper_recipes()]
    assert [(each.name, each.size, each.loss.split()[0]) for each in made] == [
        ("wlitepose_s", (448, 448), "soft_boundary"),
        ("hwl_mobilenetv3", (256, 192), "heatmap_weighting"),
        ("lite_csw_hrnet_18", (256, 192), "mse"),
        ("lightweight_hrnet_rm2", (448, 448), "mse"),
        ("el_hrnet_w32", (256, 192), "mse"),
    ]
    for each in made:
        torch_training._check(each)
        assert each.config.dtype == "bfloat16" and each.config.batch_size == 1


def test_settings_of_a_recipe_may_be_changed():
    (_, recipe, *_) = paper_recipes()
    changed = make_workload(recipe, None, 2, overrides=["--config.loss.name=mse"])
    assert changed.loss == "mse" and changed.name == "hwl_mobilenetv3"
    with pytest.raises(ValueError, match="hwl_mobilenetv3 is not a recipe"):
        make_workload("hwl_mobilenetv3", None, 2, overrides=["--config.loss.name=mse"])


def test_papers_need_the_recipes(tmp_path, monkeypatch):
    monkeypatch.setattr(workload, "CHECKOUT", tmp_path)
    with pytest.raises(ValueError, match="papers: the recipes are not installed"):
        benchmark.run(parsed("train", "papers"))


@pytest.mark.parametrize("fn", ["mse", *losses.WEIGHT_FUNCTIONS])
def test_top_down_losses_in_torch(fn):
    pytest.importorskip("torch")
    random = np.random.default_rng(0)
    config = default_config(topdown_task.SETTINGS, task="topdown")
    config.input_size = (32, 32)
    config.loss.name = "mse" if fn == "mse" else "heatmap_weighting"
    if fn != "mse":
        config.loss.fn = fn
    keypoints = random.uniform(0, 32, (2, 3, 3)).astype(np.float32)
    keypoints[..., 2] = [[1, 0, 1], [1, 1, 1]]
    heatmaps = random.normal(size=(2, 8, 8, 3)).astype(np.float32)
    targets, weights = topdown.encode_batch(keypoints, (32, 32), (8, 8), config.sigma, False)
    expected = losses.heatmap_weighting_loss(
        heatmaps, targets, weights, fn="none" if fn == "mse" else fn
    )
    loss = torch_losses.topdown(config, {"keypoints": keypoints})
    np.testing.assert_allclose(loss(torch_losses.nchw(heatmaps)), expected, rtol=1e-6)


# ------------------------------------------------------------------------------- input wait


def test_the_training_for_the_input_wait_neither_evaluates_nor_saves(tiny):
    settings = input_wait._settings(tiny.config, "generated", 7)
    count = jax.local_device_count()
    assert settings["batch_size"] == 2 * count and settings["log_every"] == 7
    assert settings["eval_every"] == 0 and settings["checkpoint_every"] > settings["epochs"]
    assert (settings["data"]["format"], settings["data"]["root"]) == ("generated", "")
    assert input_wait._settings(tiny.config, "/data/coco", 7)["data"]["root"] == "/data/coco"
    assert tiny.config.log_every == 1  # a copy was changed


@pytest.mark.parametrize("missing", ["tensorflow", "train.py"])
def test_no_input_wait_without_the_input_pipeline(tiny, tmp_path, monkeypatch, missing):
    if missing == "tensorflow":
        monkeypatch.setattr(input_wait.importlib.util, "find_spec", lambda name: None)
    else:
        monkeypatch.setattr(input_wait, "CHECKOUT", tmp_path)
    with pytest.raises(input_wait.NotMeasuredError, match=f"{missing}.* not installed"):
        input_wait.measure(tiny, "generated", 2)


@pytest.mark.slow
def test_an_input_that_is_not_there_is_a_note(tmp_path):
    words = ("--size", "32x32", "--batch", "2", "--no-cached-first", "--input", "/absent")
    (row,) = run(tmp_path, TINY, *words)["rows"]
    assert row["note"].startswith("no input wait: train.py ended before step 40: train.py: ")
    assert "/absent" in row["note"] and row["runs"] == 1 and "input_wait_%" not in row


@pytest.mark.slow
def test_everything_on_a_cpu(tmp_path):
    pytest.importorskip("torch")
    words = "--size 32x32 --batch 2 --vs torch --vs torch-compile --input generated --input-steps 3"
    rows = run(tmp_path, TINY, *words.split(), "--dtype", "bfloat16")["rows"]
    own, eager, compiled = rows
    assert 0 <= own["input_wait_%"] < 100 and own["fed_examples_per_s"] > 0
    assert own["cached_first_s"] > 0 and "AMP" in eager["step"]
    assert eager["first_loss"] == pytest.approx(own["first_loss"], rel=0.02)
    if compiled["note"] is None:
        assert "torch.compile, AMP" in compiled["step"] and compiled["ratio"] > 0
        assert compiled["first_loss"] == pytest.approx(own["first_loss"], rel=0.02)
    else:  # no C++ compiler
        assert compiled["note"].startswith("torch.compile fails: ")
