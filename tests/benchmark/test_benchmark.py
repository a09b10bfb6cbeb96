"""The benchmarks: what is reported, and that rivals do the same work. No time is checked."""

import argparse
import json

import numpy as np
import pytest

from jaxpose import benchmark, runs, skeletons, summary, tasks
from jaxpose.benchmark import hwl_table5, report
from jaxpose.benchmark.torch_training import torch_step
from jaxpose.benchmark.training_step import jax_step
from jaxpose.benchmark.workload import make_workload, model_workload
from jaxpose.codecs.associative_embedding import Grouping
from jaxpose.export import source
from jaxpose.tasks.whole_images import scenes
from jaxpose.weights.run_config import run_config
from tests.helpers import tiny_runs
from tests.helpers.networks import initialized
from tests.helpers.tiny_files import SIZE, Tiny


def parsed(*words):
    parser = argparse.ArgumentParser()
    benchmark.add_arguments(parser)
    return parser.parse_args(words)


@pytest.fixture
def tiny(register):
    """Benchmarks of `hwl_mobilenetv3` and `simplebaseline_resnet50` take the tiny network."""
    for name in ("hwl_mobilenetv3", "simplebaseline_resnet50"):
        register(name, Tiny, "topdown", (256, 192), replace=True)


def test_calls_are_timed_in_turn():
    calls = []
    times = report.in_turns(
        [lambda: calls.append("a"), lambda: calls.append("b")], warmup=2, runs=3, seconds=0
    )
    assert calls == ["a"] * 2 + ["b"] * 2 + ["a", "b"] * 3
    assert [len(t) for t in times] == [3, 3]


def test_statistics():
    result = report.statistics([1.0, 2.0, 3.0, 10.0])
    assert result["min_ms"] == 1 and result["mean_ms"] == 4 and result["median_ms"] == 2.5
    assert result["p90_ms"] == pytest.approx(7.9) and result["std_ms"] == pytest.approx(
        3.5355, 1e-4
    )


def test_cells_mark_what_is_missing():
    rows = [{"a": 1.234, "b_ms": None}, {"a": "long text"}, {"a": 0.00123, "b_ms": 0.0}]
    expected = [["a", "b"], ["1.23", "-"], ["long text", "-"], ["0.00123", "0.00"]]
    assert report.cells(rows, ["a", "b_ms"]) == expected


def test_host():
    assert report.cores() >= 1 and str(report.cores()) in report.host_cpu()


@pytest.mark.slow
def test_hwl_table5_states_its_terms_and_the_papers_numbers(register, tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    for name in hwl_table5.NETWORKS:
        register(name, Tiny, "topdown", (256, 192), replace=True)
    path = tmp_path / "table5.json"
    words = ["hwl-table5", "--size", "32x32", "--threads", "1", "--json", str(path)]
    assert benchmark.run(parsed(*words)) == 0
    printed = capsys.readouterr().out
    for term in ("i7-10750H", "1650Ti", "threads 1", "50 rounds after 5 dropped", "onnxruntime"):
        assert term in printed
    rows = {row["model"]: row for row in json.loads(path.read_text())["rows"]}
    assert list(rows) == list(hwl_table5.NETWORKS)
    for row in rows.values():
        assert row["runs"] == 50 and row["warmup"] == 5 and row["threads"] == 1
        assert row["FPS"] == pytest.approx(1000 / row["mean_ms"])
    # Table V: AP, FPS on the GPU and on the CPU
    cells = ("paper's AP", "GPU", "paper's FPS, CPU")
    assert {name: tuple(row[cell] for cell in cells) for name, row in rows.items()} == {
        "simplebaseline_mobilenetv2": (64.6, 57.6, 19.3),
        "simplebaseline_shufflenetv2": (59.9, 51.8, 20.2),
        "vipnas_mobilenetv3": (67.8, 22.6, 4.6),
        "lite_hrnet_18": (64.8, 12.8, 10.3),
        "lite_hrnet_30": (67.2, 7.5, 6.2),
        "hwl_mobilenetv3": (65.8, 55.2, 18.3),
    }
    with pytest.raises(ValueError, match="at least 1"):
        benchmark.run(parsed("hwl-table5", "--threads", "0"))


@pytest.mark.slow
def test_training_steps_do_the_same_work(tiny, tmp_path, capsys):
    pytest.importorskip("torch")
    words = "train hwl_mobilenetv3 --size 32x32 --batch 2 --runs 1 --seconds 0 --vs torch --vs lax"
    path = tmp_path / "train.json"
    assert benchmark.run(parsed(*words.split(), "--json", str(path))) == 0
    printed = capsys.readouterr().out
    assert "times as long as" in printed and "channels_last" in printed
    fast, lax, torch = json.loads(path.read_text())["rows"]
    assert "auto" in fast["step"] and "lax" in lax["step"] and "torch" in torch["step"]
    assert lax["first_loss"] == pytest.approx(fast["first_loss"], rel=1e-5)
    assert torch["first_loss"] == pytest.approx(fast["first_loss"], rel=1e-4)
    assert fast["ratio"] == 1 and fast["first_step_s"] > 0 and fast["memory_mb"] > 0


@pytest.mark.slow
def test_several_steps_give_the_losses_of_torch(tiny):
    pytest.importorskip("torch")
    left, right = losses_of(make_workload("hwl_mobilenetv3", SIZE, 4), steps=5)
    np.testing.assert_allclose(left, right, rtol=2e-3)


def losses_of(workload, steps):
    """Losses of the first steps in JAX and torch."""
    both = jax_step(workload, "auto", cached=False), torch_step(workload)
    calls = [contestant.call for contestant in both]
    first = [contestant.facts["first_loss"] for contestant in both]
    return [
        [loss, *(call() for _ in range(steps - 1))] for loss, call in zip(first, calls, strict=True)
    ]


# --- bottom-up -----------------------------------------------------------------------------------


@pytest.fixture
def crowds(register):
    """Benchmarks of `litepose_xs` and `lightweight_openpose` take networks of few layers."""
    for name, network in (
        ("litepose_xs", tiny_runs.TinyPose),
        ("lightweight_openpose", tiny_runs.TinyFields),
    ):
        register(name, network, network.task, network.input_size, replace=True)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["mse", "soft_boundary"])
def test_bottomup_steps_give_the_losses_of_torch(crowds, tmp_path, loss):
    pytest.importorskip("torch")
    config = tiny_runs.crowd_config(tmp_path, **{"loss.name": loss, "loss.push": 0.1})
    model = tasks.create_model(config, 14)
    variables = initialized(model, (64, 64))
    runs.write_run(tmp_path / "run", config, skeletons.CROWDPOSE, variables)
    workload = make_workload(str(tmp_path / "run"), SIZE, 3)
    assert workload.batch["keypoints"].shape == (3, 30, 14, 3) and workload.loss.startswith(loss)
    left, right = losses_of(workload, steps=3)
    np.testing.assert_allclose(left, right, rtol=1e-3)


def test_an_imported_run_is_timed_with_the_loss_of_its_kind(crowds, tmp_path):
    task = tasks.get("associative_embedding")
    config = run_config(
        "litepose_xs", task, SIZE, skeletons.CROWDPOSE, options={}, dataset="crowdpose"
    )
    model = tasks.create_model(config, 14)
    runs.write_run(tmp_path / "run", config, skeletons.CROWDPOSE, initialized(model, (64, 64)))
    assert make_workload(str(tmp_path / "run"), None, 2).loss.startswith("mse")


@pytest.mark.slow
def test_steps_with_fields_give_the_losses_of_torch(crowds):
    pytest.importorskip("torch")
    workload = make_workload("lightweight_openpose", SIZE, 3)
    assert workload.model.num_keypoints == 18 and "heatmaps and fields" in workload.loss
    left, right = losses_of(workload, steps=3)
    np.testing.assert_allclose(left, right, rtol=1e-3)


@pytest.mark.parametrize("people", [0, 1, 10, 30])
def test_all_synthetic_people_are_found(people):
    size = (192, 256)
    scene = scenes.draw(people, size, missing=0.1, seed=people)
    located = scenes.find(scene, Grouping(refine=False))
    assert len(located) == people
    present = scene.joints[..., 2] > 0
    for person in located:  # every joint stands where one person has it
        detected = person[:, 2] > 0
        apart = np.linalg.norm(scene.joints[..., :2] - person[None, :, :2], axis=-1)
        assert (np.where(present & detected, apart, 0).max(1).min() <= 3) and detected.any()


@pytest.mark.slow
def test_grouping_states_its_terms(crowds, tmp_path, capsys):
    words = "grouping litepose_xs --size 64x96 --people 0,2 --warmup 0 --runs 1 --seconds 0"
    path = tmp_path / "grouping.json"
    assert benchmark.run(parsed(*words.split(), "--json", str(path))) == 0
    printed = capsys.readouterr().out
    for term in (
        "flip test",
        "max_people=30",
        "10% of the keypoints",
        "taskset",
        "network + merge",
    ):
        assert term in printed
    rows = json.loads(path.read_text())["rows"]
    steps = ["network", "merge", "peaks", "people", "peaks", "people"]
    assert [row["step"] for row in rows] == steps
    assert [(row["people"], row["found"]) for row in rows[2:]] == [(0, 0), (0, 0), (2, 2), (2, 2)]


@pytest.mark.slow
def test_networks_side_by_side(tiny, tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    words = "networks hwl_mobilenetv3 simplebaseline_resnet50 --size 32x32 --batch 2 --runs 1"
    path = tmp_path / "networks.json"
    args = parsed(*words.split(), "--seconds", "0", "--json", str(path))
    assert benchmark.run(args) == 0
    printed = capsys.readouterr().out
    for term in ("batch 2", "onnxruntime", "threads 1", "in turn", "peak RSS"):
        assert term in printed
    rows = json.loads(path.read_text())["rows"]
    assert [row["model"] for row in rows] == ["hwl_mobilenetv3", "simplebaseline_resnet50"]
    counted = summary.count(Tiny(), SIZE)
    for row in rows:
        assert row["params_m"] == counted.params / 1e6 and row["macs_g"] == counted.macs / 1e9
        assert row["nodes"] > 4 and row["input"] == "32x32"
        assert min(row["onnx_ms"], row["train_step_ms"], row["first_step_s"]) > 0


def test_networks_takes_no_run_folders(crowds, tmp_path, monkeypatch):
    config = tiny_runs.crowd_config(tmp_path)
    model = tasks.create_model(config, 14)
    # The name of a model is that model, whatever folder there is beside.
    for name in ("litepose", "litepose_xs"):
        runs.write_run(tmp_path / name, config, skeletons.CROWDPOSE, initialized(model, (64, 64)))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="'litepose' is unknown; did you mean 'litepose_") as error:
        benchmark.run(parsed("networks", "litepose_xs", "litepose"))
    assert "\n" not in str(error.value)
    assert model_workload("litepose_xs", SIZE, 2).model.num_keypoints == 17
    assert make_workload("litepose_xs", SIZE, 2).model.num_keypoints == 14


@pytest.mark.parametrize(
    "words, message",
    [
        ("networks hwl_mobilenetv3 hwl_mobilnetv3", "hwl_mobilenetv3"),
        ("networks hwl_mobilenetv3 --threads 0", "at least 1"),
        ("train hwl_mobilnetv3", "hwl_mobilenetv3"),
        ("train hwl_mobilenetv3 --batch 0", "at least 1"),
        ("grouping litepose_x", "litepose_xs"),
        ("grouping litepose_xs --people few", "few"),
        ("grouping litepose_xs --missing 1", "at least 0 and below 1"),
    ],
)
def test_bad_arguments_are_one_line(words, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        benchmark.run(parsed(*words.split()))
    assert "\n" not in str(error.value)


def test_top_down_networks_have_nothing_to_group(tiny):
    with pytest.raises(ValueError, match="no tags .Top-down."):
        benchmark.run(parsed("grouping", "hwl_mobilenetv3", "--size", "32x32"))


def test_fields_are_not_grouped_by_tags(crowds):
    with pytest.raises(ValueError, match="no tags"):
        benchmark.run(parsed("grouping", "lightweight_openpose", "--size", "32x32"))


@pytest.mark.parametrize("kind", ["latency", "formats", "grouping", "train"])
def test_a_url_is_a_run_folder(kind, memory_store):
    if kind == "formats":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnx")
    with pytest.raises(runs.CheckpointError, match="^memory://bucket/absent is not a run folder"):
        benchmark.run(parsed(kind, f"{memory_store}/absent"))


def test_a_run_folder_is_a_source(tmp_path):
    with pytest.raises(ValueError, match="config.json"):
        source.from_run(tmp_path)
