"""PCK relative to the torso, against hand-computed values."""

import json
import math

import numpy as np
import pytest

from jaxpose import metrics, skeletons

SKELETON = skeletons.Skeleton(
    "small", ("right_shoulder", "left_shoulder", "left_hip", "right_hip"), (), (0.1,) * 4
)


def _people():
    """Three people whose left hip is 50 pixels from the right shoulder: 10 pixels are allowed."""
    gt = np.array([[[0, 0], [40, 0], [30, 40], [0, 40]]] * 3, float) + [[[5, 6]]]
    return gt, np.ones((3, 4))


def test_by_hand():
    gt, visible = _people()
    pred = gt.copy()
    pred[0, 0] += [6, 8]  # exactly 10 pixels: correct
    pred[0, 1] += [6, 8.1]
    pred[1, 3] += 100
    visible[1, 3] = 0
    visible[2, 2] = 0  # no left hip, so nothing of person 2 counts
    pred[2] += 500
    scores = metrics.pck_torso(pred, gt, visible, SKELETON)
    assert scores == pytest.approx({
        "PCK@0.2": 100 * 6 / 7, "right_shoulder": 100, "left_shoulder": 50, "left_hip": 100,
        "right_hip": 100,
    })  # fmt: skip
    assert all(type(value) is float for value in scores.values())


def test_threshold_names_the_key():
    gt, visible = _people()
    scores = metrics.pck_torso(gt + [5.1, 0], gt, visible, SKELETON, threshold=0.1)
    assert scores["PCK@0.1"] == 0
    assert metrics.pck_torso(gt + [4.9, 0], gt, visible, SKELETON, 0.1)["PCK@0.1"] == 100


def test_no_person_with_a_torso():
    gt, visible = _people()
    visible[:, 0] = 0
    assert all(math.isnan(v) for v in metrics.pck_torso(gt, gt, visible, SKELETON).values())


def test_skeleton_without_a_torso_and_wrong_shapes():
    face = skeletons.Skeleton("face", ("nose", "left_eye", "right_eye"), (), (0.1,) * 3)
    with pytest.raises(ValueError, match="needs a left hip and a right shoulder; skeleton 'face'"):
        metrics.pck_torso(np.zeros((1, 3, 2)), np.zeros((1, 3, 2)), np.ones((1, 3)), face)
    gt, visible = _people()
    with pytest.raises(ValueError, match="visible has shape"):
        metrics.pck_torso(gt, gt, visible[:, :3], SKELETON)


def test_lspet_has_400_people_with_a_torso(real_data):
    dataset = json.loads((real_data / "lspet/annotations_val.json").read_text())
    skeleton = skeletons.from_coco_category(dataset["categories"][0])
    values = np.array([a["keypoints"] for a in dataset["annotations"]]).reshape(-1, 14, 3)
    assert skeleton.torso == (3, 8)
    assert int((values[:, [3, 8], 2] > 0).all(1).sum()) == 400
    scores = metrics.pck_torso(values[..., :2], values[..., :2], values[..., 2], skeleton)
    assert scores["PCK@0.2"] == 100
