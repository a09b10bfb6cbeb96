"""train.py and eval.py as two processes that act as two hosts."""

import json
import shutil
import signal

import jax
import numpy as np
import pytest

from jaxpose import runs, skeletons
from tests.helpers import tiny_runs
from tests.helpers.run_folders import arrays, lines
from tests.helpers.several_hosts import started

pytestmark = pytest.mark.slow
LONG = {"epochs": 40000.0, "eval_every": 0.0, "checkpoint_every": 10}
SECONDS = 30  # for the other host to end; it takes 4
HEARTBEAT = 90  # longer, so that the coordination service cannot be what ends the other host


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return tiny_runs.write_people(tmp_path_factory.mktemp("data") / "people")


def command(people, folder, *more, **changes):
    changes = {
        "model": "tests.helpers.tiny_runs:TinyHeatmaps", "batch_size": 8, "eval.batch_size": 8,
    } | changes  # fmt: skip
    flags = tiny_runs.flags(tiny_runs.config(people, **changes))
    return ["--config=configs/common.py", f"--workdir={folder}", *flags, *more]


def test_two_hosts_train_and_evaluate_as_one_does(people, tmp_path):
    """2 x 4 devices against 1 x 8, for 51 steps; then eval.py on two hosts and on one."""
    runs = {hosts: tmp_path / f"run{hosts}" for hosts in (1, 2)}
    settings = {"epochs": 34.0, "eval_every": 17.0, "checkpoint_every": 12, "keep": 9}
    words = command(people, runs[2], **settings)
    with started(words, words, devices=4) as hosts:
        assert [host.wait() for host in hosts] == [0, 0], hosts[0].text
        assert "51 steps of 8" in hosts[0].text and "step 51" not in hosts[1].text
    done = tiny_runs.run(*command(people, runs[1], **settings), devices=8)
    assert done.returncode == 0, done.stderr
    for step, tolerance in ((12, 1e-6), (51, 1e-4)):  # differences in rounding grow
        two, one = (arrays(runs[hosts], step) for hosts in (2, 1))
        assert two.keys() == one.keys()
        for key, (kind, shape, data) in one.items():
            a, b = (np.frombuffer(x, kind).astype(np.float64) for x in (data, two[key][2]))
            np.testing.assert_allclose(
                b, a, rtol=0, atol=tolerance, err_msg=f"step {step}: {key} {shape}"
            )
    for ours, theirs in zip(lines(runs[2]), lines(runs[1]), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-6)

    reports = {hosts: tmp_path / f"report{hosts}" for hosts in (1, 2)}
    words = [f"--workdir={runs[2]}", f"--report={reports[2]}"]
    with started(words, words, program="eval.py", devices=4) as hosts:
        assert [host.wait() for host in hosts] == [0, 0], hosts[0].text
    done = tiny_runs.run(
        f"--workdir={runs[2]}", f"--report={reports[1]}", program="eval.py", devices=1
    )
    assert done.returncode == 0, done.stderr
    results = [json.loads((report / "results.json").read_text()) for report in reports.values()]
    assert len(results[0]) == 12  # every person once, though 12 is no multiple of 8
    ids = [[result["image_id"] for result in each] for each in results]
    assert sorted(ids[0]) == sorted(set(ids[0])) == sorted(ids[1])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a["keypoints"], b["keypoints"], atol=1e-3)


def test_hosts_with_other_settings_are_refused(people, tmp_path):
    words = command(people, tmp_path / "run")
    with started(words, [*words, "--config.optimizer.learning_rate=0.002"]) as hosts:
        statuses = [host.wait() for host in hosts]
        line = "train.py: host 1 has optimizer.learning_rate 0.002, host 0 has 0.0005"
        assert [host.errors() for host in hosts] == [[line], [line]]
    assert 0 not in statuses and not (tmp_path / "run").exists()


def test_hosts_with_other_data_are_refused(people, tmp_path):
    other = tmp_path / "people"
    shutil.copytree(people, other)
    path = other / "people.json"
    path.write_text(path.read_text().replace('"area": 3000', '"area": 3001', 1))
    words = command(people, tmp_path / "run")
    with started(words, [*words, f"--config.data.root={other}"]) as hosts:
        assert 0 not in [host.wait() for host in hosts]
        for host in hosts:
            (line,) = host.errors()
            assert "host 1 has training annotations people.json (SHA-256" in line
            assert "Traceback" not in host.text
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_hosts_with_other_weights_are_refused_by_the_evaluation(people, tmp_path):
    config = tiny_runs.config(people, model="tests.helpers.tiny_runs:TinyHeatmaps")
    model = tiny_runs.TinyHeatmaps(17)
    folders = [tmp_path / "run0", tmp_path / "run1"]
    for seed, folder in enumerate(folders):
        image = np.zeros((1, *config.input_size, 3), np.float32)
        variables = model.init(jax.random.key(seed), image, train=False)
        runs.write_run(folder, config, skeletons.COCO, variables)
    words = [[f"--workdir={folder}", f"--report={tmp_path / 'report'}"] for folder in folders]
    with started(*words, program="eval.py") as hosts:
        assert 0 not in [host.wait() for host in hosts]
        for host in hosts:
            (line,) = host.errors("eval.py")
            assert "host 1 has weights CRC-32" in line and "Traceback" not in host.text


def test_hosts_that_judge_a_checkpoint_differently_are_refused(people, tmp_path):
    """Host 1 sees a damaged copy of the run folder, with the lock of the real one."""
    words = [command(people, tmp_path / f"run{host}") for host in range(2)]
    done = tiny_runs.run(*words[0])
    assert done.returncode == 0, done.stderr
    shutil.copytree(tmp_path / "run0", tmp_path / "run1")
    (tmp_path / "run1" / "lock.json").symlink_to(tmp_path / "run0" / "lock.json")
    steps = sorted(int(path.name) for path in (tmp_path / "run1" / "checkpoints").glob("[0-9]*"))
    (tmp_path / "run1" / "checkpoints" / str(steps[-1]) / "manifest" / "metadata").unlink()
    with started(*words) as hosts:
        assert 0 not in [host.wait() for host in hosts]
        for host in hosts:
            (line,) = host.errors()
            assert f"host 1 has damaged checkpoints {steps[-1]}, host 0 has none" in line
            assert "Traceback" not in host.text
    for host in range(2):
        kept = sorted((tmp_path / f"run{host}" / "checkpoints").glob("[0-9]*"))
        assert sorted(int(path.name) for path in kept) == steps


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_of_one_host_ends_the_other(failing, people, tmp_path):
    """Host 0 fails before the first step; host 1 at its first batch, where host 0 waits for it."""
    words = [command(people, tmp_path / "run", **LONG) for _ in range(2)]
    other = tmp_path / "people"
    if failing == 1:
        shutil.copytree(people, other)
        for image in (other / "images").iterdir():
            image.write_bytes(b"")
    words[failing].append(f"--config.data.root={other}")
    with started(*words, heartbeat=HEARTBEAT) as hosts:
        assert hosts[failing].wait() == 2
        assert hosts[1 - failing].wait(SECONDS) == 1
        (line,) = hosts[failing].errors()
        message = line.removeprefix("train.py: ")
        assert ("no such folder", "unusable")[failing] in message
        assert hosts[1 - failing].errors() == [f"train.py: host {failing} ended: {message}"]
        for host in hosts:
            assert "Traceback" not in host.text and "stack trace" not in host.text


def test_a_signal_before_the_first_step_ends_all_hosts(people, tmp_path):
    words = command(people, tmp_path / "run", **LONG)
    with started(words, words, heartbeat=HEARTBEAT) as hosts:
        hosts[0].wait_for("on 2 host(s)")
        hosts[1].signal(signal.SIGTERM)
        assert [host.wait(SECONDS) for host in hosts] == [1, 143]
        assert hosts[0].errors() == ["train.py: host 1 ended: terminated (exit status 143)"]
        assert hosts[1].errors() == ["train.py: terminated"]


def test_a_host_alone_ends_after_the_timeout(people, tmp_path):
    words = command(people, tmp_path / "run")
    first = started(words, hosts=2, timeout=3)
    second = started([*words, "--config.distributed.host_id=1"], hosts=2, timeout=3)
    with first as (host,), second as (other,):
        assert 0 not in (host.wait(2 * SECONDS), other.wait(2 * SECONDS))  # imports included
        (line,) = host.errors()
        assert "not all 2 hosts connected to localhost:" in line and "within 3 s" in line
        (line,) = other.errors()
        assert "the coordinator localhost:" in line and "did not answer within 3 s" in line


@pytest.mark.parametrize(
    "killed, signals, statuses",
    [
        (0, {1: signal.SIGINT}, [143, 130]),
        (1, {0: signal.SIGTERM, 1: signal.SIGTERM}, [143, 143]),
    ],
)
def test_a_killed_host_ends_the_other_and_the_run_resumes(
    killed, signals, statuses, people, tmp_path
):
    words = command(people, tmp_path / "run", **LONG)
    with started(words, words, heartbeat=HEARTBEAT) as hosts:
        hosts[0].wait_for("step 24/")
        hosts[killed].signal(signal.SIGKILL)
        survivor = hosts[1 - killed]
        assert survivor.wait(SECONDS) != 0
        (line,) = survivor.errors()
        assert line.startswith(f"train.py: host {killed}") and "run the same command again" in line
        assert "Traceback" not in survivor.text and "stack trace" not in survivor.text
    with started(words, words) as hosts:
        hosts[0].wait_for("resuming")
        hosts[0].wait_for("step 40/")
        for number, sent in signals.items():
            hosts[number].signal(sent)
        assert [host.wait(SECONDS) for host in hosts] == statuses  # all stop, after the same step
        assert [host.errors() for host in hosts] == [[], []]
        stopped = [line for _, line in hosts[0].lines if "stopped by signal 15 after step" in line]
    newest = max(int(path.name) for path in (tmp_path / "run" / "checkpoints").glob("[0-9]*"))
    assert stopped == [f"stopped by signal 15 after step {newest}; run again to resume"]
