"""Runs of train.py that fail: what is kept, what is printed, and the exit status."""

import importlib
import json
import os
import resource
import shutil
import signal
import subprocess
import types

import jax
import numpy as np
import pytest

from jaxpose import runs, skeletons
from jaxpose.tasks import topdown
from jaxpose.training import checkpoint, runtime
from tests.helpers import tiny_runs
from tests.helpers.run_folders import assert_same_run

train = importlib.import_module("train")


def test_a_missing_package_is_one_line(monkeypatch, capsys):
    def main(config, workdir):
        raise ImportError(f"{workdir}: gcsfs is not installed: pip install 'jaxpose[gcs]'")

    monkeypatch.setattr(train, "main", main)
    monkeypatch.setattr(train, "FLAGS", types.SimpleNamespace(config=None, workdir="gs://b/run"))
    assert train.run([]) == 2
    assert capsys.readouterr().err == (
        "train.py: gs://b/run: gcsfs is not installed: pip install 'jaxpose[gcs]'\n"
    )


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


@pytest.mark.slow
@pytest.mark.parametrize("part", ["training", "evaluation"])
def test_what_does_not_fit_on_the_device_is_one_line(part, people, tmp_path, monkeypatch, capsys):
    config = tiny_runs.config(people, model="tests.helpers.tiny_runs:TinyHeatmaps")
    names = types.SimpleNamespace(config=config, workdir=str(tmp_path / "run"))
    monkeypatch.setattr(train, "FLAGS", names)

    def refuse(*_, **__):
        raise jax.errors.JaxRuntimeError(
            "RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory in memory "
            "space hbm.\nUsed 20.00G of 15.75G hbm."
        )

    if part == "evaluation":
        monkeypatch.setattr(topdown, "evaluate", refuse)
    else:
        monkeypatch.setattr(jax.stages.Lowered, "compile", refuse)
    assert train.run([]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"train.py: the {part} needs more memory than the device has (Jax")
    assert "RESOURCE_EXHAUSTED" in line and "Used 20.00G of 15.75G hbm" in line
    if part == "evaluation":
        assert line.endswith("; lower config.eval.batch_size=4")
    else:
        assert line.endswith(
            "; lower config.batch_size=4, raise config.accumulate=1, the micro-batches of a step, "
            "or set config.remat=True if the network repeats blocks; `jaxpose plan` shows what fits"
        )


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


@pytest.mark.slow
def test_a_full_disk_is_one_line(people, small_disk):
    """Without the pages that the checkpoint library logs about the error that it also raises."""
    folder = small_disk(260)  # room for the logs, not for a checkpoint
    config = tiny_runs.config(people, model="tests.helpers.tiny_runs:TinyHeatmaps", ema_decay=0.5)
    flags = ["--config=configs/common.py", *tiny_runs.flags(config)]
    done = tiny_runs.run(*flags, f"--workdir={folder / 'run'}")
    *before, last = done.stderr.splitlines()
    assert done.returncode == 4
    assert last.startswith(
        f"train.py: a checkpoint could not be written to {folder}/run/checkpoints ("
    )
    assert "No space left on device" in last and "there is no earlier one" in last
    assert before[-1].startswith("step ") and "Traceback" not in done.stderr
    assert "orbax" not in done.stderr


@pytest.mark.slow
def test_an_unwritable_folder_is_reported_before_training(people):
    with pytest.raises(ValueError, match="--workdir=/proc/jaxpose cannot be written"):
        train.main(tiny_runs.config(people), "/proc/jaxpose")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_reported_before_training(people, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ValueError, match="cannot be written"):
        train.main(tiny_runs.config(people), str(tmp_path / "run"))


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


def test_a_foreign_config_json_is_not_overwritten(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(runs.CheckpointError, match="config.json does not belong to a run"):
        runs.write_run(tmp_path, {}, skeletons.COCO, {"params": {}})
    with pytest.raises(runs.CheckpointError, match="config.json does not belong to a run"):
        runtime.open_run(tmp_path, tiny_runs.config(tmp_path), skeletons.COCO, {})
    assert (tmp_path / "config.json").read_text() == '{"model_type": "vit"}'


def test_a_run_folder_is_cleared_of_half_written_files(tmp_path):
    (tmp_path / ".config.json.17.part").write_text('{"conf')
    (tmp_path / "notes.part").touch()  # not ours
    runtime.open_run(tmp_path, tiny_runs.config(tmp_path), skeletons.COCO, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "notes.part"]


def test_different_pairs_of_the_splits_are_refused():
    names = ("left_a", "right_a", "b", "c")
    skeleton = skeletons.Skeleton("x", names, (), (0.1,) * 4)
    other = skeletons.Skeleton("x", names, (), (0.1,) * 4, ((2, 3),))
    train.check_same_keypoints(skeleton, skeleton)
    with pytest.raises(ValueError, match="different left-right pairs"):
        train.check_same_keypoints(skeleton, other)


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
