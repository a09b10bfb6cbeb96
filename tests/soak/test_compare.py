"""Comparing an interrupted run with an uninterrupted one."""

import json

import numpy as np
import orbax.checkpoint as ocp
import pytest

from jaxpose.runs.arrays import contents
from jaxpose.soak import compare

TREE = {"params": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}}


def write(folder, kernel=None, step=3, score=0.5, metrics='{"step": 3, "loss": 0.5}\n'):
    """A run folder with one checkpoint of one array."""
    tree = TREE if kernel is None else {"params": {"kernel": kernel}}
    with ocp.CheckpointManager((folder / "checkpoints").absolute()) as manager:
        manager.save(step, args=contents({"model": tree}, step, score), force=True)
        manager.wait_until_finished()
    (folder / "metrics.jsonl").write_text(metrics)
    (folder / "config.json").write_text(json.dumps({"facts": {}}))
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write(tmp_path_factory.mktemp("whole"))


def test_equal_runs(whole, tmp_path):
    folder = write(tmp_path)
    (folder / "timing.jsonl").write_text("another machine\n")
    assert compare.differences(folder, whole) == []


def test_one_other_bit_of_an_array(whole, tmp_path):
    kernel = TREE["params"]["kernel"].copy()
    kernel[1, 1] = np.nextafter(kernel[1, 1], np.float32(9))
    found = compare.differences(write(tmp_path, kernel), whole)
    assert found == ["model/params/kernel", "the manifest of checkpoint 3"]


def test_other_logs_scores_and_steps(whole, tmp_path):
    other = write(tmp_path / "metrics", metrics="")
    assert compare.differences(other, whole) == ["metrics.jsonl"]
    other = write(tmp_path / "score", score=0.25)
    assert compare.differences(other, whole) == ["the manifest of checkpoint 3"]
    other = write(tmp_path / "step", step=4)
    assert compare.differences(other, whole) == ["the checkpoints are those of [4], not of 3"]
    (other / "config.json").unlink()
    assert compare.differences(other, whole)[0] == "config.json"


def test_a_damaged_checkpoint(whole, tmp_path):
    folder = write(tmp_path)
    (folder / "checkpoints" / "3" / "manifest" / "metadata").write_text("{")
    (found,) = compare.differences(folder, whole)
    assert found.startswith("checkpoint 3: its manifest cannot be read")


def test_what_is_left_behind(whole, tmp_path):
    assert list(compare.leftovers(whole)) == []
    (tmp_path / "lock.json").touch()
    (tmp_path / ".config.json.17.part").touch()
    (tmp_path / "checkpoints" / "3.orbax-checkpoint-tmp-7").mkdir(parents=True)
    assert list(compare.leftovers(tmp_path)) == [
        *(".config.json.17.part", "checkpoints/3.orbax-checkpoint-tmp-7", "lock.json")
    ]
