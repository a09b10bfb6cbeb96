"""COCO metrics against plain pycocotools, and small hand-computed cases."""

import contextlib
import copy
import io
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from jaxpose import metrics, skeletons
from jaxpose.tasks.scoring import Subset, annotation_file

KEYS = "AP AP50 AP75 APM APL AR AR50 AR75 ARM ARL".split()
NAMES = list(skeletons.COCO.joints)


def _dataset(people=60, images=25, joints=17, seed=0):
    """Random people of medium and large size; a few crowds and people without keypoints."""
    random = np.random.default_rng(seed)
    annotations = []
    for number in range(people):
        w, h = random.uniform(35, 200, 2)
        x, y = random.uniform(0, 300, 2)
        points = random.uniform((x, y), (x + w, y + h), (joints, 2)).round(2)
        flags = random.choice([0, 1, 2], joints, p=[0.2, 0.2, 0.6])
        if number % 13 == 7:
            flags[:] = 0
        values = np.concatenate([points * (flags > 0)[:, None], flags[:, None]], 1)
        annotations.append({
            "id": 100 + number, "image_id": int(random.integers(1, images + 1)), "category_id": 1,
            "bbox": [x, y, w, h], "area": 0.6 * w * h, "iscrowd": int(number % 17 == 3),
            "keypoints": values.ravel().tolist(), "num_keypoints": int((flags > 0).sum()),
        })  # fmt: skip
    names = NAMES if joints == 17 else [f"joint{k}" for k in range(joints)]
    return {
        "info": {},
        "images": [{"id": i, "width": 500, "height": 400} for i in range(1, images + 1)],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person", "keypoints": names, "skeleton": []}],
    }


def _results(dataset, noise=9.0, seed=1):
    random = np.random.default_rng(seed)
    results = []
    for person in dataset["annotations"]:
        if random.random() < 0.15:
            continue
        values = np.array(person["keypoints"]).reshape(-1, 3)
        values[:, :2] += random.normal(0, noise * random.random(), (len(values), 2))
        results.append({
            "image_id": person["image_id"], "category_id": 1,
            "keypoints": values.ravel().tolist(), "score": float(random.random()),
        })  # fmt: skip
    return results


def _write(folder, dataset):
    path = folder / "annotations.json"
    path.write_text(json.dumps(dataset))
    return path


def _straight(path, results, sigmas=None):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(path))
        evaluation = COCOeval(truth, truth.loadRes(copy.deepcopy(results)), "keypoints")
        if sigmas is not None:
            evaluation.params.kpt_oks_sigmas = np.array(sigmas)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(KEYS, map(float, evaluation.stats), strict=True))


def test_equals_plain_pycocotools(tmp_path, capsys):
    dataset = _dataset()
    path, results = _write(tmp_path, dataset), _results(dataset)
    before = copy.deepcopy(results)
    scores = metrics.coco_keypoints(path, results)
    assert scores == _straight(path, results)
    assert 0.05 < scores["AP"] < 0.95
    assert list(scores) == KEYS and all(type(value) is float for value in scores.values())
    assert results == before
    capsys.readouterr()
    metrics.coco_keypoints(str(path), results)
    assert capsys.readouterr().out == ""


def test_perfect_results_score_one(tmp_path):
    dataset = _dataset()
    path = _write(tmp_path, dataset)
    # One result a scored person: a copy of an ignored one would be ignored as well.
    results = [
        {"image_id": a["image_id"], "category_id": 1, "keypoints": a["keypoints"], "score": 1.0}
        for a in dataset["annotations"]
        if a["num_keypoints"] and not a["iscrowd"]
    ]
    scores = metrics.coco_keypoints(path, results)
    assert all(value == pytest.approx(1) for value in scores.values())


def test_order_of_results_does_not_matter(tmp_path):
    dataset = _dataset(seed=4)
    path, results = _write(tmp_path, dataset), _results(dataset, seed=5)
    scores = metrics.coco_keypoints(path, results)
    breakdown = metrics.per_keypoint(path, results)
    shuffled = [results[i] for i in np.random.default_rng(0).permutation(len(results))]
    assert metrics.coco_keypoints(path, shuffled) == scores
    again = metrics.per_keypoint(path, shuffled)
    for joint, values in breakdown.items():
        assert again[joint] == pytest.approx(values)


def test_no_results_score_zero(tmp_path):
    path = _write(tmp_path, _dataset())
    assert metrics.coco_keypoints(path, []) == dict.fromkeys(KEYS, 0.0)
    breakdown = metrics.per_keypoint(path, [])
    assert all(v["count"] == 0 and v["missed"] > 0 for v in breakdown.values())
    assert math.isnan(breakdown["nose"]["similarity"])


def test_annotation_with_id_zero_is_matched(tmp_path):
    """pycocotools takes a match with annotation 0 for no match."""
    dataset = _dataset(people=1, images=1)
    dataset["annotations"][0]["id"] = 0
    path = _write(tmp_path, dataset)
    person = dataset["annotations"][0]
    result = {"image_id": 1, "category_id": 1, "keypoints": person["keypoints"], "score": 1.0}
    assert metrics.coco_keypoints(path, [result])["AP"] == pytest.approx(1)
    assert metrics.per_keypoint(path, [result])["left_hip"]["missed"] == 0


def test_other_numbers_of_keypoints_and_sigmas(tmp_path):
    dataset = _dataset(joints=5)
    results = _results(dataset)
    path = _write(tmp_path, dataset)
    default = metrics.coco_keypoints(path, results)
    assert default == _straight(path, results, [skeletons.DEFAULT_SIGMA] * 5)
    given = metrics.coco_keypoints(path, results, sigmas=[0.03] * 5)
    assert given == _straight(path, results, [0.03] * 5)
    assert given["AP"] < default["AP"]
    dataset["categories"][0]["sigmas"] = [0.03] * 5
    assert metrics.coco_keypoints(_write(tmp_path, dataset), results) == given
    with pytest.raises(ValueError, match="5 keypoints but 4 sigmas"):
        metrics.coco_keypoints(path, results, sigmas=[0.03] * 4)


def test_missing_keys_are_completed(tmp_path):
    dataset = _dataset()
    for annotation in dataset["annotations"]:
        annotation["iscrowd"] = 0
        annotation["area"] = 0.53 * annotation["bbox"][2] * annotation["bbox"][3]
    results = _results(dataset)
    expected = metrics.coco_keypoints(_write(tmp_path, dataset), results)
    for annotation in dataset["annotations"]:
        for key in ("area", "iscrowd", "num_keypoints"):
            del annotation[key]
    del dataset["info"]
    assert metrics.coco_keypoints(_write(tmp_path, dataset), results) == expected


@pytest.mark.parametrize(
    "change, message",
    [
        ({"image_id": 999}, "result 0 is for image 999"),
        ({"keypoints": [1.0] * 42}, "result 0 has 42 keypoint values, expected 51"),
        ({"category_id": 2}, "results have category 2"),
        ({"score": None}, "result 0 lacks score"),
    ],
)
def test_results_that_do_not_fit(tmp_path, change, message):
    result = {"image_id": 1, "category_id": 1, "keypoints": [1.0] * 51, "score": 0.5, **change}
    result = {key: value for key, value in result.items() if value is not None}
    with pytest.raises(ValueError, match=message):
        metrics.coco_keypoints(_write(tmp_path, _dataset()), [result])


def test_annotations_that_do_not_fit(tmp_path):
    dataset = _dataset()
    dataset["annotations"][2]["keypoints"].pop()
    with pytest.raises(ValueError, match="annotation 102 has 50 keypoint values, expected 51"):
        metrics.coco_keypoints(_write(tmp_path, dataset), [])
    dataset = _dataset()
    dataset["annotations"][0]["bbox"] = [1, 2, 3]
    with pytest.raises(ValueError, match="annotation 100 has no 'bbox'"):
        metrics.coco_keypoints(_write(tmp_path, dataset), [])
    with pytest.raises(ValueError, match="needs 'images'"):
        metrics.coco_keypoints(_write(tmp_path, {"images": []}), [])


def test_per_keypoint_by_hand(tmp_path):
    """Two people; one is detected with a displaced left wrist, the other is missed."""
    area = 10000.0
    points = np.stack([np.linspace(10, 100, 17), np.linspace(20, 180, 17), np.full(17, 2)], -1)
    points[3] = 0  # the left ear is not labeled
    far = points + [300, 0, 0]
    far[3] = 0
    dataset = _dataset(people=0, images=1)
    dataset["annotations"] = [
        {"id": i, "image_id": 1, "category_id": 1, "bbox": [0, 0, 100, 200], "area": area,
         "iscrowd": 0, "num_keypoints": 16, "keypoints": p.ravel().tolist()}
        for i, p in enumerate((points, far))
    ]  # fmt: skip
    predicted = points.copy()
    predicted[9, 0] += 12
    predicted[10, 1] -= 20
    result = {
        "image_id": 1,
        "category_id": 1,
        "keypoints": predicted.ravel().tolist(),
        "score": 0.7,
    }
    breakdown = metrics.per_keypoint(_write(tmp_path, dataset), [result])
    assert list(breakdown) == NAMES
    assert breakdown["nose"] == {"similarity": 1.0, "correct": 1.0, "count": 1, "missed": 1}
    assert breakdown["left_ear"]["count"] == breakdown["left_ear"]["missed"] == 0
    near = math.exp(-(12**2) / (2 * area * (2 * 0.062) ** 2))
    assert breakdown["left_wrist"]["similarity"] == pytest.approx(near)
    assert breakdown["left_wrist"]["correct"] == 1
    assert breakdown["right_wrist"]["similarity"] == pytest.approx(math.exp(-400 / 307.52))
    assert breakdown["right_wrist"]["correct"] == 0


def test_per_keypoint_agrees_with_oks(tmp_path):
    """With one detected person per image, the mean similarity of the joints is the mean OKS."""
    dataset = _dataset(people=8, images=8, seed=2)
    for number, annotation in enumerate(dataset["annotations"]):
        annotation.update(image_id=number + 1, iscrowd=0, num_keypoints=17)
        annotation["keypoints"][2::3] = [2] * 17
    results = _results(dataset, noise=2.0)
    path = _write(tmp_path, dataset)
    breakdown = metrics.per_keypoint(path, results)
    assert all(values["count"] == len(results) for values in breakdown.values())
    people = {a["image_id"]: a for a in dataset["annotations"]}
    expected = np.mean([
        metrics.oks.oks(
            np.reshape(r["keypoints"], (17, 3))[:, :2],
            np.reshape(people[r["image_id"]]["keypoints"], (17, 3))[:, :2],
            people[r["image_id"]]["area"], skeletons.COCO.sigmas,
        )
        for r in results
    ])  # fmt: skip
    mean = np.mean([values["similarity"] for values in breakdown.values()])
    assert mean == pytest.approx(expected)


def test_real_annotations(real_data):
    """Ground truth as results scores 1 on photographs' annotations, with sigmas from the file."""
    for name in ("coco/annotations.json", "lspet/annotations_val.json"):
        path = real_data / name
        dataset = json.loads(path.read_text())
        results = [
            {"image_id": a["image_id"], "category_id": 1, "keypoints": a["keypoints"], "score": 1.0}
            for a in dataset["annotations"]
            if a["num_keypoints"]
        ]
        assert metrics.coco_keypoints(path, results)["AP"] == pytest.approx(1)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_other_encodings_are_read_as_the_reader_does(tmp_path, encoding):
    content = _dataset()
    path, results = _write(tmp_path, content), _results(content)
    expected = metrics.coco_keypoints(path, results)
    path.write_text(json.dumps(content), encoding=encoding)
    assert metrics.coco_keypoints(path, results) == expected
    dataset = SimpleNamespace(path=path)
    with annotation_file(dataset, Subset(frozenset(range(1, 26)))) as subset:
        assert metrics.coco_keypoints(subset, results) == expected


def test_odd_values_are_read_as_the_reader_does(tmp_path):
    content = _dataset()
    path, results = _write(tmp_path, content), _results(content)
    expected = metrics.coco_keypoints(path, results)
    crowd = {"image_id": 3, "category_id": 1, "iscrowd": 1, "area": 9.0}
    for number, changes in enumerate(
        ({"keypoints": [1, 2]}, {"keypoints": 5}, {"bbox": ["1", 2]}, {"area": "big"})
    ):
        content["annotations"].append(crowd | {"id": 900 + number} | changes)
    person = content["annotations"][0]
    person["keypoints"] = [str(value) for value in person["keypoints"]]
    del person["num_keypoints"]
    assert metrics.coco_keypoints(_write(tmp_path, content), results) == expected
    person["keypoints"][0] = "left"
    with pytest.raises(ValueError, match="annotation 100: keypoints must be numbers"):
        metrics.coco_keypoints(_write(tmp_path, content), results)


def test_a_person_without_any_size_is_ignored(tmp_path):
    content = _dataset()
    path, results = _write(tmp_path, content), _results(content)
    expected = metrics.coco_keypoints(path, results)
    alone = {"id": 900, "image_id": 3, "category_id": 1, "keypoints": [5, 6, 2] + [0, 0, 0] * 16}
    content["annotations"].append(alone)
    assert metrics.coco_keypoints(_write(tmp_path, content), results) == expected
