"""Prediction on pictures: boxes from files, what is written, and the command as a whole."""

import json
import struct

import cv2
import jax
import numpy as np
import pytest

import jaxpose
from configs import common
from jaxpose import annotations, cli, predict, skeletons
from jaxpose.training import checkpoint


def write_json(path, content):
    path.write_text(json.dumps(content))
    return path


# --- boxes ---------------------------------------------------------------------------------------


def test_boxes_of_a_dataset_belong_to_the_file_names(tmp_path):
    content = {
        "images": [{"id": 7, "file_name": "sub/a.jpg"}],
        "annotations": [
            {"image_id": 7, "bbox": [1, 2, 3, 4]},
            {"image_id": 7, "bbox": [5, 6, 7, 8], "iscrowd": 1},
        ],
    }
    boxes = predict.Boxes(write_json(tmp_path / "boxes.json", content))
    np.testing.assert_array_equal(boxes.of(tmp_path / "a.jpg"), [[1, 2, 3, 4]])
    assert boxes.of(tmp_path / "b.jpg").shape == (0, 4)


def test_detections_are_found_by_the_number_in_the_name_and_cut_at_the_score(tmp_path):
    content = [
        {"image_id": 785, "bbox": [1, 2, 3, 4], "score": 0.9},
        {"image_id": 785, "bbox": [5, 6, 7, 8], "score": 0.1},
        {"file_name": "b.png", "bbox": [9, 9, 9, 9], "score": 0.5},
    ]
    boxes = predict.Boxes(write_json(tmp_path / "boxes.json", content), threshold=0.3)
    np.testing.assert_array_equal(boxes.of(tmp_path / "000000000785.jpg"), [[1, 2, 3, 4]])
    np.testing.assert_array_equal(boxes.of(tmp_path / "b.png"), [[9, 9, 9, 9]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([{"image_id": 1, "bbox": [1, 2, 3]}], "record 0 has no 'bbox' of four numbers"),
        ([{"bbox": [1, 2, 3, 4]}], "record 0 names no picture"),
    ],
)
def test_unusable_box_records_are_named(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        predict.Boxes(write_json(tmp_path / "boxes.json", content))


def test_a_box_file_that_is_not_json_is_named(tmp_path):
    (tmp_path / "boxes.json").write_text("{")
    with pytest.raises(ValueError, match=r"boxes\.json: cannot be read as JSON"):
        predict.Boxes(tmp_path / "boxes.json")


# --- pictures and results ------------------------------------------------------------------------


def test_missing_and_empty_inputs_are_named(tmp_path):
    with pytest.raises(ValueError, match="no such file or folder"):
        list(predict.find_pictures([str(tmp_path / "none.jpg")]))
    with pytest.raises(ValueError, match="no pictures"):
        list(predict.find_pictures([str(tmp_path)]))


def test_predictions_are_a_dataset_that_can_be_read_again(tmp_path):
    skeleton = skeletons.MPII
    keypoints = np.random.default_rng(0).uniform(5, 50, (2, 16, 2)).astype(np.float32)
    people = predict.People(
        keypoints,
        np.full((2, 16), 0.5, np.float32),
        np.array([[1, 2, 60, 60], [3, 3, 50, 50]], np.float32),
    )
    document = predict.coco_document([(tmp_path / "a.jpg", (90, 80), people)], skeleton)
    dataset = annotations.load_coco(write_json(tmp_path / "p.json", document), image_dir=tmp_path)
    assert dataset.skeleton.joints == skeleton.joints
    assert dataset.skeleton.limbs == skeleton.limbs
    np.testing.assert_allclose(dataset.people.keypoints[..., :2], keypoints, atol=6e-4)
    assert [a["score"] for a in document["annotations"]] == [0.5, 0.5]


def test_pictures_of_one_name_do_not_overwrite_each_other(tmp_path):
    pictures = [tmp_path / "x" / "a.jpg", tmp_path / "y" / "a.png"]
    assert list(predict._output_names(pictures).values()) == ["a.jpg", "a_2.jpg"]


# --- the network ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A run folder of an untrained network at 64x64."""
    model = jaxpose.create_model("hwl_mobilenetv3")
    image = np.zeros((1, 64, 64, 3), np.float32)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), image, train=False))
    random = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda x: (0.1 * random.standard_normal(x.shape)).astype(np.float32), shapes
    )
    variables["batch_stats"] = jax.tree.map(np.abs, variables["batch_stats"])
    config = common.get_config()
    config.input_size = (64, 64)
    folder = tmp_path_factory.mktemp("runs") / "random"
    checkpoint.write_run(folder, config.to_dict(), skeletons.COCO, variables)
    return folder


def photograph(path, turned=False):
    """A JPEG of 90x60 random blocks, with an EXIF orientation of 90 degrees if `turned`."""
    blocks = np.random.default_rng(3).integers(0, 255, (6, 9, 3), np.uint8)
    picture = cv2.resize(blocks, (90, 60), interpolation=cv2.INTER_CUBIC)
    data = cv2.imencode(".jpg", picture)[1].tobytes()
    if turned:
        tag = struct.pack("<HHI4s", 0x0112, 3, 1, struct.pack("<HH", 6, 0))
        tiff = b"II*\x00" + struct.pack("<IH", 8, 1) + tag + bytes(4)
        segment = b"Exif\x00\x00" + tiff
        data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]
    path.write_bytes(data)


@pytest.mark.slow
def test_the_command_draws_every_picture_it_can_read(run_folder, tmp_path, capsys):
    folder, output = tmp_path / "photos", tmp_path / "out"
    folder.mkdir()
    photograph(folder / "a.jpg")
    photograph(folder / "b.jpg", turned=True)
    (folder / "c.jpg").write_bytes((folder / "a.jpg").read_bytes()[:200])
    boxes = [{"file_name": "a.jpg", "bbox": [10, 5, 40, 50]}] * 3
    box_file = write_json(tmp_path / "boxes.json", boxes)
    arguments = ["predict", str(run_folder), str(folder), "-o", str(output), "--batch", "2"]

    assert cli.main([*arguments, "--boxes", str(box_file)]) == 0
    written = json.loads((output / "predictions.json").read_text())
    assert [image["file_name"] for image in written["images"]] == ["a.jpg", "b.jpg"]
    assert len(written["annotations"]) == 3
    # The same box three times, over two calls of the network: the same pose.
    assert len({json.dumps(a["keypoints"]) for a in written["annotations"]}) == 1
    assert "skipped" in capsys.readouterr().out
    assert cv2.imread(str(output / "b.jpg")).shape == (90, 60, 3)  # upright, as people see it

    assert cli.main([*arguments, "--no-flip"]) == 0  # the whole picture as one person
    again = json.loads((output / "predictions.json").read_text())
    assert [a["bbox"] for a in again["annotations"]] == [[0, 0, 90, 60], [0, 0, 60, 90]]
    assert (output / "a.jpg").is_file()


def test_a_picture_of_another_kind_is_refused(run_folder):
    pose = predict.Pose(run_folder)
    with pytest.raises(ValueError, match=r"uint8 \[H, W, 3\]"):
        pose(np.zeros((4, 4), np.uint8))
    with pytest.raises(ValueError, match="positive width and height"):
        pose(np.zeros((4, 4, 3), np.uint8), np.array([[0, 0, 0, 5]]))
    assert len(pose(np.zeros((4, 4, 3), np.uint8), np.zeros((0, 4)))) == 0
