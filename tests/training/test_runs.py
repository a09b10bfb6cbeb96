"""Run folders: networks are loaded completely, or refused with one line."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxpose
from configs import common
from jaxpose import runs, skeletons
from jaxpose.config import ConfigError
from jaxpose.runs.arrays import CheckpointError
from jaxpose.training import checkpoint, runtime, state

OPTIMIZER = optax.adam(1e-3)


@pytest.fixture(scope="module")
def hwl():
    """A configuration, and variables of the model that it names, without training."""
    config = common.get_config()
    config.input_size = (64, 64)
    model = jaxpose.create_model("hwl_mobilenetv3", num_keypoints=16)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
    random = np.random.default_rng(0)
    variables = jax.tree.map(lambda x: random.normal(size=x.shape).astype(x.dtype), shapes)
    return config, variables


@pytest.mark.slow
def test_written_runs_are_read_back(tmp_path, hwl):
    config, variables = hwl
    runs.write_run(tmp_path / "run", config, skeletons.MPII, variables)
    for named in ("run", "run/checkpoints", "run/checkpoints/0"):
        loaded, model, weights, skeleton = runs.load_run(tmp_path / named)
        assert jax.tree.structure(weights) == jax.tree.structure(variables)
        jax.tree.map(np.testing.assert_array_equal, weights, variables)
        assert loaded.to_dict() == config.to_dict() and skeleton == skeletons.MPII
        assert model.num_keypoints == 16
    with pytest.raises(CheckpointError, match="already has checkpoints"):
        runs.write_run(tmp_path / "run", config.to_dict(), skeletons.MPII, variables)


def test_weights_with_another_number_of_keypoints_are_refused(tmp_path, hwl):
    config, variables = hwl
    runs.write_run(tmp_path / "run", config, skeletons.COCO, variables)
    with pytest.raises(CheckpointError, match=r"16\) in the checkpoint, .*17\) here"):
        runs.load_run(tmp_path / "run")


def test_invalid_run_folders_are_refused(tmp_path, hwl):
    with pytest.raises(CheckpointError, match="no config.json"):
        runs.load_run(tmp_path)
    config, variables = hwl
    runs.write_run(tmp_path / "run", config, skeletons.MPII, variables)
    with pytest.raises(CheckpointError, match=r"no checkpoint of step 9; it has \[0\]"):
        runs.load_run(tmp_path / "run", step=9)


def _without(record, *keys):
    return {key: value for key, value in record.items() if key not in keys}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda r: json.dumps(r)[:-40], "is damaged: it is not JSON ("),
        (lambda r: "", "is damaged: it is not JSON (Expecting value"),
        (lambda r: "\x00" * 40, "is damaged: it is not JSON"),
        (lambda r: b"\xff\xfe{", "is damaged: it is not JSON"),
        (lambda r: "[" * 100_000, "is damaged: it is not JSON"),
        (lambda r: "[]", "does not belong to a run: it has no 'config' and 'skeleton'"),
        (lambda r: '"text"', "does not belong to a run"),
        (lambda r: _without(r, "skeleton"), "does not belong to a run"),
        (lambda r: r | {"skeleton": _without(r["skeleton"], "joints")}, "skeleton lacks joints"),
        (lambda r: r | {"skeleton": 5}, "is damaged: 'skeleton' must be an object, not int"),
        (lambda r: r | {"config": None}, "is damaged: 'config' must be an object, not NoneType"),
        (lambda r: r | {"config": r["config"] | {"data": 5}}, "is damaged: 'config' or 'skel"),
    ],
)
def test_a_damaged_config_is_reported_as_such(tmp_path, damage, message):
    config = common.get_config()
    runs.write_info(tmp_path, config, skeletons.COCO)
    path = tmp_path / "config.json"
    damaged = damage(json.loads(path.read_text()))
    if not isinstance(damaged, bytes):
        text = damaged if isinstance(damaged, str) else json.dumps(damaged)
        damaged = text.encode()
    path.write_bytes(damaged)
    with pytest.raises(CheckpointError) as error:
        runs.read_info(tmp_path)
    assert str(error.value).startswith(str(path)) and message in str(error.value)
    assert "\n" not in str(error.value)
    if "JSON" in message or "belong" in message or "object" in message:
        with pytest.raises(CheckpointError, match="would be overwritten: restore it or choose"):
            runs.check_own(tmp_path)
    assert path.read_bytes() == damaged


def test_a_run_from_before_a_setting_existed_has_its_default(tmp_path, hwl):
    config, variables = hwl
    runs.write_run(tmp_path, config, skeletons.MPII, variables)
    record = json.loads((tmp_path / "config.json").read_text())
    del record["config"]["augment"], record["config"]["data"]["generated"]["seed"]
    (tmp_path / "config.json").write_text(json.dumps(record))
    assert runs.read_info(tmp_path).config.to_dict() == config.to_dict()


def test_a_run_is_resumed_with_the_same_left_right_pairs(tmp_path, hwl):
    config, variables = hwl
    runs.write_run(tmp_path, config, skeletons.MPII, variables)
    same = dataclasses.replace(skeletons.MPII, declared_pairs=skeletons.MPII.flip_pairs)
    runtime.open_run(tmp_path, config, same, {})
    for pairs, text in (((), "none"), (((6, 7),), "pelvis/thorax")):
        runs.write_info(tmp_path, config, skeletons.MPII)
        other = dataclasses.replace(skeletons.MPII, declared_pairs=pairs)
        with pytest.raises(ConfigError, match=f"left-right pairs: .*right_ankle/.* -> {text}$"):
            runtime.open_run(tmp_path, config, other, {})


def test_steps_are_words_or_numbers():
    steps = [runs.parse_step(text) for text in (None, "last", "best", "20000", "0")]
    assert steps == [None, None, "best", 20000, 0]
    for text in ("newest", "", "-1", "1.5", "\N{SUPERSCRIPT TWO}"):
        with pytest.raises(ValueError, match="last, best, or give the number of a step"):
            runs.parse_step(text)


@pytest.mark.slow
def test_one_checkpoint_has_one_step(tmp_path, hwl):
    config, variables = hwl
    runs.write_run(tmp_path / "run", config, skeletons.MPII, variables)
    for step in (3, "best"):
        with pytest.raises(CheckpointError, match=f"for step {step}, give its run folder .*run$"):
            runs.read_run(tmp_path / "run" / "checkpoints" / "0", step=step)
    assert runs.read_run(tmp_path / "run" / "checkpoints" / "0", step=0).path.name == "0"


@pytest.mark.slow
def test_best_and_damaged_when_loading(tmp_path, hwl, capsys):
    config, variables = hwl
    runs.write_info(tmp_path, config, skeletons.MPII)
    checkpoints = checkpoint.Checkpoints(tmp_path, 3)
    for step, score in ((1, 0.1), (2, 0.9), (3, 0.5)):
        made = state.from_variables(jax.tree.map(jnp.asarray, variables), OPTIMIZER)
        checkpoints.save(made.replace(step=jnp.int32(step)), score)
    checkpoints.wait()
    checkpoints.close()
    assert runs.read_run(tmp_path, step="best").path.name == "2"
    assert runs.read_run(tmp_path).path.name == "3"
    for file in (tmp_path / "checkpoints" / "3" / "model").rglob("d/*"):
        if file.is_file():
            file.write_bytes(b"")
    assert runs.read_run(tmp_path).path.name == "2"
    assert "checkpoints/3 is damaged" in capsys.readouterr().out
    with pytest.raises(CheckpointError, match="damaged"):
        runs.read_run(tmp_path, step=3)
