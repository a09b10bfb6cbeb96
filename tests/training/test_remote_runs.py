"""Run folders on an object store in memory: checkpoints, logs, weights."""

import json

import fsspec
import jax
import pytest

from configs import common
from jaxpose import runs, skeletons
from jaxpose.remote import RemoteError, RemotePath
from jaxpose.runs import arrays
from jaxpose.runs.arrays import MARKER
from jaxpose.training import checkpoint, logs, runtime
from tests.helpers import tiny_runs
from tests.training.test_checkpoint import assert_equal, make_state, restore, save


@pytest.fixture
def folder(memory_store):
    return RemotePath(f"{memory_store}/run")


def test_saved_state_is_restored(folder):
    save(folder, (1, None), (2, 0.5), ema=True)
    saved = make_state(2, ema=True)
    restored, lines = restore(folder, like=saved)
    assert_equal(restored, jax.device_get(saved))
    assert lines == []
    assert restore(folder / "other") == (None, [])


def test_files_are_those_of_a_local_run(folder, tmp_path):
    save(folder, (1, 0.5))
    save(tmp_path, (1, 0.5))
    local = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    names = {str(file).removeprefix(f"{folder}/") for file in folder.files()}
    assert {n for n in names if "/d/" not in n} == {n for n in local if "/d/" not in n}
    # Copied to a disk, it is a local run.
    folder.download(tmp_path / "copy")
    restored, _ = restore(tmp_path / "copy")
    assert_equal(restored, jax.device_get(make_state(1)))


@pytest.mark.parametrize("again", [False, True])
def test_the_newest_and_the_best_are_kept(folder, again):
    scores = [(1, 0.2), (2, 0.9), (3, 0.3), (4, 0.9), (5, None), (6, 0.1)]
    for group in [scores[:3], scores[3:]] if again else [scores]:
        save(folder, *group)
    assert checkpoint.steps_in(folder / "checkpoints") == [4, 5, 6]


def test_a_checkpoint_written_in_part_does_not_count(folder):
    save(folder, (1, None), (2, None))
    (folder / "checkpoints" / "2" / MARKER).unlink()
    assert checkpoint.steps_in(folder / "checkpoints") == [1]
    restored, lines = restore(folder)
    assert int(restored.step) == 1 and lines == []
    assert (folder / "checkpoints" / "2").files() == []


def test_a_damaged_checkpoint_falls_back_with_a_line(folder):
    save(folder, (1, None), (2, None))
    (folder / "checkpoints" / "2" / "model" / "manifest.ocdbt").write_bytes(b"x")
    restored, (line,) = restore(folder)
    assert int(restored.step) == 1
    assert line.startswith(f"checkpoint {folder}/checkpoints/2 is damaged")
    assert checkpoint.steps_in(folder / "checkpoints") == [1]
    assert (folder / "damaged" / "2" / "manifest" / "metadata").is_file()


def test_a_failed_write_is_reported_and_keeps_the_last_checkpoint(folder, monkeypatch):
    checkpoints = checkpoint.Checkpoints(folder, 2)
    checkpoints.save(make_state(1))
    checkpoints.wait()
    monkeypatch.setattr(fsspec.filesystem("memory"), "put", _refuse)
    monkeypatch.setattr(RemotePath, "_fs", fsspec.filesystem("memory"))
    checkpoints.save(make_state(2))
    with pytest.raises(checkpoint.SaveError) as error:
        checkpoints.wait()
    monkeypatch.undo()
    assert "access denied: Forbidden" in str(error.value)
    assert "\n" not in str(error.value) and "the last complete one is 1" in str(error.value)


def _refuse(*_, **__):
    raise PermissionError("Forbidden")


def test_no_checkpoint_is_taken_for_damaged_if_the_store_fails(folder, monkeypatch):
    save(folder, (1, None), (2, None))
    monkeypatch.setattr(fsspec.filesystem("memory"), "get", _refuse)
    monkeypatch.setattr(RemotePath, "_fs", fsspec.filesystem("memory"))
    with pytest.raises(RemoteError, match=f"{folder}/checkpoints/2/model: access denied"):
        arrays.read_items(folder / "checkpoints" / "2", ("model",))
    with pytest.raises(RemoteError):
        restore(folder)


def test_logs_are_written_before_a_checkpoint_and_cut_back(folder):
    log = logs.RunLog(folder, step=0)
    log.metrics(2, {"loss": 1})
    log.timing(2, {"step_seconds": 1})
    path = folder / "metrics.jsonl"
    assert not path.exists()
    log.sync()
    assert json.loads(path.read_text()) == {"step": 2, "loss": 1}
    log.metrics(4, {"loss": 2})
    log.close()
    assert len(path.read_text().splitlines()) == 2
    events = folder.glob("tensorboard/events*")
    assert len(events) == 1 and len(events[0].read_bytes()) > 100
    log = logs.RunLog(folder, step=2)
    assert json.loads(path.read_text()) == {"step": 2, "loss": 1}
    log.metrics(4, {"loss": 3})
    log.timing(4, {"step_seconds": 2})
    log.close()
    lines = path.read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"step": 2, "loss": 1},
        {"step": 4, "loss": 3},
    ]
    assert len((folder / "timing.jsonl").read_text().splitlines()) == 2


def test_logs_are_written_once_a_minute(folder, monkeypatch):
    monkeypatch.setattr(logs, "_PERIOD", 0.0)
    log = logs.RunLog(folder, step=0)
    log.timing(2, {"step_seconds": 1})
    assert (folder / "timing.jsonl").exists() and folder.glob("tensorboard/events*")
    log.close()


def test_settings_and_weights_are_read_back(folder):
    config = common.get_config()
    config.model = "tests.helpers.tiny_runs:TinyHeatmaps"
    config.input_size = (64, 64)
    model = tiny_runs.TinyHeatmaps(17)
    variables = model.init(jax.random.key(0), jax.numpy.zeros((1, 64, 64, 3)), train=False)
    runs.write_run(folder, config, skeletons.COCO, variables)
    for place in (str(folder), f"{folder}/", f"{folder}/checkpoints", f"{folder}/checkpoints/0"):
        read = runs.read_run(place)
        assert_equal(read.variables, dict(variables))
        assert read.path == folder / "checkpoints" / "0"
    with pytest.raises(runs.CheckpointError, match="already has checkpoints"):
        runs.write_run(folder, config, skeletons.COCO, variables)
    with pytest.raises(runs.CheckpointError, match=f"{folder}/x is not a run folder"):
        runs.read_run(f"{folder}/x")


def test_a_remote_folder_is_not_locked_and_the_log_says_so(folder):
    with runs.locked(folder) as line:
        assert f"{folder} is not locked" in line
    assert runs.holder(folder) is None


def test_a_foreign_config_json_is_not_overwritten(folder):
    (folder / "config.json").write_bytes(b'{"model_type": "vit"}')
    with pytest.raises(runs.CheckpointError, match="config.json does not belong to a run"):
        runtime.open_run(folder, common.get_config(), skeletons.COCO, {})


def test_a_folder_that_cannot_be_written_is_one_line(folder, monkeypatch):
    monkeypatch.setattr(fsspec.filesystem("memory"), "pipe_file", _refuse)
    monkeypatch.setattr(RemotePath, "_fs", fsspec.filesystem("memory"))
    with pytest.raises(ValueError) as error:
        runtime.open_run(folder, common.get_config(), skeletons.COCO, {})
    assert str(error.value) == (
        f"--workdir cannot be used: {folder}/config.json: access denied: Forbidden"
    )
