"""Checkpoints: written completely, verified when read, refused if they do not fit."""

import pathlib
import resource
import shutil

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import common
from jaxpose import hosts, runs, skeletons
from jaxpose.runs import arrays
from jaxpose.training import checkpoint, state

OPTIMIZER = optax.adam(1e-3)


class Tiny(nn.Module):
    features: int = 3

    @nn.compact
    def __call__(self, x, train: bool):
        return nn.Conv(self.features, (1, 1), name="final_layer")(
            nn.BatchNorm(use_running_average=not train)(x)
        )


def make_state(number=0, features=3, ema=False):
    made = state.create_state(Tiny(features), OPTIMIZER, (4, 4), ema, number)
    return made.replace(step=jnp.int32(number))


def save(folder, *saves, keep=2, ema=False):
    """Checkpoints of (step, score) pairs."""
    checkpoints = checkpoint.Checkpoints(folder, keep)
    for number, score in saves:
        checkpoints.save(make_state(number, ema=ema), score)
    checkpoints.wait()
    checkpoints.close()


def restore(folder, like=None):
    checkpoints = checkpoint.Checkpoints(folder, 2)
    try:
        return checkpoints.restore(jax.eval_shape(lambda: like or make_state()))
    finally:
        checkpoints.close()


def assert_equal(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)


def data_files(folder: pathlib.Path, step: int, item: str) -> list[pathlib.Path]:
    """Files that contain the arrays."""
    files = (folder / "checkpoints" / str(step) / item).rglob("d/*")
    return [path for path in files if path.is_file()]


@pytest.mark.parametrize("ema", [False, True])
def test_saved_state_is_restored(tmp_path, ema):
    save(tmp_path, (7, None), ema=ema)
    restored, lines = restore(tmp_path, make_state(ema=ema))
    assert_equal(restored, jax.device_get(make_state(7, ema=ema)))
    assert lines == []


def test_relative_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(pathlib.Path("run"), (7, None))
    restored, lines = restore(pathlib.Path("run"))
    assert int(restored.step) == 7 and lines == []


def test_nothing_to_restore(tmp_path):
    assert restore(tmp_path) == (None, [])


@pytest.mark.slow
def test_the_newest_and_the_best_are_kept(tmp_path):
    save(tmp_path, (1, 0.2), (2, 0.9), (3, 0.1), (4, None), (5, 0.3), (6, None))
    assert checkpoint.steps_in(tmp_path / "checkpoints") == [2, 5, 6]


def test_saving_ignores_later_changes(tmp_path):
    """The step overwrites its buffers while the background thread still writes."""
    checkpoints = checkpoint.Checkpoints(tmp_path, 2)
    step = jax.jit(lambda s: jax.tree.map(lambda x: x + 1, s), donate_argnums=0)
    current = make_state(1)
    expected = jax.tree.map(np.array, current)
    checkpoints.save(current)
    for _ in range(20):
        current = step(current)
    jax.block_until_ready(current)
    checkpoints.wait()
    checkpoints.close()
    assert_equal(restore(tmp_path)[0], expected)


def truncate(folder):
    for file in data_files(folder, 2, "model"):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(folder):
    for file in data_files(folder, 2, "train"):
        file.write_bytes(b"")


def remove(folder):
    for file in data_files(folder, 2, "model"):
        file.unlink()


def alter(folder):
    for file in data_files(folder, 2, "model"):
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 0xFF
        file.write_bytes(content)


def remove_item(folder):
    shutil.rmtree(folder / "checkpoints" / "2" / "train")


def remove_manifest(folder):
    (folder / "checkpoints" / "2" / "manifest" / "metadata").unlink()


def spoil_manifest(folder):
    (folder / "checkpoints" / "2" / "manifest" / "metadata").write_text('{"step": 2, "arr')


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage", [truncate, empty, remove, alter, remove_item, remove_manifest, spoil_manifest]
)
def test_a_damaged_checkpoint_falls_back_with_a_line(tmp_path, damage):
    save(tmp_path, (1, None), (2, None))
    damage(tmp_path)
    restored, (line,) = restore(tmp_path)
    assert_equal(restored, jax.device_get(make_state(1)))
    assert "checkpoints/2 is damaged" in line and line.endswith(f"{tmp_path}/checkpoints/1")
    assert "\n" not in line
    # Moved, not deleted, so that the run can write step 2 again.
    assert checkpoint.steps_in(tmp_path / "checkpoints") == [1]
    assert (tmp_path / "damaged" / "2").is_dir()


def test_no_complete_checkpoint_is_an_error(tmp_path):
    save(tmp_path, (2, None))
    truncate(tmp_path)
    with pytest.raises(checkpoint.CheckpointError, match="no complete checkpoint"):
        restore(tmp_path)
    assert checkpoint.steps_in(tmp_path / "checkpoints") == [2]


def test_a_disk_that_fails_is_an_error_and_moves_nothing(tmp_path, monkeypatch):
    save(tmp_path, (1, None), (2, None))

    def fail(path, _names):
        raise OSError(f"{path}/model cannot be read (OSError: Input/output error)")

    monkeypatch.setattr(checkpoint, "read_items", fail)
    with pytest.raises(OSError, match="checkpoints/2/model cannot be read"):
        restore(tmp_path)
    assert checkpoint.steps_in(tmp_path / "checkpoints") == [1, 2]
    assert not (tmp_path / "damaged").exists()


@pytest.mark.parametrize("steps", [(1, 2), (2,), (1,), ()])
def test_hosts_compare_the_checkpoints_before_one_is_moved(tmp_path, monkeypatch, steps):
    save(tmp_path, *((step, None) for step in steps))
    if 2 in steps:
        truncate(tmp_path)
    records = []

    def agree(_name, record, timeout, hint):
        records.append(record)
        assert timeout == 300 and f"nothing in {tmp_path}/checkpoints was moved" in hint
        raise hosts.HostsDifferError("host 1 has damaged checkpoints 2, host 0 has none")

    monkeypatch.setattr(hosts, "agree", agree)
    with pytest.raises(hosts.HostsDifferError):
        restore(tmp_path)
    assert records == [{
        "damaged checkpoints": "2" if 2 in steps else "none",
        "the newest complete checkpoint": 1 if 1 in steps else "none",
    }]  # fmt: skip
    assert checkpoint.steps_in(tmp_path / "checkpoints") == list(steps)


def test_incomplete_checkpoints_are_ignored(tmp_path):
    save(tmp_path, (1, None))
    left = tmp_path / "checkpoints" / "2.orbax-checkpoint-tmp"
    shutil.copytree(tmp_path / "checkpoints" / "1", left)
    restored, lines = restore(tmp_path)
    assert int(restored.step) == 1 and lines == []
    assert not left.exists()
    save(tmp_path, (3, None))
    assert int(restore(tmp_path)[0].step) == 3


def test_another_number_of_keypoints_is_refused_with_the_shapes(tmp_path):
    save(tmp_path, (1, None))
    with pytest.raises(checkpoint.CheckpointError) as error:
        restore(tmp_path, make_state(features=5))
    text = str(error.value)
    assert "different model or number of keypoints" in text and "\n" not in text
    assert "params/final_layer/bias (3,) in the checkpoint, (5,) here" in text


def test_a_missing_average_is_refused(tmp_path):
    save(tmp_path, (1, None))
    with pytest.raises(checkpoint.CheckpointError, match="absent in the checkpoint"):
        restore(tmp_path, make_state(ema=True))


def test_a_failed_write_is_reported_and_keeps_the_last_checkpoint(tmp_path):
    save(tmp_path, (1, None))
    checkpoints = checkpoint.Checkpoints(tmp_path, 2)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, limits[1]))  # bytes: as if the disk were full
    try:
        with pytest.raises(checkpoint.SaveError) as error:
            checkpoints.save(make_state(2))
            checkpoints.wait()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "the last complete one is 1" in str(error.value) and "\n" not in str(error.value)
    restored, lines = restore(tmp_path)
    assert int(restored.step) == 1 and lines == []


def test_a_run_with_weights_only_cannot_be_resumed(tmp_path):
    made = make_state()
    runs.write_run(tmp_path, common.get_config(), skeletons.MPII, made.variables)
    with pytest.raises(checkpoint.CheckpointError, match="init_from"):
        restore(tmp_path)


def test_window_without_loss_terms_has_the_same_arrays_as_older_checkpoints():
    names = {key for key in arrays.flat(make_state()) if "window" in key}
    assert names == {"window/steps", "window/loss", "window/grad_norm"}
