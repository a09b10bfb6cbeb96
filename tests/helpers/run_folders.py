"""What train.py writes, and the command line of small runs."""

import json

import pytest

from jaxpose.soak import compare
from tests.helpers import tiny_runs

TASKS = pytest.mark.parametrize("task", ["topdown", "simcc", "associative_embedding"])


def tiny(task, request, **changes):
    """Command line, without --workdir, of a small run of that task."""
    if task == "associative_embedding":
        config = tiny_runs.crowd_config(request.getfixturevalue("crowds"), **changes)
        return ["--config=configs/litepose.py:xs,coco", *tiny_runs.flags(config)]
    if task == "simcc":
        config = tiny_runs.simcc_config(request.getfixturevalue("people"), **changes)
        return ["--config=configs/rtmpose.py", *tiny_runs.flags(config)]
    changes = {"model": "tests.helpers.tiny_runs:TinyHeatmaps"} | changes
    config = tiny_runs.config(request.getfixturevalue("people"), **changes)
    return ["--config=configs/common.py", *tiny_runs.flags(config)]


def lines(folder, name="metrics.jsonl"):
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def arrays(folder, step=6):
    """All arrays of a checkpoint as bytes."""
    return compare.arrays(folder, step)


def assert_same_run(first, second):
    assert (first / "metrics.jsonl").read_bytes() == (second / "metrics.jsonl").read_bytes()
    ours, theirs = arrays(first), arrays(second)
    assert [key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)] == []
