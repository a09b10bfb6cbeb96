"""Runs of train.py that are stopped, killed, resumed, or resumed on another number of devices."""

import importlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from jaxpose import runs, skeletons
from jaxpose.training import checkpoint, logs
from tests.helpers import tiny_runs
from tests.helpers.run_folders import TASKS, arrays, assert_same_run, lines, tiny

train = importlib.import_module("train")


@pytest.mark.slow
def test_a_finished_run_does_nothing(finished):
    config, folder, _ = finished
    before = (folder / "metrics.jsonl").read_bytes()
    assert train.main(config, str(folder)) == 0
    assert (folder / "metrics.jsonl").read_bytes() == before


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
@TASKS
def test_a_run_killed_three_times_writes_the_same_bytes(task, request, tmp_path):
    flags = tiny(task, request, ema_decay=0.5, epochs=8.0, eval_every=3.0, checkpoint_every=5)
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
    for folder in (whole, killed):
        spent = lines(folder, "timing.jsonl")[-1]  # of the last process alone
        phases = {key: value for key, value in spent.items() if key.startswith("seconds/")}
        assert phases["seconds/import"] > 0 and spent["step"] == 24
        assert sum(phases.values()) == pytest.approx(spent["wall_seconds"], abs=0.01)


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
    if task == "topdown":  # its loss would fall too little
        flags += ["--config.optimizer.learning_rate=0.02"]
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


RESTORE = """
import sys
import jax
from jaxpose.mesh import make_mesh, replicate
from jaxpose.training import checkpoint
from tests.training.test_checkpoint import make_state
folder, devices = __import__("pathlib").Path(sys.argv[1]), int(sys.argv[2])
checkpoints = checkpoint.Checkpoints(folder, keep=9)
restored, lines = checkpoints.restore(jax.eval_shape(lambda: make_state(ema=True)))
assert lines == [] and jax.device_count() == devices
state = replicate(make_state(7, ema=True) if restored is None else restored, make_mesh())
assert {len(x.sharding.device_set) for x in jax.tree.leaves(state)} == {devices}
checkpoints.save(state.replace(step=state.step + 1))
checkpoints.wait()
checkpoints.close()
"""


@pytest.mark.slow
def test_a_state_is_the_same_on_8_then_4_then_1_then_8_devices(tmp_path):
    for devices in (8, 4, 1, 8):
        subprocess.run(
            [sys.executable, "-c", RESTORE, str(tmp_path), str(devices)],
            env=tiny_runs.environment(devices), cwd=tiny_runs.ROOT, check=True, timeout=300,
        )  # fmt: skip
    steps = checkpoint.steps_in(tmp_path / "checkpoints")
    assert steps == [8, 9, 10, 11]
    first, *others = (arrays(tmp_path, step) for step in steps)
    assert {"model/params/final_layer/kernel", "ema/params/final_layer/kernel"} <= first.keys()
    for other in others:
        assert first.keys() == other.keys()
        changed = {key for key in first if first[key] != other[key]}
        assert changed == {"train/step"}


@pytest.mark.slow
def test_other_settings_are_refused(finished, people):
    _, folder, _ = finished
    changed = tiny_runs.config(people, ema_decay=0.5, keep=7, **{"augment.rotation": 10.0})
    with pytest.raises(ValueError) as error:
        train.main(changed, str(folder))
    assert "augment.rotation: 40.0 -> 10.0" in str(error.value)
    assert "keep" not in str(error.value) and "\n" not in str(error.value)


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
