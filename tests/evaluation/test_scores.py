"""Scores of poses that are those of the annotations: COCO, CrowdPose, MPII."""

import dataclasses
import json

import numpy as np
import pytest
import scipy.io

from configs import common
from jaxpose import annotations, skeletons, tasks
from jaxpose.evaluation.report import make_report
from jaxpose.tasks import mpii, topdown
from jaxpose.training import runtime
from tests.helpers import tiny_runs
from tests.helpers.evaluation import oracle, truth_batches


def test_ground_truth_scores_one(people):
    dataset = annotations.load_coco(people / "people.json", image_dir=people / "images")
    config = tiny_runs.config(people)
    evaluation = topdown.evaluate(oracle(dataset), truth_batches(dataset), dataset, config)
    assert evaluation.metrics["AP"] == evaluation.score == 1.0
    assert evaluation.metrics["PCK@0.2"] == 100.0
    assert len(evaluation.results) == 12 and len(evaluation.results[0]["keypoints"]) == 51
    far = topdown.evaluate(oracle(dataset, 500), truth_batches(dataset), dataset, config)
    assert far.metrics["AP"] == 0 and far.metrics["PCK@0.2"] == 0


@pytest.fixture(scope="module")
def crowd(people):
    """The same people in CrowdPose format, as an annotation file with its own folder."""
    content = json.loads((people / "people.json").read_text())
    for image in content["images"]:
        image["crowdIndex"] = image["id"] / 11
    for person in content["annotations"]:
        person["keypoints"] = person["keypoints"][: 3 * 14]
    content["categories"][0] = {"id": 1, "keypoints": list(skeletons.CROWDPOSE.joints)}
    (people / "crowdpose.json").write_text(json.dumps(content))
    return people / "crowdpose.json"


def test_crops_of_crowdpose_are_scored_by_its_metric(people, crowd):
    dataset = annotations.load_crowdpose(crowd, image_dir=people / "images")
    assert topdown.metric_of(dataset.skeleton) == "crowdpose"
    changes = {
        "data.format": "crowdpose",
        "data.val_annotations": crowd.name,
        "eval.metric": "crowdpose",
    }
    config = tiny_runs.config(people, **changes)
    tasks.validate(config, devices=1)
    batches = truth_batches(dataset, drop=(11,))  # the most crowded image
    evaluation = topdown.evaluate(oracle(dataset), batches, dataset, config)
    assert evaluation.metrics["AP_easy"] == evaluation.metrics["AP_medium"] == 1.0
    assert evaluation.metrics["AP_hard"] < 1 and evaluation.score == evaluation.metrics["AP"] < 1
    assert len(evaluation.results[0]["keypoints"]) == 3 * 14
    assert "AP_hard" in make_report(evaluation, dataset, topdown, "crowdpose", worst=1).scores[0]


def test_invalid_rows_do_not_count(people):
    dataset = annotations.load_coco(people / "people.json", image_dir=people / "images")
    config = tiny_runs.config(people)
    batches = truth_batches(dataset, drop=(3,))
    evaluation = topdown.evaluate(oracle(dataset), batches, dataset, config)
    assert len(evaluation.results) == 11
    assert evaluation.metrics["AR"] == pytest.approx(11 / 12)


def test_a_limited_dataset_is_scored_on_its_own_people(people):
    dataset = annotations.load_coco(people / "people.json", image_dir=people / "images")
    dataset = dataclasses.replace(dataset, people=dataset.people.select(slice(5)))
    config = tiny_runs.config(people, **{"data.limit": 5})
    evaluation = topdown.evaluate(oracle(dataset), truth_batches(dataset), dataset, config)
    assert evaluation.metrics["AP"] == 1.0 and "data.limit=5" in evaluation.notes[-1]


@pytest.fixture
def mpii_people(tmp_path):
    """Three people in MPII's form, the last without a head."""
    random = np.random.default_rng(1)
    (tmp_path / "images").mkdir()
    records = []
    for number in range(3):
        joints = random.uniform(20, 180, (16, 2)).round(2)
        joints[8], joints[9] = (100, 60), (100, 20)  # neck and head top: 40 pixels apart
        visible = [1] * 16 if number < 2 else [1] * 9 + [0] + [1] * 6
        records.append({
            "image": f"{number}.jpg", "center": [100.0, 100.0], "scale": 1.0,
            "joints": joints.tolist(), "joints_vis": visible,
        })  # fmt: skip
    (tmp_path / "mpii.json").write_text(json.dumps(records))
    return annotations.load_mpii(tmp_path / "mpii.json", image_dir=tmp_path / "images")


def test_pckh_without_head_boxes_is_reported_as_approximate(mpii_people):
    config = common.mpii()
    batches = list(truth_batches(mpii_people))
    # The head is 40 pixels long: correct up to 20.
    for shift, expected in ((19.9, 100.0), (20.1, 0.0)):
        evaluation = topdown.evaluate(oracle(mpii_people, shift), batches, mpii_people, config)
        assert evaluation.metrics["Mean"] == evaluation.score == expected
    assert "approximate" in evaluation.notes[0] and evaluation.notes[0].endswith(": 1 of 3")


def test_pckh_with_the_official_head_boxes(mpii_people, tmp_path):
    keypoints = mpii_people.people.keypoints
    boxes = np.zeros((2, 2, 3))
    boxes[1] = [[30.0] * 3, [40.0] * 3]  # diagonal 50: the head counts as 30 pixels
    scipy.io.savemat(tmp_path / "gt.mat", {
        "jnt_missing": 1 - keypoints[..., 2].T, "headboxes_src": boxes,
        "pos_gt_src": np.moveaxis(keypoints[..., :2], 0, -1) + 1,
    })  # fmt: skip
    batches = list(truth_batches(mpii_people))
    for shift, expected in ((14.9, 100.0), (15.1, 0.0)):
        evaluation = topdown.evaluate(
            oracle(mpii_people, shift), batches, mpii_people, common.mpii(),
            head_boxes=tmp_path / "gt.mat",
        )  # fmt: skip
        assert evaluation.metrics["Mean"] == expected
    assert "approximate" not in evaluation.notes[0]
    (tmp_path / "bad.mat").write_bytes(b"no matlab file")
    with pytest.raises(ValueError, match="cannot be read as mpii_gt_val.mat"):
        mpii.read_head_boxes(tmp_path / "bad.mat")


def test_pckh_needs_mpii_annotations(people):
    dataset = annotations.load_coco(people / "people.json", image_dir=people / "images")
    with pytest.raises(ValueError, match="needs an MPII annotation file"):
        topdown.evaluate(oracle(dataset), truth_batches(dataset), dataset, common.mpii())


def test_missing_head_boxes_are_reported_before_training(tmp_path):
    config = common.mpii()
    config.data.root = str(tmp_path)
    with pytest.raises(
        ValueError, match="no such file .*mpii_gt_val.mat; with --config.data.head_boxes="
    ):
        runtime.head_boxes(config)
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/mpii_gt_val.mat").touch()
    assert runtime.head_boxes(config) == tmp_path / config.data.head_boxes
    config.data.head_boxes = ""
    assert runtime.head_boxes(config) is None
