"""train.py from its command line and from Python: resuming, stopping, failing, several devices."""

import importlib
import json
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import time

import jax
import numpy as np
import pytest

from jaxpose import runs, skeletons
from jaxpose.evaluation import command_line
from jaxpose.runs.arrays import read_items
from jaxpose.tasks import topdown
from jaxpose.training import checkpoint, logs, runtime
from tests.helpers import tiny_runs

train = importlib.import_module("train")
ITEMS = ("model", "ema", "train")


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return tiny_runs.write_people(tmp_path_factory.mktemp("data") / "people")


@pytest.fixture(scope="module")
def crowds(tmp_path_factory):
    """12 images of two people each."""
    return tiny_runs.write_people(tmp_path_factory.mktemp("data") / "crowds", people=24, each=2)


@pytest.fixture(scope="module")
def compiled():
    """Names of the functions lowered to XLA while the module's tests run."""
    names = []

    def listen(event, duration, fun_name="", **_):
        if event == "/jax/core/compile/jaxpr_to_mlir_module_duration":
            names.append(fun_name)

    jax.monitoring.register_event_duration_secs_listener(listen)
    return names


@pytest.fixture(scope="module")
def finished(people, tmp_path_factory, compiled):
    """A run from start to end: (its settings, its folder, what was compiled)."""
    config = tiny_runs.config(people, ema_decay=0.5)
    folder = tmp_path_factory.mktemp("runs") / "finished"
    compiled.clear()
    assert train.main(config, str(folder)) == 0
    return config, folder, list(compiled)


@pytest.fixture(scope="module")
def finished_crowds(crowds, tmp_path_factory, compiled):
    """The same for a bottom-up network."""
    config = tiny_runs.crowd_config(crowds)
    folder = tmp_path_factory.mktemp("runs") / "crowds"
    compiled.clear()
    assert train.main(config, str(folder)) == 0
    return config, folder, list(compiled)


@pytest.fixture(params=["finished", "finished_crowds"], ids=["topdown", "associative_embedding"])
def either(request):
    """A finished run of either task."""
    return request.getfixturevalue(request.param)


TASKS = pytest.mark.parametrize("task", ["topdown", "associative_embedding"])


def tiny(task, request, **changes):
    """Command line, without --workdir, of a small run of that task."""
    if task == "associative_embedding":
        config = tiny_runs.crowd_config(request.getfixturevalue("crowds"), **changes)
        return ["--config=configs/litepose.py:xs,coco", *tiny_runs.flags(config)]
    config = tiny_runs.config(request.getfixturevalue("people"), **changes)
    flags = ["--config=configs/hwl.py", *tiny_runs.flags(config)]
    return [*flags, "--config.data.detections="]


def lines(folder, name="metrics.jsonl"):
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def arrays(folder, step=6):
    """All arrays of a checkpoint as bytes."""
    read = read_items(folder / "checkpoints" / str(step), ITEMS)
    return {f"{i}/{k}": (v.dtype, v.shape, v.tobytes()) for i in read for k, v in read[i].items()}


def assert_same_run(first, second):
    assert (first / "metrics.jsonl").read_bytes() == (second / "metrics.jsonl").read_bytes()
    ours, theirs = arrays(first), arrays(second)
    assert [key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)] == []


# --- a whole run --------------------------------------------------------------------------------


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
    assert {"examples_per_second", "input_wait", "eta_seconds"} <= set(
        lines(folder, "timing.jsonl")[-1]
    )
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
def test_a_finished_run_does_nothing(finished):
    config, folder, _ = finished
    before = (folder / "metrics.jsonl").read_bytes()
    assert train.main(config, str(folder)) == 0
    assert (folder / "metrics.jsonl").read_bytes() == before


@pytest.mark.slow
def test_another_seed_is_another_run(finished, people, tmp_path):
    assert train.main(tiny_runs.config(people, seed=1, ema_decay=0.5), str(tmp_path / "run")) == 0
    assert lines(tmp_path / "run")[0]["loss"] != lines(finished[1])[0]["loss"]


# --- stopping and resuming ------------------------------------------------------------------------


@pytest.mark.slow
def test_sigterm_saves_and_resuming_gives_the_same_run(either, tmp_path, monkeypatch):
    config, whole, _ = either
    folder = tmp_path / "run"
    line = logs.progress_line

    def stop_at_two(step, *arguments):
        if step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return line(step, *arguments)

    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patched:
        patched.setattr(logs, "progress_line", stop_at_two)
        assert train.main(config, str(folder)) == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before
    assert checkpoint.steps_in(folder / "checkpoints") == [3]
    assert train.main(config, str(folder)) == 0
    assert_same_run(folder, whole)


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
    assert "validation: 1 unusable images left out: 3.png\n" in text
    assert text.count("1 unusable images left out: 3.png\n") == 2


def test_different_pairs_of_the_splits_are_refused():
    names = ("left_a", "right_a", "b", "c")
    skeleton = skeletons.Skeleton("x", names, (), (0.1,) * 4)
    other = skeletons.Skeleton("x", names, (), (0.1,) * 4, ((2, 3),))
    train.check_same_keypoints(skeleton, skeleton)
    with pytest.raises(ValueError, match="different left-right pairs"):
        train.check_same_keypoints(skeleton, other)


@pytest.mark.slow
def test_other_settings_are_refused(finished, people):
    _, folder, _ = finished
    changed = tiny_runs.config(people, ema_decay=0.5, keep=7, **{"augment.rotation": 10.0})
    with pytest.raises(ValueError) as error:
        train.main(changed, str(folder))
    assert "augment.rotation: 40.0 -> 10.0" in str(error.value)
    assert "keep" not in str(error.value) and "\n" not in str(error.value)


@pytest.mark.slow
def test_a_run_starts_from_the_weights_of_another(finished, people, tmp_path, capsys):
    _, folder, _ = finished
    config = tiny_runs.config(people, init_from=str(folder), ema_decay=0.5)
    assert train.main(config, str(tmp_path / "run")) == 0
    assert f"weights from {folder}/checkpoints/6" in capsys.readouterr().err
    assert lines(tmp_path / "run")[0]["loss"] < lines(folder)[0]["loss"]


@pytest.mark.slow
@TASKS
def test_a_run_killed_three_times_writes_the_same_bytes(task, request, tmp_path):
    flags = tiny(task, request, ema_decay=0.5, epochs=8.0, eval_every=3.0, checkpoint_every=5)
    if task == "topdown":
        flags += ["--config.model=tests.helpers.tiny_runs:TinyHeatmaps"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = tiny_runs.run(*flags, f"--workdir={whole}")
    assert done.returncode == 0, done.stderr[-2000:]

    moments = random.Random()
    log = killed / "metrics.jsonl"
    waits = []
    for _ in range(3):
        process = subprocess.Popen(
            tiny_runs.command("train.py", *flags, f"--workdir={killed}"),
            env=tiny_runs.environment(), cwd=tiny_runs.ROOT, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        # At a random line of the log (or during start-up), plus a random pause.
        logged = len(log.read_text().splitlines()) if log.exists() else 0
        target, pause = logged + moments.randrange(0, 5), moments.uniform(0, 0.5)
        waits.append((target, pause))
        while process.poll() is None:
            if log.exists() and len(log.read_text().splitlines()) >= target:
                time.sleep(pause)
                break
            time.sleep(0.01)
        process.kill()
        process.wait()
    done = tiny_runs.run(*flags, f"--workdir={killed}")
    assert done.returncode == 0, (waits, done.stderr[-2000:])
    assert (whole / "metrics.jsonl").read_bytes() == (killed / "metrics.jsonl").read_bytes(), waits
    ours, theirs = arrays(whole, 24), arrays(killed, 24)
    assert ours == theirs, waits


# --- failing ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_the_run(finished, tmp_path, monkeypatch):
    config, whole, _ = finished
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    shutil.rmtree(folder / "checkpoints" / "6")
    replicate = train.replicate

    def poisoned(tree, mesh):
        kernel = tree.params["head"]["final_layer"]["kernel"]
        kernel[0, 0, 0, 0] = np.inf
        return replicate(tree, mesh)

    monkeypatch.setattr(train, "replicate", poisoned)
    with pytest.raises(runtime.NonFiniteError) as error:
        train.main(config, str(folder))
    assert "not finite at step 4; checkpoint 3 kept" in str(error.value)
    assert "\n" not in str(error.value)
    record = json.loads((folder / "bad_step.json").read_text())
    assert (record["step"], record["last_good_checkpoint"]) == (4, 3)
    assert len(record["image_ids"]) == 4 and set(record["image_ids"]) <= set(range(12))
    assert set(record["annotation_ids"]) <= set(range(100, 112))
    assert checkpoint.steps_in(folder / "checkpoints") == [3]
    # The checkpoint is unchanged, and the run resumes from it.
    monkeypatch.undo()
    assert train.main(config, str(folder)) == 0
    assert_same_run(folder, whole)


@pytest.mark.slow
def test_a_failed_validation_keeps_the_trained_steps(people, tmp_path, monkeypatch):
    config = tiny_runs.config(people, model="tests.helpers.tiny_runs:TinyHeatmaps")

    def evaluate(*_, **__):
        raise ValueError("the metric fails")

    monkeypatch.setattr(topdown, "evaluate", evaluate)
    with pytest.raises(ValueError, match="the metric fails"):
        train.main(config, str(tmp_path))
    (step,) = checkpoint.steps_in(tmp_path / "checkpoints")
    monkeypatch.undo()
    assert train.main(config, str(tmp_path)) == 0  # it resumes there
    assert step < checkpoint.steps_in(tmp_path / "checkpoints")[-1]


def test_status_of_a_run_that_is_not_finite(monkeypatch, capsys):
    def main(config, workdir):
        raise runtime.NonFiniteError("loss or gradient is not finite at step 4")

    monkeypatch.setattr(train, "main", main)
    monkeypatch.setattr(train, "FLAGS", type("Flags", (), {"config": None, "workdir": ""}))
    assert train.run([]) == 3
    assert capsys.readouterr().err == "train.py: loss or gradient is not finite at step 4\n"


@pytest.mark.slow
def test_a_failed_last_save_is_a_failed_run(finished, people, tmp_path, monkeypatch, capsys):
    config = tiny_runs.config(people, ema_decay=0.5)
    folder = tmp_path / "run"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    save = checkpoint.Checkpoints.save

    def full_disk_at_the_end(self, state, score=None):
        if int(state.step) == 6:
            self.wait()
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        save(self, state, score)

    monkeypatch.setattr(checkpoint.Checkpoints, "save", full_disk_at_the_end)
    monkeypatch.setattr(train, "FLAGS", type("Flags", (), {"config": config, "workdir": folder}))
    try:
        assert train.run([]) == 4
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    message = capsys.readouterr().err.splitlines()[-1]
    assert "could not be written" in message and "the last complete one is 3" in message
    monkeypatch.undo()
    # A failed run ends its process. Here its writing threads may still be alive, so the run resumes
    # in a copy.
    again = shutil.copytree(
        folder, tmp_path / "again", ignore=shutil.ignore_patterns("*orbax-checkpoint-tmp*")
    )
    assert train.main(config, str(again)) == 0
    assert_same_run(again, finished[1])


def test_an_unwritable_folder_is_reported_before_training(people):
    with pytest.raises(ValueError, match="--workdir=/proc/jaxpose cannot be written"):
        train.main(tiny_runs.config(people), "/proc/jaxpose")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_reported_before_training(people, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ValueError, match="cannot be written"):
        train.main(tiny_runs.config(people), str(tmp_path / "run"))


@pytest.mark.slow
def test_checkpoints_of_another_model_are_refused_with_the_shapes(finished, people, tmp_path):
    """The settings are those of the run, but its checkpoints come from another run."""
    _, whole, _ = finished
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    other = tiny_runs.config(people, ema_decay=0.5)
    other.model_options.attention = "none"
    runs.write_info(folder, other, skeletons.COCO)
    with pytest.raises(ValueError) as error:
        train.main(other, str(folder))
    assert "different model or number of keypoints" in str(error.value)
    assert "absent here" in str(error.value)


@pytest.mark.slow
def test_mistakes_on_the_command_line_are_one_line(people, tmp_path):
    config = ["--config=configs/check_topdown.py", f"--config.data.root={people}"]
    for wrong, message in (
        (["--config.batch_sise=3"], "did you mean --config.batch_size?"),
        (["--config.batch_size=many"], "batch_size=many"),
        (["--config.input_size=(100, 100)"], "the nearest is (96, 96)"),
    ):
        done = tiny_runs.run(*config, *wrong, f"--workdir={tmp_path / 'run'}")
        assert done.returncode == 2
        last = done.stderr.strip().splitlines()[-1]
        assert last.startswith("train.py: ") and message in last
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_folder_in_use_is_refused_and_a_stale_lock_taken_over(finished, tmp_path, capsys):
    config, whole, _ = finished
    folder = shutil.copytree(whole, tmp_path / "run")
    with runs.locked(folder), pytest.raises(runs.LockError, match=f"process {os.getpid()} on "):
        train.main(config, str(folder))
    record = {"host": socket.gethostname(), "pid": 2**30, "process_start": "1"}
    record["namespace"] = os.readlink("/proc/self/ns/pid") if os.path.exists("/proc/self") else ""
    (folder / "lock.json").write_text(json.dumps(record))
    assert train.main(config, str(folder)) == 0
    assert "replaced" in capsys.readouterr().err and not (folder / "lock.json").exists()


def test_a_foreign_config_json_is_not_overwritten(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(runs.CheckpointError, match="config.json does not belong to a run"):
        runs.write_run(tmp_path, {}, skeletons.COCO, {"params": {}})
    with pytest.raises(runs.CheckpointError, match="config.json does not belong to a run"):
        runtime.open_run(tmp_path, tiny_runs.config(tmp_path), skeletons.COCO, {})
    assert (tmp_path / "config.json").read_text() == '{"model_type": "vit"}'


@pytest.mark.slow
def test_ctrl_c_before_the_first_step_is_one_line(people, tmp_path):
    flags = tiny_runs.flags(tiny_runs.config(people))
    words = ["--config=configs/common.py", f"--workdir={tmp_path / 'run'}", *flags]
    process = subprocess.Popen(
        tiny_runs.command("train.py", *words), env=tiny_runs.environment(), cwd=tiny_runs.ROOT,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # A shell starts jobs in the background with SIGINT ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    process.stderr.readline()  # the devices; then the data are read
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=300)[1]
    assert process.returncode in (-signal.SIGINT, 130)
    assert error.splitlines()[-1] == "train.py: interrupted" and "Traceback" not in error


# --- several devices ----------------------------------------------------------------------------


@pytest.mark.slow
@TASKS
def test_eight_devices_match_one_device_and_resume_on_one(task, request, tmp_path):
    # Needs the warm-up of 500 steps: at the full learning rate, Adam turns the last bit of a
    # gradient near zero into a full step, and any two orders of summation diverge.
    flags = tiny(
        task, request, batch_norm="global", batch_size=8, epochs=10.0, log_every=1,
        eval_every=0.0, checkpoint_every=6, keep=5,
        **{"eval.batch_size": 8, "schedule.warmup_steps": 500},
    )  # fmt: skip
    for devices in (1, 8):
        folder = tmp_path / f"on{devices}"
        done = tiny_runs.run(*flags, f"--workdir={folder}", devices=devices)
        assert done.returncode == 0, done.stderr[-2000:]
    one, eight = lines(tmp_path / "on1"), lines(tmp_path / "on8")
    losses = [[line["loss"] for line in log if "loss" in line] for log in (one, eight)]
    assert len(losses[0]) == 15 and min(losses[0]) < 0.9 * losses[0][0]
    np.testing.assert_allclose(*losses, rtol=0, atol=1e-5)

    # One device resumes from the checkpoint of eight devices at step 6.
    for step in checkpoint.steps_in(tmp_path / "on8" / "checkpoints"):
        if step > 6:
            for path in (tmp_path / "on8" / "checkpoints" / str(step)).rglob("*"):
                if path.is_file():
                    path.unlink()
    done = tiny_runs.run(*flags, f"--workdir={tmp_path / 'on8'}", devices=1)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "from step 6" in done.stderr and "damaged" in done.stderr
    resumed = [line["loss"] for line in lines(tmp_path / "on8") if "loss" in line]
    np.testing.assert_allclose(resumed, losses[1], rtol=0, atol=1e-5)
