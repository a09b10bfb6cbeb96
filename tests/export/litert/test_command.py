"""`jaxpose export --to litert`: verified files that the rest of the library runs."""

import argparse

import jax
import numpy as np
import pytest

from jaxpose import PoseEstimator, export, ops, skeletons
from jaxpose.export import command
from jaxpose.export.targets import Options
from jaxpose.tasks.agreement import TOLERANCES
from tests.helpers.networks import Function, source_of, weight

SIZE = (64, 48)


def body(m, x):
    x = ops.conv(x, weight(m, "stem", (4, 4, 3, 8)), stride=4)
    return ops.conv(ops.activation(x, kind="relu"), weight(m, "final", (1, 1, 8, 17)))


def source():
    return source_of(Function(body), "tiny", "topdown", SIZE)


@pytest.mark.parametrize("precision, ending", [("fp32", ""), ("fp16", "_fp16")])
def test_an_agreeing_file_gets_its_name(precision, ending, tmp_path):
    pytest.importorskip("ai_edge_litert")
    path, agreement = command.export_file(source(), "litert", tmp_path, None, Options(precision))
    assert [p.name for p in tmp_path.iterdir()] == [f"tiny_64x48{ending}.tflite"]
    assert agreement.holds
    assert agreement.largest <= TOLERANCES[precision].heatmap * agreement.scale
    stored = export.read_metadata(path)
    assert skeletons.Skeleton.from_dict(stored["skeleton"]) == skeletons.COCO
    assert (stored["layout"], stored["precision"]) == ("NHWC", precision)
    assert stored["input_size"] == list(SIZE) and stored["codec"]["name"] == "topdown"


@pytest.mark.parametrize(
    "precision, factor, limits",
    [("fp32", 1.001, "0.0001 of .* 0.05 px"), ("fp16", 1.2, "0.1 of the largest value$")],
)
def test_a_disagreeing_file_leaves_nothing(precision, factor, limits, tmp_path, monkeypatch):
    pytest.importorskip("ai_edge_litert")
    original = source()
    wrong = jax.tree.map(lambda a: np.asarray(a) * np.float32(factor), original.variables)
    to_litert = export.to_litert
    monkeypatch.setattr(
        export, "to_litert", lambda model, _, *rest, **kw: to_litert(model, wrong, *rest, **kw)
    )
    with pytest.raises(export.MismatchError, match=f"the tolerances are {limits}"):
        command.export_file(original, "litert", tmp_path, None, Options(precision))
    assert list(tmp_path.iterdir()) == []


def test_estimator(tmp_path):
    pytest.importorskip("ai_edge_litert")
    pytest.importorskip("onnxruntime")
    files = [command.export_file(source(), target, tmp_path)[0] for target in ("onnx", "litert")]
    image = np.random.default_rng(0).integers(0, 256, (90, 70, 3), np.uint8)
    boxes = np.array([[0, 0, 60, 80], [10, 20, 40, 50]])
    expected, actual = (PoseEstimator(file)(image, boxes) for file in files)
    np.testing.assert_allclose(actual.keypoints, expected.keypoints, atol=0.05)
    np.testing.assert_allclose(actual.scores, expected.scores, rtol=1e-3)


def test_a_precision_that_one_target_does_not_have():
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    words = ["hwl_mobilenetv3", "--init", "random", "--precision", "int8-dynamic"]
    words += ["--to", "litert,onnx"]
    with pytest.raises(ValueError, match="precision of onnx 'int8-dynamic' is not available"):
        command.run(parser.parse_args(words))
