"""The run's logs: removal of later lines, TensorBoard events, the console line."""

import contextlib
import io
import json
import sys

import pytest

from jaxpose.training import logs


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_resumed_log_is_cut_back_to_the_checkpoint(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 2, "loss": 1}\n{"step": 4, "loss": 2}\n{"step": 6, "lo')
    log = logs.RunLog(tmp_path, step=4)
    log.metrics(6, {"loss": 0.5})
    log.close()
    assert lines(path) == [{"step": 2, "loss": 1}, {"step": 4, "loss": 2}, {"step": 6, "loss": 0.5}]


def test_a_log_without_later_lines_is_unchanged(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 2}\n')
    before = path.stat().st_ino
    logs.cut_back(path, 2)
    assert path.stat().st_ino == before


def test_a_resumed_log_keeps_the_complete_lines_of_times(tmp_path):
    whole = '{"step": 1, "goodput": 0.5}\n{"step": 9}\n'
    (tmp_path / "timing.jsonl").write_text(whole + '{"step": 10, "eta')
    with contextlib.closing(logs.RunLog(tmp_path, 3)):
        assert (tmp_path / "timing.jsonl").read_text() == whole


def test_an_incomplete_last_line_is_removed(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 2}\n{"step": 4}')
    logs.cut_back(path, 10)
    assert path.read_text() == '{"step": 2}\n'


@pytest.mark.slow
def test_tensorboard_reads_the_values(tmp_path):
    tf = pytest.importorskip("tensorflow")
    from tensorflow.core.util import event_pb2

    log = logs.RunLog(tmp_path, step=4)
    log.metrics(300, {"loss": 0.25, "eval/AP": 1})
    log.close()
    (file,) = (tmp_path / "tensorboard").iterdir()
    records = tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
    events = [event_pb2.Event.FromString(record) for record in records]
    assert [e.step for e in events if e.session_log.status == event_pb2.SessionLog.START] == [5]
    values = {(e.step, v.tag): v.simple_value for e in events for v in e.summary.value}
    assert values == {(300, "loss"): 0.25, (300, "eval/AP"): 1.0}


def test_a_full_disk_is_one_line(small_disk):
    folder = small_disk(32)
    with pytest.raises(OSError) as error:
        with logs.RunLog(folder, step=0) as log:
            for step in range(3000):
                log.metrics(step, {"loss": 1 / (step + 1), "lr": 0.001, "grad_norm": 2.0})
    assert str(error.value) == f"{folder}/metrics.jsonl: cannot be written: No space left on device"


def fill(folder):
    with contextlib.suppress(OSError), open(folder / "other", "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def test_a_full_disk_does_not_hide_an_earlier_error(small_disk):
    folder = small_disk(32)
    with pytest.raises(ValueError, match="first"):
        with logs.RunLog(folder, step=0) as log:
            log.metrics(1, {"loss": 1})
            fill(folder)
            raise ValueError("first")


def test_a_full_disk_at_the_end_is_reported(small_disk):
    folder = small_disk(32)
    with pytest.raises(OSError, match="tensorboard: cannot be written: No space left on device"):
        with logs.RunLog(folder, step=0) as log:
            log.metrics(1, {"loss": 1})
            fill(folder)


def test_progress_line():
    line = logs.progress_line(
        50,
        200,
        {"epoch": 1.5, "loss": 1.25e-3, "lr": 5e-4, "grad_norm": 0.02},
        {"examples_per_second": 92.04, "input_wait": 0.031, "eta_seconds": 3725},
    )
    assert line == (
        "step 50/200  ETA 1:02:05  epoch 1.50  loss 1.2500e-03  lr 5.0e-04  |g| 2.00e-02"
        "  92.0 examples/s  input wait 3%"
    )


def test_progress_line_with_what_only_some_machines_know():
    line = logs.progress_line(
        50,
        200,
        {"epoch": 1.5, "loss": 1.25e-3, "lr": 5e-4, "grad_norm": 0.02},
        {
            "examples_per_second": 92.04, "input_wait": 0.031, "eta_seconds": 3725, "mfu": 0.1234,
            "memory_peak_bytes": 3 * 2**30, "bad_files": 2,
        },
    )  # fmt: skip
    assert line.endswith("  input wait 3%  MFU 12.3%  memory 3.0 GiB  2 unusable images")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_one_line_in_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("COLUMNS", "12")
    monkeypatch.setenv("LINES", "20")
    seconds = [0.0]
    console = logs.Console(now=lambda: seconds[0])
    console.line("start")
    assert console.due()
    console.progress("step 1 of a long line")
    assert not console.due()
    seconds[0] = 0.25
    assert console.due()
    console.progress("step 2")
    console.line("AP 0.5")
    console.progress("step 3")
    console.line_of_host("bad")
    console.progress("step 4")
    console.end()
    console.end()
    assert terminal.getvalue() == (
        "start\n\rstep 1 of a\rstep 2     \nAP 0.5\n\rstep 3     \nbad\n\rstep 4     \n"
    )


def test_progress_is_plain_lines_elsewhere(capsys):
    console = logs.Console()
    assert not console.due()
    console.progress("step 1")
    console.line("AP 0.5")
    console.progress("step 2")
    console.end()
    assert capsys.readouterr().err == "step 1\nAP 0.5\nstep 2\n"
