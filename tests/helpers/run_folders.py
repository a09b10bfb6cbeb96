"""What train.py writes, and the command line of small runs."""

import json

import pytest

from jaxpose.runs.arrays import read_items
from tests.helpers import tiny_runs

ITEMS = ("model", "ema", "train")
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
