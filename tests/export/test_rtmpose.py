"""RTMPose's files for other programs: those that replace mmdeploy's, and those that decode."""

import dataclasses

import numpy as np
import pytest

from configs import common
from jaxpose import PoseEstimator, cli, runs, runtimes, skeletons
from jaxpose.export import checks
from jaxpose.export.targets import Options
from jaxpose.images import draw_samples
from tests.helpers import rtmpose
from tests.helpers.networks import Function, source_of

SIZE = (128, 96)
# (x, y, w, h): taller and wider than the input, and partly outside the image.
BOXES = np.array([[100, 60, 80, 340], [300.5, 20.25, 310, 200], [-20, 300, 90, 250]])
IMAGE = draw_samples((480, 640), 1)[0]


@pytest.fixture(scope="module")
def run(golden, tmp_path_factory):
    """The run folder of an RTMPose-t."""
    config = common.simcc()
    config.model, config.input_size = "rtmpose_t", SIZE
    folder = tmp_path_factory.mktemp("rtmpose") / "run"
    _, variables = rtmpose.released(golden)
    runs.write_run(folder, config.to_dict(), skeletons.COCO, variables)
    return folder


@pytest.fixture(scope="module")
def file(run):
    pytest.importorskip("onnx")
    assert cli.main(["export", str(run), "--like", "mmdeploy"]) == 0
    return run / "export/rtmpose_t_128x96_mmdeploy.onnx"


def test_names_and_shapes_are_those_of_mmdeploy(file):
    session = pytest.importorskip("onnxruntime").InferenceSession(file)
    (image,), outputs = session.get_inputs(), session.get_outputs()
    assert (image.name, image.shape, image.type) == (
        "input",
        ["batch", 3, 128, 96],
        "tensor(float)",
    )
    assert [(out.name, out.shape) for out in outputs] == [
        ("simcc_x", ["batch", 17, 192]),
        ("simcc_y", ["batch", 17, 256]),
    ]
    assert runtimes.read_metadata(file)["mean"] == pytest.approx([123.675, 116.28, 103.53])


@pytest.fixture(scope="module")
def poses(run):
    """The poses in `IMAGE`, without flip test."""
    return PoseEstimator(run, flip=False)(IMAGE, BOXES)


def test_rtmlib_finds_the_same_keypoints(file, poses):
    rtmlib = pytest.importorskip("rtmlib")  # make test installs it
    # rtmlib takes sizes as (width, height), boxes by two corners, and leaves the order of the
    # colors as it is.
    corners = np.concatenate([BOXES[:, :2], BOXES[:, :2] + BOXES[:, 2:]], axis=1)
    theirs = rtmlib.RTMPose(str(file), SIZE[::-1], backend="onnxruntime", device="cpu")
    keypoints, scores = theirs(IMAGE, corners)
    distance = np.linalg.norm(keypoints - poses.keypoints, axis=-1)
    assert distance.shape == (3, 17) and distance.max() < 0.05
    assert (scores >= poses.scores - 1e-4).all()  # the mean of both maxima, not the smaller one


def test_jaxpose_reads_a_file_like_mmdeploy_s(file, poses):
    again = PoseEstimator(file, flip=False)(IMAGE, BOXES)
    np.testing.assert_allclose(again.keypoints, poses.keypoints, atol=0.05)
    np.testing.assert_allclose(again.scores, poses.scores, rtol=1e-3)


@pytest.mark.parametrize("target", ["onnx", "torch"])
def test_a_file_that_decodes(target, run, poses):
    for package in {"onnx": ("onnx", "onnxruntime"), "torch": ("torch",)}[target]:
        pytest.importorskip(package)
    assert cli.main(["export", str(run), "--to", target, "--decode"]) == 0
    path = run / f"export/rtmpose_t_128x96_decoded{runtimes.SUFFIXES[target]}"
    keypoints, scores = runtimes.run_file(path)(np.zeros((2, *SIZE, 3), np.float32))
    assert keypoints.shape == (2, 17, 2) and scores.shape == (2, 17)
    estimator = PoseEstimator(path)  # without flip test, which the file cannot have
    again = estimator(IMAGE, BOXES)
    np.testing.assert_allclose(again.keypoints, poses.keypoints, atol=0.05)
    np.testing.assert_allclose(again.scores, poses.scores, rtol=1e-3)
    with pytest.raises(ValueError, match="the file returns keypoints, not the vectors"):
        estimator.maps(IMAGE)


def test_other_formats_and_tasks_are_refused():
    options = Options(like="mmdeploy")
    with pytest.raises(ValueError, match="--like mmdeploy is for ONNX files: give --to onnx"):
        checks.check_targets(["onnx", "ncnn"], options)
    source = source_of(Function(lambda m, x: x), "Net", "topdown", (32, 32))
    message = "is for networks of the task simcc, but Net has the task topdown: omit --like"
    with pytest.raises(ValueError, match=message):
        checks.check_task(source, options)
    with pytest.raises(ValueError, match="--decode is for networks of the task simcc, but Net has"):
        checks.check_task(dataclasses.replace(source, decoded=True), Options())


@pytest.mark.parametrize(
    "options, message",
    [
        (["--to", "onnx,ncnn"], "--decode is for onnx and torch files: leave ncnn out of --to"),
        (["--precision", "fp16"], "--decode is for fp32: --precision fp16 would round keypoints"),
        (["--like", "mmdeploy"], "mmdeploy expects vectors, not keypoints; omit --like"),
    ],
)
def test_decoding_is_refused_where_it_does_not_apply(options, message, tmp_path, capsys):
    pytest.importorskip("onnx")
    pytest.importorskip("ncnn")
    assert cli.main(["export", str(tmp_path), "--decode", *options]) == 2
    assert message in capsys.readouterr().err
