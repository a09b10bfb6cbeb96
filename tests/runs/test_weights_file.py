"""Weights as one file: read back exactly, by all that read weights, and never when damaged."""

import argparse
import hashlib
import json

import jax
import numpy as np
import pytest

from configs import common
from jaxpose import PoseEstimator, runs, skeletons, tensor_file
from jaxpose.convert import command as import_command
from jaxpose.convert.sources import read_source
from jaxpose.export import command as export_command
from jaxpose.runs import CheckpointError, DamagedError
from tests.helpers import tiny_runs


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder of a tiny network, and its file of weights."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    config = common.get_config()
    config.model, config.input_size = "tests.helpers.tiny_runs:TinyHeatmaps", (64, 64)
    model = tiny_runs.TinyHeatmaps(17)
    variables = model.init(jax.random.key(1), np.zeros((1, 64, 64, 3), np.float32), train=False)
    runs.write_run(folder, config, skeletons.COCO, dict(variables))
    assert export(folder, "--to", "weights") == 0
    return folder, folder / "export" / "TinyHeatmaps.safetensors"


def export(folder, *arguments):
    parser = argparse.ArgumentParser()
    export_command.add_arguments(parser)
    return export_command.run(parser.parse_args([str(folder), *arguments]))


def assert_equal(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_the_file_is_read_back(run, capsys):
    folder, file = run
    assert export(folder, "--to", "weights") == 0
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert f"{file}: {file.stat().st_size} bytes, SHA-256 {digest}" in capsys.readouterr().out
    ours, theirs = runs.read_run(file), runs.read_run(folder)
    assert_equal(ours.variables, theirs.variables)
    assert ours.config.to_dict() == theirs.config.to_dict()
    assert ours.skeleton == theirs.skeleton and ours.path == file
    assert runs.is_weights_file(file) and not runs.is_weights_file(folder)


def test_paths_of_the_machine_are_left_out(tmp_path):
    config = common.get_config()
    config.data.root, config.data.tfds_dir = "/home/somebody/coco", "~/tfds"
    config.init_from = "hrnet_w32_coco_256x192"
    file = tmp_path / "weights.safetensors"
    runs.write_weights(file, config, skeletons.COCO, {"params": {"w": np.ones(2, np.float32)}})
    assert b"somebody" not in file.read_bytes() and config.data.root == "/home/somebody/coco"
    kept = runs.read_weights(file)[1].config
    assert (kept.data.root, kept.data.tfds_dir) == ("", "")
    assert kept.init_from == config.init_from
    assert kept.data.train_images == config.data.train_images == "train2017"


def test_the_safetensors_package_reads_it(run):
    package = pytest.importorskip("safetensors")
    from safetensors.numpy import load_file

    _, file = run
    arrays, _ = runs.read_weights(file)
    loaded = load_file(file)
    assert loaded.keys() == arrays.keys() and "params/final/kernel" in arrays
    for name in arrays:
        np.testing.assert_array_equal(loaded[name], arrays[name])
    with package.safe_open(file, "np") as opened:
        metadata = opened.metadata()
    assert json.loads(metadata["config"])["model"].endswith("TinyHeatmaps")
    assert json.loads(metadata["skeleton"])["joints"] == list(skeletons.COCO.joints)
    assert {"jaxpose", "jax"} <= json.loads(metadata["versions"]).keys()


def test_the_estimator_predicts_the_same(run, rng):
    folder, file = run
    image = rng.integers(0, 255, (80, 64, 3), np.uint8)
    ours, theirs = PoseEstimator(file)(image), PoseEstimator(folder)(image)
    np.testing.assert_array_equal(ours.keypoints, theirs.keypoints)
    with pytest.raises(CheckpointError, match="only run folders have steps"):
        PoseEstimator(file, step=3)


def test_a_training_starts_from_it(run):
    _, file = run
    source = read_source(str(file), "topdown", "tests.helpers.tiny_runs:TinyHeatmaps", None)
    assert source.joints == skeletons.COCO.joints and source.name == str(file)
    assert "params/final/kernel" in source.arrays


def test_import_makes_a_run_folder_of_it(run, tmp_path):
    folder, file = run
    parser = argparse.ArgumentParser()
    import_command.add_arguments(parser)
    args = parser.parse_args([str(file), "-o", str(tmp_path / "new")])
    assert import_command.run(args) == 0
    assert_equal(runs.read_run(tmp_path / "new").variables, runs.read_run(folder).variables)
    other = tmp_path / "other.safetensors"
    start, data = tensor_file.encode({"a": np.zeros(3, np.float32)}, {})
    other.write_bytes(start + data)
    with pytest.raises(ValueError, match="not a file of `jaxpose export --to weights`"):
        import_command.run(parser.parse_args([str(other), "-o", str(tmp_path / "x")]))
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("place", ["array", "end", "settings"])
def test_a_damaged_file_is_refused(run, tmp_path, place):
    _, file = run
    content = bytearray(file.read_bytes())
    if place == "array":
        content[-5] ^= 1
        message = "do not match their SHA-256"
    elif place == "end":
        del content[-5:]
        message = "damaged or cut off"
    else:
        start = content.index(b'{\\"seed') if b'{\\"seed' in content else content.index(b'{\\"')
        content[start : start + 1] = b"["
        message = "damaged"
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as error:
        runs.read_run(damaged)
    assert "\n" not in str(error.value) and str(damaged) in str(error.value)
    assert place == "settings" or isinstance(error.value, DamagedError)


def test_only_trained_weights_are_written(run, tmp_path):
    folder, _ = run
    for words in (["--precision", "fp16"], ["--init", "random"]):
        with pytest.raises(ValueError, match="writes the weights of a run as they are, in fp32"):
            export(folder, "--to", "weights", "-o", str(tmp_path), *words)
    assert list(tmp_path.iterdir()) == []
