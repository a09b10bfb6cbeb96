"""Runs of train.py whose training images stay on the devices."""

import numpy as np
import pytest

from jaxpose.training import checkpoint
from tests.helpers import tiny_runs
from tests.helpers.run_folders import TASKS, assert_same_run, lines, tiny


def train(folder, flags, devices):
    done = tiny_runs.run(*flags, f"--workdir={folder}", devices=devices)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stderr


@pytest.mark.slow
@TASKS
def test_it_learns_as_from_files_on_8_devices_and_resumes_to_the_same_bytes(
    task, request, tmp_path
):
    flags = tiny(
        task, request, batch_norm="global", batch_size=8, epochs=4.0, log_every=1,
        eval_every=0.0, checkpoint_every=2, keep=5,
        **{"eval.batch_size": 8, "schedule.warmup_steps": 500, "data.prepared": True},
        **{"data.prepared_dir": str(tmp_path / "prepared")},
    )  # fmt: skip
    if task == "simcc":  # blurs are made on the host
        blurs = ("blur_prob", "median_prob")
        flags += [f"--config.augment.pixels.{key}=0.0" for key in blurs]
    on_device = [*flags, "--config.data.on_device=True"]
    train(tmp_path / "host", flags, 8)
    printed = train(tmp_path / "whole", on_device, 8)
    assert "12 training examples on each device: " in printed
    train(tmp_path / "one", on_device, 1)
    losses = {
        name: [line["loss"] for line in lines(tmp_path / name) if "loss" in line]
        for name in ("host", "whole", "one")
    }
    assert len(losses["host"]) == 6
    np.testing.assert_allclose(losses["one"], losses["whole"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(losses["host"], losses["whole"], rtol=1e-3)

    train(tmp_path / "resumed", on_device, 8)
    for step in checkpoint.steps_in(tmp_path / "resumed" / "checkpoints"):
        if step > 2:
            for path in (tmp_path / "resumed" / "checkpoints" / str(step)).rglob("*"):
                if path.is_file():
                    path.unlink()
    assert "from step 2" in train(tmp_path / "resumed", on_device, 8)
    assert_same_run(tmp_path / "resumed", tmp_path / "whole")

    done = tiny_runs.run(*flags, f"--workdir={tmp_path / 'whole'}", devices=8)
    assert done.returncode == 2 and "data.on_device: True -> False" in done.stderr
