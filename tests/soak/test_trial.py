"""The checks of one trial; scripts stand in for train.py."""

import json
import random
import sys

import pytest

from jaxpose.soak import damage, trial
from jaxpose.soak.moments import Moment
from jaxpose.soak.trial import Bad, Reference, Trial


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Makes a trial whose command runs a script; its reference has two empty checkpoints."""
    for name in ("data", "prepared", "cache", "run/checkpoints/3", "run/checkpoints/6"):
        (tmp_path / "reference" / name).mkdir(parents=True)
    folder = tmp_path / "reference"

    def make(script="") -> Trial:
        monkeypatch.setattr(trial, "command", lambda changes: [sys.executable, "-c", script])
        reference = Reference(folder, folder / "cache", {"start": 0.0})
        return Trial(tmp_path / "trial", reference, random.Random(0), limit=60.0)

    return make


def test_a_traceback_is_bad_whatever_the_status(made):
    script = """
import traceback
print("step 1")
try:
    raise KeyError("lost key")
except KeyError:
    traceback.print_exc()
"""
    tried = made(script)
    with pytest.raises(Bad, match="traceback: KeyError: 'lost key' .after 'step 1'") as error:
        tried.finish(tried.start())
    assert error.value.outcome == "traceback"


def test_a_hang_before_a_moment_is_bad(made):
    tried = made("import time; time.sleep(99)")
    tried.limit = 0.2
    with pytest.raises(Bad, match="hang: no 'step 3' within 0 s"):
        tried.reach(tried.start(), Moment("step 3", 0.0))


def test_a_crash_is_bad(made):
    tried = made("import os; os.abort()")
    with pytest.raises(Bad, match="lost: ended by signal 6"):
        tried.finish(tried.start())


def test_a_refusal_is_one_line_with_the_reason(made):
    tried = made("import sys; print('devices'); sys.exit('train.py: config.json cannot be read')")
    tried.refuse(tried.start(), "config.json")
    with pytest.raises(Bad, match="the last line is: train.py: config.json cannot be read"):
        tried.refuse(tried.start(), "no complete checkpoint")


def test_success_is_not_a_refusal(made):
    tried = made("print('train.py: config.json')")
    with pytest.raises(Bad, match="it was not refused"):
        tried.refuse(tried.start(), "config.json")


def test_the_command_is_repeated_until_it_succeeds(made):
    # Each run removes one file and fails while there was one.
    script = """
import pathlib, sys
files = list(pathlib.Path(".").glob("fail-*"))
if files:
    files[0].unlink()
    sys.exit(f"train.py: {files[0]}")
"""
    tried = made(script)
    for number in range(2):
        (tried.folder / f"fail-{number}").touch()
    tried.complete()
    assert len(list(tried.folder.glob("log-*.txt"))) == 3
    for number in range(3):
        (tried.folder / f"fail-{number}").touch()
    with pytest.raises(Bad, match="lost: status 1 after 3 attempts: train.py: fail-"):
        tried.complete()


def test_metrics_are_cut_after_the_last_checkpoint_that_is_left(made, monkeypatch):
    tried = made()
    lines = [json.dumps({"step": step, "loss": 1 / step}) + "\n" for step in range(1, 7)]
    (tried.reference.run / "metrics.jsonl").write_text("".join(lines))
    monkeypatch.setattr(Trial, "survive", lambda self: "equal")
    assert damage.truncate_metrics(tried) == "equal"
    kept = (tried.run / "metrics.jsonl").read_text()
    assert "".join(lines).startswith(kept)
    assert len("".join(lines[:3])) < len(kept) < len("".join(lines))
    assert [path.name for path in (tried.run / "checkpoints").iterdir()] == ["3"]


def test_a_file_is_cut(made):
    tried = made()
    path = tried.folder / "file"
    for _ in range(20):
        path.write_bytes(b"0123456789")
        note = damage.cut(path, tried)
        assert path.stat().st_size < 10
        assert note == f"file cut from 10 to {path.stat().st_size} bytes"


def test_own_data_leaves_the_data_of_the_reference_alone(made):
    tried = made()
    (tried.reference.folder / "data" / "image").write_text("pixels")
    assert (tried.folder / "data" / "image").read_text() == "pixels"
    tried.own_data(copied=True)
    (tried.folder / "data" / "image").write_text("")
    assert (tried.reference.folder / "data" / "image").read_text() == "pixels"
    assert not (tried.folder / "prepared").exists()


def test_a_wrapper_is_given_the_command_line(made):
    tried = made("train.py")
    tried.wrapper = ["-c", "import sys; print(sys.argv)"]
    training = tried.start()
    assert tried.finish(training) == 0
    assert training.output == "['-c', '-c', 'train.py']\n"
