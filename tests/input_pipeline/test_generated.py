"""Generated people: an ordinary dataset whose joints match the image."""

import json

import numpy as np
import pytest

import input_pipeline
from input_pipeline import generated
from input_pipeline.generated import dataset
from input_pipeline.generated.drawing import Canvas
from input_pipeline.generated.person import (
    PERSON_STRIDE,
    Person,
    draw_person,
    keypoints,
    random_look,
)
from input_pipeline.generated.pose import Limb, Pose, build_figure, random_body
from jaxpose import annotations, skeletons

SMALL = {"num_train": 5, "num_val": 2, "min_side": 100, "max_side": 140}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return generated.ensure(tmp_path_factory.mktemp("generated") / "people", **SMALL)


def test_is_an_ordinary_dataset(folder):
    for split, count in (("train", 5), ("val", 2)):
        path = folder / f"{split}.json"
        assert annotations.check(path) == []
        dataset = annotations.load_coco(path, image_dir=folder / "images")
        assert len(dataset.images) == count and len(dataset.people) >= count
        assert dataset.skeleton == skeletons.COCO
        assert all(dataset.image_path(identity).is_file() for identity in dataset.images)
    assert sorted(path.name for path in folder.iterdir()) == [
        "images", "parameters.json", "train.json", "val.json",
    ]  # fmt: skip


def test_is_reused_and_reproducible(folder, tmp_path):
    marker = folder / "parameters.json"
    before = marker.stat().st_mtime_ns
    assert generated.ensure(folder, **SMALL) == folder and marker.stat().st_mtime_ns == before
    again = generated.ensure(tmp_path / "again", **SMALL)
    for path in folder.rglob("*.*"):
        assert (again / path.relative_to(folder)).read_bytes() == path.read_bytes()
    other = generated.ensure(tmp_path / "other", **SMALL, seed=1)
    assert (other / "train.json").read_bytes() != (folder / "train.json").read_bytes()


def test_refuses_a_folder_that_holds_something_else(folder, tmp_path):
    with pytest.raises(ValueError, match="generated with seed=0, not 3"):
        generated.ensure(folder, **SMALL, seed=3)
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(ValueError, match="not a folder of generated people"):
        generated.ensure(tmp_path, **SMALL)
    assert (tmp_path / "mine.txt").read_text() == "precious"
    with pytest.raises(ValueError, match="unknown parameter 'color'"):
        generated.ensure(tmp_path / "x", color=1)


def test_interrupted_writing_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(dataset, "_write_image", fail)
    with pytest.raises(OSError, match="disk full"):
        generated.ensure(tmp_path / "people", **SMALL)
    assert list(tmp_path.iterdir()) == []


def test_config_format_generated(config, folder):
    config.data.format, config.data.root = "generated", str(folder)
    config.data.generated = SMALL
    data = input_pipeline.train_data(config)
    batches = data.batches()
    assert next(batches)["keypoints"].shape == (4, 17, 3)
    batches.close()
    assert input_pipeline.eval_data(config).dataset.path == folder / "val.json"


def figure(yaw):
    limb = Limb(0, 10, 5)
    sides = {"left": limb, "right": limb}
    pose = Pose(yaw, 0, 0, sides, sides, 0, 0)
    body = random_body(np.random.default_rng(0))
    return build_figure(body, pose, 0)


def test_left_is_on_the_right_of_the_image_for_people_who_face_the_camera():
    front, back = figure(0).points, figure(180).points
    for part in ("shoulder", "wrist", "hip", "ankle", "ear"):
        assert front[f"left_{part}"][0] > front[f"right_{part}"][0]
        assert back[f"left_{part}"][0] < back[f"right_{part}"][0]
    assert front["nose"][2] > 0 > back["nose"][2]
    assert front["neck"][1] > front["left_hip"][1] > front["left_knee"][1]


def annotate(yaw, draw_over=None):
    """One person, 200 pixels high, in an empty image, drawn and annotated."""
    rng = np.random.default_rng(4)
    canvas = Canvas(
        np.full((240, 160, 3), 200, np.float32),
        np.zeros((240, 160), np.int32),
        np.array([0.0, -0.6, 0.8]),
        0.5,
    )
    look = random_look(rng)
    person = Person(figure(yaw), look, np.array([80.0, 130.0]), 200.0)
    draw_person(canvas, person, 1)
    if draw_over is not None:
        canvas.owner[draw_over] = 99 * PERSON_STRIDE
    return keypoints(canvas, person, 1)


def test_flags_match_what_the_camera_sees():
    joints = skeletons.COCO.joints
    front, back, side = annotate(0), annotate(180), annotate(90)
    assert (front[:, 2] == 2).all()
    face = [joints.index(name) for name in ("nose", "left_eye", "right_eye")]
    assert (back[face] == 0).all() and (back[5:, 2] == 2).all()
    # Turned to the image's right, the right side is nearer to the camera.
    assert side[joints.index("right_shoulder"), 2] == 2
    assert side[joints.index("left_shoulder"), 2] == 1
    assert side[joints.index("left_ear"), 2] == 0
    hidden = annotate(0, draw_over=np.s_[180:])
    ankles = [joints.index("left_ankle"), joints.index("right_ankle")]
    assert (hidden[ankles, 2] == 1).all() and hidden[0, 2] == 2


def test_boxes_contain_the_visible_joints(folder):
    data = json.loads((folder / "train.json").read_text())
    for record in data["annotations"]:
        x, y, w, h = record["bbox"]
        assert 0 < record["area"] <= w * h
        visible = np.reshape(record["keypoints"], (-1, 3))
        visible = visible[visible[:, 2] == 2]
        assert (visible[:, 0] >= x - 1).all() and (visible[:, 0] <= x + w + 1).all()
        assert (visible[:, 1] >= y - 1).all() and (visible[:, 1] <= y + h + 1).all()
        assert record["num_keypoints"] == sum(v > 0 for v in record["keypoints"][2::3])
