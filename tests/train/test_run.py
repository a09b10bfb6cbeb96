"""A run of train.py from start to end: its folder, its log, its data and its first weights."""

import gzip
import importlib
import json
import shutil

import numpy as np
import pytest

from jaxpose import runs
from jaxpose.evaluation import command_line
from jaxpose.training import checkpoint
from tests.helpers import tiny_runs
from tests.helpers.run_folders import arrays, assert_same_run, lines

train = importlib.import_module("train")


@pytest.mark.slow
def test_a_run_writes_a_self_contained_folder(finished):
    config, folder, _ = finished
    assert [line["step"] for line in lines(folder)] == [2, 3, 4, 6, 6]
    scored = [line for line in lines(folder) if "eval/AP" in line]
    assert [line["epoch"] for line in scored] == [1.0, 2.0]
    assert all(np.isfinite(line["loss"]) for line in lines(folder) if "loss" in line)
    assert lines(folder)[0]["lr"] == pytest.approx(5e-4 * (0.001 + 0.999 / 2))
    assert checkpoint.steps_in(folder / "checkpoints") == [3, 6]
    assert list((folder / "tensorboard").iterdir())
    timing = lines(folder, "timing.jsonl")  # other tests may have started the finished run again
    speed = [line for line in timing if "examples_per_second" in line][-1]
    spent = next(line for line in timing if "goodput" in line)
    assert {"examples_per_second", "input_wait", "eta_seconds"} <= set(speed)
    assert "mfu" not in speed and "memory_bytes" not in speed  # on CPU
    assert 0 < spent["goodput"] < 1 and not {"goodput", "seconds/steps"} & set(lines(folder)[-1])
    phases = {key.removeprefix("seconds/"): s for key, s in spent.items() if "/" in key}
    assert set(phases) == set("setup data restore compile steps input evaluate save".split())
    assert sum(phases.values()) == pytest.approx(spent["wall_seconds"], abs=0.01)
    loaded, model, variables, skeleton = runs.load_run(folder)
    assert loaded.to_dict() == config.to_dict() and skeleton.num_joints == 17
    record = json.loads((folder / "config.json").read_text())
    assert record["facts"] == {"train_examples": 12, "total_steps": 6}
    assert set(record["versions"]) == {"jaxpose", "jax", "flax", "orbax"}
    kernel = arrays(folder)["ema/params/head/final_layer/kernel"][2]
    assert np.asarray(variables["params"]["head"]["final_layer"]["kernel"]).tobytes() == kernel


@pytest.mark.slow
def test_a_bottom_up_run_logs_the_terms_of_its_loss(finished_crowds):
    config, folder, _ = finished_crowds
    logged = [line for line in lines(folder) if "loss" in line]
    for line in logged:
        whole = line["heat_quarter"] + line["heat_half"] + 1e-3 * (line["push"] + line["pull"])
        assert line["loss"] == pytest.approx(whole, rel=1e-5)
    assert logged[0]["push"] > 0 and logged[0]["pull"] > 0
    assert {"eval/AP", "eval/PCK@0.2"} <= set(lines(folder)[-1])
    assert runs.load_run(folder)[0].to_dict() == config.to_dict()


@pytest.mark.slow
def test_eval_repeats_the_score_of_a_bottom_up_run(finished_crowds, tmp_path):
    config, folder, _ = finished_crowds
    source = command_line.Source("the run", folder, run=runs.read_run(folder))
    assert importlib.import_module("eval").main(config, source, tmp_path, worst=0) == 0
    scores = json.loads((tmp_path / "metrics.json").read_text())["metrics"]
    assert {f"eval/{key}": value for key, value in scores.items()}.items() <= lines(folder)[
        -1
    ].items()


@pytest.mark.slow
def test_each_step_function_is_compiled_once(either):
    _, _, compiled = either
    assert [name for name in compiled if "train_step" in name] == ["jit(train_step)"]
    assert [name for name in compiled if "predict_step" in name] == ["jit(predict_step)"]


@pytest.mark.slow
def test_a_profile_does_not_change_the_run(people, tmp_path, capsys):
    changes = {"model": "tests.helpers.tiny_runs:TinyHeatmaps"}
    for name, profile in (("plain", ""), ("traced", "2:3")):
        config = tiny_runs.config(people, **changes, profile=profile)
        assert train.main(config, str(tmp_path / name)) == 0
    (trace,) = (tmp_path / "traced").glob("profile/plugins/profile/*/*.trace.json.gz")
    events = json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
    names = [event.get("name") for event in events]
    assert names.count("train") == 3 and {"input", "evaluate", "save"} <= set(names)
    assert not (tmp_path / "plain" / "profile").exists()
    assert_same_run(tmp_path / "plain", tmp_path / "traced")
    assert "goodput" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.slow
def test_mfu_is_logged_where_the_peak_is_known(people, tmp_path, monkeypatch, capsys):
    counted = []
    count = train.step_flops
    monkeypatch.setattr(train, "step_flops", lambda step: counted.append(count(step)) or counted[0])
    monkeypatch.setattr(train, "peak_flops", lambda kind: 1e9)
    config = tiny_runs.config(people, model="tests.helpers.tiny_runs:TinyHeatmaps")
    assert train.main(config, str(tmp_path)) == 0
    speeds = [line for line in lines(tmp_path, "timing.jsonl") if "mfu" in line]
    assert [line["step"] for line in speeds] == [2, 4, 6] and len(counted) == 1
    for line in speeds:
        assert line["mfu"] * line["step_seconds"] * 1e9 == pytest.approx(counted[0], rel=0.01)
    assert "  MFU " in capsys.readouterr().err


@pytest.mark.slow
def test_another_seed_is_another_run(finished, people, tmp_path):
    assert train.main(tiny_runs.config(people, seed=1, ema_decay=0.5), str(tmp_path / "run")) == 0
    assert lines(tmp_path / "run")[0]["loss"] != lines(finished[1])[0]["loss"]


@pytest.mark.slow
def test_an_odd_file_without_validation_trains_and_is_scored(tmp_path, capsys):
    data = tiny_runs.write_people(tmp_path / "odd")
    content = json.loads((data / "people.json").read_text())
    for record, key in ((r, k) for name, k in (("images", "id"), ("annotations", "image_id"))
                        for r in content[name]):  # fmt: skip
        record[key] = f"image-{record[key]}"
    content["annotations"][3]["keypoints"] = []
    content["annotations"][4] |= {"bbox": None, "area": 0}
    (data / "people.json").write_text(json.dumps(content))
    config = tiny_runs.config(data, **{
        "model": "tests.helpers.tiny_runs:TinyHeatmaps", "data.val_annotations": "",
    })  # fmt: skip
    assert train.main(config, str(tmp_path / "run")) == 0
    log = capsys.readouterr().err
    assert "config.data.val_annotations is empty: no score will be shown" in log
    assert "11 people to train, 0 to validate" in log
    assert "left out: 1 without labeled keypoints\n" in log
    assert "people.json: annotation 104: no box: the extent of its labeled keypoints" in log
    assert "eval/" not in (tmp_path / "run" / "metrics.jsonl").read_text()
    evaluate = importlib.import_module("eval")
    changes = {"data.val_annotations": "people.json"}
    config, source = tiny_runs.source_of(tmp_path / "run", **changes)
    assert evaluate.main(config, source, tmp_path / "report", 1) == 0
    assert "left out: 1 without labeled keypoints\n" in capsys.readouterr().out
    results = json.loads((tmp_path / "report" / "results.json").read_text())
    assert {result["image_id"] for result in results} == {f"image-{k}" for k in range(12) if k != 3}


@pytest.mark.slow
def test_a_validation_file_without_sigmas_has_the_score_of_eval(tmp_path):
    data = tiny_runs.write_people(tmp_path / "people")
    content = json.loads((data / "people.json").read_text())
    content["categories"][0]["sigmas"] = [9.0] * 17  # everything is similar
    (data / "train.json").write_text(json.dumps(content))
    config = tiny_runs.config(data, **{
        "model": "tests.helpers.tiny_runs:TinyHeatmaps", "data.train_annotations": "train.json",
    })  # fmt: skip
    assert train.main(config, str(tmp_path / "run")) == 0
    score = lines(tmp_path / "run")[-1]["eval/AP"]
    evaluate = importlib.import_module("eval")
    config, source = tiny_runs.source_of(tmp_path / "run")
    assert evaluate.main(config, source, tmp_path / "report", 0) == 0
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())["metrics"]
    assert metrics["AP"] == score > 0.5


@pytest.mark.slow
def test_unusable_images_of_both_splits_are_named(people, tmp_path, capsys):
    data = shutil.copytree(people, tmp_path / "data")
    (data / "images" / "3.png").write_bytes(b"text")
    assert train.main(tiny_runs.config(data), str(tmp_path / "run")) == 0
    text = capsys.readouterr().err
    assert "validation: 1 unusable image left out: 3.png\n" in text
    assert text.count("1 unusable image left out: 3.png\n") == 2


@pytest.mark.slow
def test_a_run_starts_from_the_weights_of_another(finished, people, tmp_path, capsys):
    _, folder, _ = finished
    config = tiny_runs.config(people, init_from=str(folder), ema_decay=0.5)
    assert train.main(config, str(tmp_path / "run")) == 0
    assert f"weights from {folder}/checkpoints/6" in capsys.readouterr().err
    assert lines(tmp_path / "run")[0]["loss"] < lines(folder)[0]["loss"]
