"""SimCC from RTMPose's recipe: training, score, prediction and exported file, on a dozen people.

A network of a few layers, and the smallest RTMPose.
"""

import importlib
import json

import cv2
import jax
import numpy as np
import pytest

from jaxpose import PoseEstimator, runs
from jaxpose.evaluation import command_line
from jaxpose.export import command
from jaxpose.export.source import from_run
from jaxpose.training.setup import make_setup
from tests.helpers import tiny_runs
from tests.helpers.run_folders import lines

train = importlib.import_module("train")


NETWORKS = {
    "tiny": {},
    "rtmpose_t": {"model": "rtmpose_t", "optimizer.decay_also": ("head/*/gain", "head/*/factor")},
}


@pytest.fixture(scope="module", params=NETWORKS)
def run(people, tmp_path_factory, request):
    """(settings, folder) of two epochs of three steps; the second has the second augmentation."""
    config = tiny_runs.simcc_config(people, log_every=1, eval_every=0.0, **NETWORKS[request.param])
    folder = tmp_path_factory.mktemp("runs") / request.param
    assert train.main(config, str(folder)) == 0
    return config, folder


@pytest.mark.slow
def test_every_parameter_learns(run):
    config, folder = run
    losses = [line["loss"] for line in lines(folder) if "loss" in line]
    assert len(losses) == 6 and np.isfinite(losses).all()
    state = runs.read_run(folder)
    setup = make_setup(config, 17, steps_per_epoch=3.0, total_steps=6)
    first = setup.create_state(config.seed)
    changed = jax.tree.map(
        lambda a, b: bool(np.any(np.asarray(a) != b)),
        first.params,
        jax.device_get(state.variables["params"]),
    )
    assert [path for path, new in jax.tree.leaves_with_path(changed) if not new] == []


@pytest.mark.slow
def test_eval_repeats_the_score(run, tmp_path):
    _, folder = run
    source = command_line.Source("the run", folder, run=runs.read_run(folder))
    assert importlib.import_module("eval").main(run[0], source, tmp_path, worst=0) == 0
    scores = json.loads((tmp_path / "metrics.json").read_text())["metrics"]
    logged = lines(folder)[-1]
    assert {f"eval/{key}": value for key, value in scores.items()}.items() <= logged.items()


@pytest.mark.slow
def test_an_exported_file_predicts_the_same(run, people, tmp_path):
    pytest.importorskip("onnxruntime")
    _, folder = run
    path, agreement = command.export_file(from_run(folder), "onnx", tmp_path)
    assert agreement.holds and str(agreement).startswith("outputs differ by at most")
    image = cv2.imread(str(people / "images" / "3.png"))[..., ::-1]
    boxes = np.array([[10, 10, 60, 75], [20, 5, 40, 80]], np.float32)
    for flip in (True, False):
        of_run, of_file = (
            PoseEstimator(source, flip=flip)(np.ascontiguousarray(image), boxes)
            for source in (folder, path)
        )
        assert of_run.keypoints.shape == (2, 17, 2)
        np.testing.assert_allclose(of_file.scores, of_run.scores, atol=1e-5)
    maps = PoseEstimator(path).maps(np.ascontiguousarray(image), boxes)
    assert [part.heatmaps.shape for part in maps] == [(16, 16, 17)] * 2
