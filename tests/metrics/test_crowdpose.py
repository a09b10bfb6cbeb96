"""CrowdPose metrics on small hand-computed files, and against COCO's on the same data."""

import copy
import json
import math

import numpy as np
import pytest

from jaxpose import metrics, skeletons

KEYS = "AP AP50 AP75 AR AR50 AR75 AP_easy AP_medium AP_hard".split()
JOINTS = 14
SIGMAS = [0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089,
          0.079, 0.079]  # fmt: skip


def person(number, image, x=0.0, labeled=JOINTS, **changes):
    """A person in a box of 100 x 200 whose joints stand on a line."""
    points = np.stack([np.linspace(x + 5, x + 95, JOINTS), np.linspace(5, 195, JOINTS)], -1)
    flags = (np.arange(JOINTS) < labeled) * 2
    values = np.concatenate([points * (flags > 0)[:, None], flags[:, None]], 1)
    record = {
        "id": number, "image_id": image, "category_id": 1, "bbox": [x, 0, 100, 200], "iscrowd": 0,
        "keypoints": values.ravel().tolist(), "num_keypoints": labeled,
    }  # fmt: skip
    return record | changes


def result(record, score=1.0, move=0.0):
    values = np.array(record["keypoints"], np.float64).reshape(-1, 3)
    values[:, 0] += move
    return {
        "image_id": record["image_id"], "category_id": 1, "score": score,
        "keypoints": values.ravel().tolist(),
    }  # fmt: skip


def write(folder, people, crowding):
    images = [
        {"id": k, "file_name": f"{k}.jpg", "height": 300, "width": 900, "crowdIndex": index}
        for k, index in crowding.items()
    ]
    category = {
        "id": 1, "name": "person", "keypoints": list(skeletons.CROWDPOSE.joints),
        "skeleton": [[16, 14], [17, 15]],
    }  # fmt: skip
    path = folder / "crowdpose.json"
    path.write_text(json.dumps({"images": images, "annotations": people, "categories": [category]}))
    return path


THREE = {1: 0.1, 2: 0.5, 3: 0.9}


def test_perfect(tmp_path):
    people = [person(10 * k + j, k, 150 * j) for k in THREE for j in range(3)]
    path = write(tmp_path, people, THREE)
    before = [result(p, score=0.1 * p["id"]) for p in people]
    results = copy.deepcopy(before)
    scores = metrics.crowdpose(path, results)
    assert scores == pytest.approx(dict.fromkeys(KEYS, 1.0)) and list(scores) == KEYS
    assert all(type(value) is float for value in scores.values()) and results == before
    assert metrics.crowdpose(str(path), []) == dict.fromkeys(KEYS, 0.0)


def test_shifted_by_a_known_similarity(tmp_path):
    """OKS is the mean of exp(-d^2 / (2 (2 sigma)^2 0.53 w h)), whatever `area` is."""
    people = [person(1, 1, area=7.0)]
    path = write(tmp_path, people, {1: 0.0})
    area = 0.53 * 100 * 200
    counts = []
    for move in (3.0, 8.0, 12.0, 14.0, 20.0):
        oks = np.mean([math.exp(-(move**2) / (2 * (2 * s) ** 2 * area)) for s in SIGMAS])
        passed = np.mean([oks >= t for t in np.linspace(0.5, 0.95, 10)])
        scores = metrics.crowdpose(path, [result(people[0], move=move)])
        assert [scores[k] for k in ("AP", "AR", "AP_easy")] == pytest.approx([passed] * 3)
        assert [scores["AP50"], scores["AR75"]] == pytest.approx(
            [1.0 * (oks >= t) for t in (0.5, 0.75)]
        )
        counts.append(passed)
    assert counts == sorted(counts, reverse=True) and len(set(counts)) == 5


def test_only_labeled_joints_count(tmp_path):
    people = [person(1, 1, labeled=6)]
    path = write(tmp_path, people, {1: 0.0})
    prediction = result(person(1, 1))
    prediction["keypoints"][18:] = [5000.0] * 24  # the other eight are anywhere
    assert metrics.crowdpose(path, [prediction])["AP"] == pytest.approx(1)


def test_missed_people(tmp_path):
    """One of two is detected: recall ends at 0.5, so 51 of 101 recall points have precision 1."""
    people = [person(1, 1), person(2, 1, 300)]
    scores = metrics.crowdpose(write(tmp_path, people, {1: 0.5}), [result(people[0])])
    assert scores["AR"] == scores["AR50"] == 0.5
    assert scores["AP"] == scores["AP_medium"] == pytest.approx(51 / 101)
    assert scores["AP_easy"] == scores["AP_hard"] == -1


def test_false_positives_by_their_scores(tmp_path):
    people = [person(1, 1), person(2, 1, 300)]
    path = write(tmp_path, people, {1: 0.5})
    false = result(person(0, 1, 600))
    sure, last = false | {"score": 0.95}, false | {"score": 0.1}
    both = [result(people[0], 0.9), result(people[1], 0.8)]
    assert metrics.crowdpose(path, [*both, last])["AP"] == pytest.approx(1)
    # True, false, true: precision 1 up to recall 0.5 and 2/3 beyond it.
    middle = metrics.crowdpose(path, [both[0], false | {"score": 0.85}, both[1]])
    assert middle["AP"] == pytest.approx((51 + 50 * 2 / 3) / 101)
    # False, true, true: 1/2 and then 2/3; the envelope of precision is 2/3 everywhere.
    assert metrics.crowdpose(path, [sure, *both])["AP50"] == pytest.approx(2 / 3)
    # A second result for the same person is a false positive, too.
    twice = metrics.crowdpose(path, [both[0], result(people[0], 0.85), both[1]])
    assert twice["AP"] == pytest.approx(middle["AP"])


def test_false_positive_on_an_image_without_people(tmp_path):
    people = [person(1, 1)]
    path = write(tmp_path, people, {1: 0.1, 2: 0.1, 3: 0.9})
    alone = result(person(0, 2), score=2.0)
    scores = metrics.crowdpose(path, [result(people[0]), alone])
    assert scores["AP"] == scores["AP_easy"] == pytest.approx(0.5) and scores["AP_hard"] == -1


def test_ignored_people_do_not_count(tmp_path):
    """Crowds and people without labeled joints are neither missed nor false positives."""
    people = [
        person(1, 1),
        person(2, 1, 300, labeled=0),
        person(3, 1, 600, iscrowd=1),
    ]
    path = write(tmp_path, people, {1: 0.9})
    first = result(people[0], 0.5)
    assert metrics.crowdpose(path, [first])["AP_hard"] == pytest.approx(1)
    # Inside the box of the second, enlarged by its width and height to each side, all is near.
    near, crowd = result(person(0, 1, 350), 0.9), result(people[2], 0.8)
    assert metrics.crowdpose(path, [first, near, crowd])["AP"] == pytest.approx(1)
    nobody = write(tmp_path, people[1:], {1: 0.9})
    assert metrics.crowdpose(nobody, [crowd]) == dict.fromkeys(KEYS, -1.0)


def test_levels_by_crowd_index(tmp_path):
    """0.2 is medium, 0.8 and above is hard; each level is evaluated separately."""
    crowding = {1: 0.0, 2: 0.1999, 3: 0.2, 4: 0.7999, 5: 0.8, 6: 3.02}
    people = [person(k, k) for k in crowding]
    path = write(tmp_path, people, crowding)
    for k in crowding:
        scores = metrics.crowdpose(path, [result(people[k - 1])])
        levels = [scores[f"AP_{level}"] for level in ("easy", "medium", "hard")]
        expected = [0.0, 0.0, 0.0]
        expected[(k - 1) // 2] = 51 / 101
        assert levels == pytest.approx(expected)
        assert scores["AR"] == pytest.approx(1 / 6)


def test_twenty_best_results_of_an_image(tmp_path):
    people = [person(k, 1, 120 * k) for k in range(25)]
    scores = metrics.crowdpose(write(tmp_path, people, {1: 1.0}), [result(p) for p in people])
    assert scores["AR"] == pytest.approx(20 / 25)


def test_agrees_with_coco_where_they_are_the_same(tmp_path):
    """With the areas written into the file, and these sigmas, AP and AR are COCO's."""
    random = np.random.default_rng(0)
    people = []
    for number in range(40):
        w, h = random.uniform(40, 200, 2).round(1)
        record = person(number, 1 + number % 8, labeled=14 * (number % 9 != 4))
        record["bbox"] = [0.0, 0.0, w, h]
        people.append(record | {"area": 0.53 * w * h, "iscrowd": int(number % 11 == 5)})
    path = write(tmp_path, people, {k: k / 8 for k in range(1, 9)})
    results = [
        result(p, float(random.random()), float(random.normal(0, 12)))
        for p in people
        if random.random() < 0.8
    ]
    scores = metrics.crowdpose(path, results)
    same = metrics.coco_keypoints(path, results, sigmas=SIGMAS)
    assert {k: scores[k] for k in KEYS[:6]} == pytest.approx({k: same[k] for k in KEYS[:6]})
    assert 0.05 < scores["AP"] < 0.95


def test_other_files_are_refused(tmp_path):
    path = write(tmp_path, [person(1, 1)], {1: None})
    with pytest.raises(ValueError, match="image 1 has no number under 'crowdIndex'"):
        metrics.crowdpose(path, [])
    data = json.loads(path.read_text())
    data["categories"][0]["keypoints"] = list(skeletons.COCO.joints)
    data["annotations"][0]["keypoints"] = [0] * 51
    path.write_text(json.dumps(data))
    with pytest.raises(ValueError, match="17 keypoints, but CrowdPose has 14"):
        metrics.crowdpose(path, [])


def test_real_photographs(real_data):
    path = real_data / "crowdpose" / "annotations.json"
    people = json.loads(path.read_text())["annotations"]
    scores = metrics.crowdpose(path, [result(p) for p in people if p["num_keypoints"]])
    expected = dict.fromkeys(KEYS, 1.0) | {"AP_easy": -1.0, "AP_hard": -1.0}
    assert scores == pytest.approx(expected)


def test_the_chosen_category_is_scored(tmp_path):
    people = [person(k, k) for k in THREE]
    path = write(tmp_path, people, THREE)
    content = json.loads(path.read_text())
    content["categories"].insert(0, {"id": 7, "name": "dog", "keypoints": ["nose", "tail"]})
    path.write_text(json.dumps(content))
    results = [result(p) for p in people]
    assert metrics.crowdpose(path, results, category="person")["AP"] == pytest.approx(1)
    with pytest.raises(ValueError, match="2 keypoints, but CrowdPose has 14|expected 6"):
        metrics.crowdpose(path, results)
