"""The estimator: images and boxes in, poses out, from run folders and exported files."""

import dataclasses
import json
import shutil
import types

import numpy as np
import pytest

import jaxpose
from jaxpose import cli, export, geometry, predict, runtimes, skeletons, tasks
from jaxpose.config import default_config
from jaxpose.export.source import from_run
from jaxpose.poses import extent
from jaxpose.predict import PoseEstimator, Poses
from jaxpose.predict.boxes import around
from jaxpose.tasks.whole_images import sized_view
from tests.helpers import seeing
from tests.helpers.files import write_json
from tests.helpers.seeing import PEOPLE, write_image


def test_images_and_boxes_of_another_kind_are_refused(runs):
    topdown, bottomup = runs
    estimator = PoseEstimator(topdown)
    with pytest.raises(ValueError, match=r"uint8 \[H, W, 3\]"):
        estimator(np.zeros((4, 4), np.uint8))
    with pytest.raises(ValueError, match="positive width and height"):
        estimator(np.zeros((4, 4, 3), np.uint8), np.array([[0, 0, 0, 5]]))
    image = np.zeros((4, 4, 3), np.uint8)
    assert len(estimator(image, np.zeros((0, 4)))) == len(estimator(image, [])) == 0
    for boxes in (np.zeros(4), np.zeros((2, 6)), np.zeros((1, 2, 4)), [[1, 2], [3]], [["a"] * 4]):
        with pytest.raises(ValueError, match=r"boxes must be \[N, 4\] as .*, or \[N, 5\]"):
            estimator(image, boxes)
    with pytest.raises(ValueError, match="finds the people itself and takes no boxes"):
        PoseEstimator(bottomup)(np.zeros((4, 4, 3), np.uint8), np.array([[0, 0, 5, 5]]))
    with pytest.raises(ValueError, match="sizing='short_side': choose from fixed$"):
        PoseEstimator(topdown, sizing="short_side")
    with pytest.raises(ValueError, match="sizing='squashed': choose from short_side, fixed$"):
        PoseEstimator(bottomup, sizing="squashed")
    for size in (0, -2):
        with pytest.raises(ValueError, match=f"batch_size must be at least 1, not {size}"):
            PoseEstimator(topdown, batch_size=size)


@pytest.mark.parametrize("name", ["topdown", "associative_embedding"])
def test_a_file_of_a_run_without_flip_test_has_none(name, monkeypatch):
    task = tasks.get(name)
    config = default_config(task.SETTINGS, task=name)

    def flips(**changes):
        described = export.describe("net", task, config, skeletons.COCO, (64, 64)) | changes
        metadata = {key: value for key, value in described.items() if value is not None}
        file = types.SimpleNamespace(metadata=metadata, run=lambda images: images)
        monkeypatch.setattr(runtimes, "open_file", lambda path: file)
        return PoseEstimator("net.onnx")._network.decoder.flip

    assert flips() and flips(flip=None)  # files of version 0.1 have no such key
    config.eval.flip = False
    assert not flips()


def test_the_score_of_a_box_is_split_off(runs):
    estimator, image = PoseEstimator(runs[0]), np.full((96, 80, 3), 90, np.uint8)
    boxes = np.array([[8, 8, 60, 70], [1, 2, 30, 40]], np.float32)
    plain = estimator(image, boxes)
    scored = estimator(image, np.concatenate([boxes, [[0.5], [0.25]]], axis=1))
    np.testing.assert_array_equal(scored.boxes, boxes)
    np.testing.assert_array_equal(scored.keypoints, plain.keypoints)
    assert (plain.person_scores > 0).all()
    np.testing.assert_allclose(scored.person_scores, plain.person_scores * [0.5, 0.25], rtol=1e-6)


@pytest.mark.parametrize("flip", [True, False])
def test_udp_from_image_to_keypoints(tmp_path, flip):
    pytest.importorskip("onnxruntime")
    run = seeing.write_runs(tmp_path, codec="udp")[0]
    assert cli.main(["export", str(run)]) == 0
    file = run / "export" / "Looker_32x128.onnx"
    stored = export.read_metadata(file)["codec"]
    assert (stored["targets"], stored["flip_shift"], stored["kernel"]) == ("udp", False, 11)

    image_size, size, box = (80, 240), (32, 128), np.array([20.0, 12.0, 180.0, 50.0])
    joints = np.array([[60.3, 30.1], [110.7, 45.4], [150.2, 36.9]])
    image = seeing.draw_image(joints[None], image_size)
    poses = [PoseEstimator(source, flip=flip)(image, box[None]) for source in (run, file)]
    np.testing.assert_allclose(poses[1].keypoints, poses[0].keypoints, atol=0.01)
    np.testing.assert_allclose(poses[1].scores, poses[0].scores, atol=1e-5)

    # `Looker` averages squares of four pixels, so its pixel i is at 4 i + 1.5; UDP has it at
    # (W - 1) / (w - 1) i. What is left of the joint's place is exact.
    center, scale = geometry.box_to_center_scale(box, size)
    last = np.array([127, 31])
    sides = 200 * scale
    in_crop = (joints - center) / sides * last + last / 2
    read = (in_crop - 1.5) / 4 * last / (np.array([32, 8]) - 1)
    expected = (read - last / 2) / last * sides + center
    np.testing.assert_allclose(poses[0].keypoints[0], expected, atol=0.1)


@pytest.mark.parametrize("sizing", ["short_side", "fixed", "file"])
def test_people_are_detected(runs, tmp_path, sizing):
    image = write_image(tmp_path / "a.png", dim=0.8)
    source, options = runs[1], {"sizing": sizing}
    if sizing == "file":
        pytest.importorskip("onnxruntime")
        network, options = from_run(source, (64, 128)), {}
        source = tmp_path / "seer.onnx"
        export.to_onnx(
            network.model, network.variables, (64, 128), source, metadata=network.metadata()
        )
    poses = PoseEstimator(source, **options)(image)
    assert poses.keypoints.shape == (2, 3, 2) and poses.present.all()
    # A pixel of the view is two and a half of the image's at most, and a peak lies between two.
    np.testing.assert_allclose(poses.keypoints, PEOPLE, atol=4)
    assert (np.diff(poses.person_scores) < 0).all()  # the bright one first
    np.testing.assert_allclose(poses.person_scores, poses.scores.mean(1), rtol=1e-5)
    low, high = poses.keypoints.min(1), poses.keypoints.max(1)
    np.testing.assert_allclose(poses.boxes, np.concatenate([low, high - low], 1), atol=1e-3)
    assert len(PoseEstimator(source, **options, flip=False)(np.zeros_like(image))) == 0


def test_sizes_are_bounded(runs):
    def view(estimator, image_size):
        return sized_view(image_size, estimator.input_size, estimator.sizing)

    estimator = PoseEstimator(runs[1])
    rng = np.random.default_rng(0)
    sizes = {view(estimator, tuple(rng.integers(1, 3000, 2).tolist()))[0] for _ in range(3000)}
    assert len(sizes) == 2 * (3 * 64 - 64) // 64 + 1 and max(map(max, sizes)) == 3 * 64
    size, center, scale = view(estimator, (50, 1000))  # the whole panorama is in view
    corners = geometry.transform(
        np.array([[0, 0], [999, 49]]), geometry.affine(center, scale, 0, size)
    )
    assert size == (64, 192) and (corners >= -1).all() and (corners <= size[::-1]).all()
    assert view(PoseEstimator(runs[1], sizing="fixed"), (50, 1000))[0] == (64, 64)


def test_boxes_around_people():
    keypoints = np.array([[[10, 20], [30, 60], [20, 40]], [[5, 5], [0, 0], [9, 9]]], np.float32)
    scores = np.array([[0.5, 0.9, 0.3], [0.5, 0.0, 0.4]], np.float32)
    boxes = extent(keypoints, scores > 0)
    np.testing.assert_array_equal(boxes, [[10, 20, 20, 40], [5, 5, 4, 4]])
    poses = Poses(keypoints, scores, boxes, scores.mean(1))
    np.testing.assert_array_equal(around(poses), [[7.5, 15, 25, 50]])
    assert around(poses.select(np.array([1]))).shape == (0, 4)


def test_the_former_name_of_the_estimator_is_deprecated():
    with pytest.warns(DeprecationWarning, match="jaxpose.predict.Pose is now jaxpose.PoseEstimato"):
        assert predict.Pose is PoseEstimator is jaxpose.PoseEstimator
    with pytest.warns(DeprecationWarning):
        from jaxpose.predict import Pose
    assert Pose is PoseEstimator
    assert not hasattr(predict, "Posse")


def assert_equal(poses, expected):
    assert len(poses) == len(expected) == 2
    for field in dataclasses.fields(Poses):
        values = getattr(poses, field.name), getattr(expected, field.name)
        np.testing.assert_array_equal(*values, field.name)


def test_a_run_of_version_0_1_has_a_paradigm(runs, tmp_path):
    run = shutil.copytree(runs[1], tmp_path / "run")
    record = json.loads((run / "config.json").read_text())
    assert record["config"].pop("task") == "associative_embedding"
    record["config"]["paradigm"] = "bottomup"
    write_json(run / "config.json", record)
    image = write_image(tmp_path / "a.png")
    assert_equal(PoseEstimator(run)(image), PoseEstimator(runs[1])(image))


def test_a_file_of_version_0_1_has_a_paradigm(runs, tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    network, file, former = from_run(runs[1], (64, 128)), tmp_path / "a.onnx", tmp_path / "b.onnx"
    export.to_onnx(network.model, network.variables, (64, 128), file, metadata=network.metadata())
    model = onnx.load(file)
    (entry,) = (entry for entry in model.metadata_props if entry.key == "task")
    assert json.loads(entry.value) == "associative_embedding"
    entry.key, entry.value = "paradigm", json.dumps("bottomup")
    onnx.save(model, former)
    metadata = export.read_metadata(former)
    assert metadata == export.read_metadata(file) and "paradigm" not in metadata
    image = write_image(tmp_path / "a.png")
    assert_equal(PoseEstimator(former)(image), PoseEstimator(file)(image))
