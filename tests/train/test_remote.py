"""Runs of train.py and eval.py whose folder is on a server that speaks S3."""

import json
import random
import subprocess
import time

import pytest

from jaxpose import PoseEstimator
from jaxpose.remote import RemotePath
from jaxpose.runs import arrays
from jaxpose.runs.arrays import steps_in
from tests.helpers import several_hosts, tiny_runs

SETTINGS = {"ema_decay": 0.5, "epochs": 8.0, "eval_every": 3.0, "checkpoint_every": 5}


def checksums(folder, step):
    manifest = arrays.read_manifest(folder / "checkpoints" / str(step))
    arrays.read_items(folder / "checkpoints" / str(step), tuple(manifest["arrays"]))
    return manifest


def logged(folder) -> int:
    try:
        return len((folder / "metrics.jsonl").read_text().splitlines())
    except FileNotFoundError:
        return 0


@pytest.mark.slow
def test_a_run_killed_three_times_writes_the_same_bytes(s3_store, people, tmp_path):
    config = tiny_runs.config(people, model="tests.helpers.tiny_runs:TinyHeatmaps", **SETTINGS)
    flags = ["--config=configs/common.py", *tiny_runs.flags(config)]
    whole, killed = tmp_path / "whole", RemotePath(f"{s3_store}/killed")
    done = tiny_runs.run(*flags, f"--workdir={whole}")
    assert done.returncode == 0, done.stderr[-2000:]

    moments, waits = random.Random(), []
    for _ in range(3):
        process = subprocess.Popen(
            tiny_runs.command("train.py", *flags, f"--workdir={killed}"),
            env=tiny_runs.environment(), cwd=tiny_runs.ROOT, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        # Once the next logs are in the store, or a checkpoint is being copied there; plus a pause.
        target, pause = logged(killed) + moments.randrange(1, 5), moments.uniform(0, 0.3)
        waits.append((target, pause))
        files = len(killed.files())
        while process.poll() is None and logged(killed) < target:
            if moments.random() < 0.1 and len(killed.files()) > files + 5:
                break
            time.sleep(0.02)
        time.sleep(pause)
        process.kill()
        process.wait()
    done = tiny_runs.run(*flags, f"--workdir={killed}")
    assert done.returncode == 0, (waits, done.stderr[-2000:])
    assert (whole / "metrics.jsonl").read_bytes() == (killed / "metrics.jsonl").read_bytes(), waits
    assert checksums(whole, 24) == checksums(killed, 24), waits


@pytest.mark.slow
def test_two_hosts_train_in_a_remote_folder_and_one_continues(s3_store, people):
    config = tiny_runs.config(people, model="tests.helpers.tiny_runs:TinyHeatmaps", epochs=4.0)
    flags = ["--config=configs/common.py", *tiny_runs.flags(config)]
    folder = RemotePath(f"{s3_store}/hosts")
    with several_hosts.started(*2 * [[*flags, f"--workdir={folder}"]]) as hosts:
        assert [host.wait() for host in hosts] == [0, 0], [host.text[-2000:] for host in hosts]
    assert {9, 12} <= set(steps_in(folder / "checkpoints"))
    before = checksums(folder, 9)
    (folder / "checkpoints" / "12").remove()
    done = tiny_runs.run(*flags, f"--workdir={folder}")
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"resuming {folder} from step 9" in done.stderr
    assert checksums(folder, 9) == before
    assert steps_in(folder / "checkpoints")[-1] == 12


@pytest.fixture(scope="module")
def remote_run(s3_store, people):
    config = tiny_runs.config(people, model="tests.helpers.tiny_runs:TinyHeatmaps")
    folder = f"{s3_store}/finished"
    flags = ["--config=configs/common.py", *tiny_runs.flags(config)]
    done = tiny_runs.run(*flags, f"--workdir={folder}")
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"{folder} is not locked" in done.stderr
    return folder


@pytest.mark.slow
def test_eval_writes_the_report_into_the_remote_run(remote_run):
    folder = RemotePath(remote_run)
    (folder / "report" / "worst_07.jpg").write_bytes(b"of an earlier report")
    done = tiny_runs.run(f"--workdir={folder}", "--worst=2", program="eval.py")
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"report {folder}/report/index.html" in done.stdout
    names = {file.name for file in (folder / "report").files()}
    assert {"metrics.json", "results.json", "analysis.json", "index.html"} <= names
    assert {n for n in names if n.startswith("worst")} == {"worst_01.jpg", "worst_02.jpg"}
    last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    metrics = json.loads((folder / "report" / "metrics.json").read_text())["metrics"]
    assert metrics["PCK@0.2"] == pytest.approx(last["eval/PCK@0.2"])


@pytest.mark.slow
def test_a_run_starts_from_remote_weights(remote_run, people, tmp_path):
    config = tiny_runs.config(
        people, model="tests.helpers.tiny_runs:TinyHeatmaps", init_from=remote_run, epochs=0.5
    )
    flags = ["--config=configs/common.py", *tiny_runs.flags(config)]
    done = tiny_runs.run(*flags, f"--workdir={tmp_path / 'run'}")
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"weights from {remote_run}/checkpoints/6" in done.stderr


@pytest.mark.slow
def test_a_remote_run_predicts(remote_run, people):
    import cv2

    image = cv2.imread(str(people / "images" / "0.png"))[..., ::-1].copy()
    assert PoseEstimator(remote_run)(image).keypoints.shape == (1, 17, 2)


@pytest.mark.slow
def test_a_missing_bucket_is_one_line(s3_store, people):
    flags = [
        "--config=configs/common.py",
        *tiny_runs.flags(tiny_runs.config(people, model="tests.helpers.tiny_runs:TinyHeatmaps")),
    ]
    done = tiny_runs.run(*flags, "--workdir=s3://absent/run")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("train.py: --workdir cannot be used: s3://absent/run/config.json: ")
    assert "bucket does not exist" in last
