"""Matching, curves, sizes and counts of errors, from an annotation file and results."""

import dataclasses
import json

import numpy as np
import pytest

from jaxpose import annotations, metrics
from jaxpose.evaluation import figures
from jaxpose.evaluation.analysis import analyze
from jaxpose.evaluation.matching import match
from jaxpose.evaluation.report import make_report
from jaxpose.evaluation.results import score_results
from jaxpose.metrics.coco import read_truth
from jaxpose.metrics.oks import oks
from jaxpose.tasks import whole_images
from jaxpose.tasks.scoring import Evaluation
from tests.helpers import tiny_runs


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """12 people in 6 images; the areas of the last three people differ."""
    folder = tiny_runs.write_people(tmp_path_factory.mktemp("data") / "people", each=2)
    content = json.loads((folder / "people.json").read_text())
    for record, area in zip(content["annotations"][-3:], (900, 5000, 200**2), strict=True):
        record["area"] = area
    (folder / "people.json").write_text(json.dumps(content))
    return annotations.load_coco(folder / "people.json", image_dir=folder / "images")


def result(dataset, row, moved=(0.0, 0.0), score=0.5):
    points = dataset.people.keypoints[row].astype(float)
    points[:, :2] += moved
    return {
        "image_id": int(dataset.people.image_id[row]),
        "category_id": 1,
        "keypoints": points.ravel().tolist(),
        "score": score,
    }


def analysis_of(dataset, results):
    truth = read_truth(dataset.path, category=dataset.category)
    evaluation = Evaluation({}, 0.0, results, [], None, None, truth)
    by_keypoint = metrics.per_keypoint(truth, results, dataset.skeleton.sigmas)
    return analyze(evaluation, dataset.skeleton, by_keypoint)


def test_curves_have_the_area_of_the_metric(dataset, rng):
    results = [
        result(dataset, row, rng.normal(0, 2.5, 2), score=rng.uniform()) for row in range(12)
    ]
    results += [result(dataset, row, (300, 0), score=rng.uniform()) for row in range(4)]
    scores = metrics.coco_keypoints(dataset.path, results)
    curves = analysis_of(dataset, results).curves()
    assert 0.05 < scores["AP75"] < scores["AP50"] < 1
    for name, key in (("OKS 0.50", "AP50"), ("OKS 0.75", "AP75"), ("OKS 0.50:0.95", "AP")):
        assert curves[name].mean() == pytest.approx(scores[key], abs=1e-12)
    assert json.loads(json.dumps(analysis_of(dataset, results).as_json()))


def test_sizes_and_missed_people(dataset):
    results = [result(dataset, row) for row in range(12) if row not in (0, 11)]
    results.append(result(dataset, 0, (500, 0)))  # a false positive
    analysis = analysis_of(dataset, results)
    rows = analysis.sizes()
    for row in rows:
        row["oks"] = row["oks"] and round(row["oks"], 9)
    assert {row["from_px"]: (row["people"], row["missed"], row["oks"]) for row in rows} == {
        0: (1, 0, 1.0),
        32: (9, 1, 1.0),
        64: (1, 0, 1.0),
        96: (0, 0, None),
        192: (1, 1, None),
    }
    assert [row[0] for row in analysis.size_table()[1:]] == [
        "0-32 px",
        "32-64 px",
        "64-96 px",
        "192 px and more",
    ]
    errors = analysis.as_json()["errors"]
    assert errors["matched_people"] == 10 and errors["missed_people"] == 2
    assert errors["unmatched_results"] == 1


def test_counts_of_errors(dataset):
    results = [result(dataset, row) for row in range(12)]
    eyes = np.reshape(results[3]["keypoints"], (17, 3))
    eyes[[1, 2]] = eyes[[2, 1]]  # left and right eye
    results[3]["keypoints"] = eyes.ravel().tolist()
    results[5]["keypoints"][:2] = [-500.0, -500.0]  # nose
    errors = analysis_of(dataset, results).as_json()["errors"]
    assert errors["all"] == {
        "good": 12 * 17 - 3, "jitter": 0, "inversion": 2, "swap": 0, "miss": 1,
    }  # fmt: skip
    assert errors["left_right_inversions"] == 2
    assert errors["by_keypoint"]["nose"]["miss"] == 1
    assert errors["by_keypoint"]["left_eye"]["inversion"] == 1


def test_nobody_counts_and_no_results(dataset, tmp_path):
    analysis = analysis_of(dataset, [])
    assert analysis.as_json()["errors"]["missed_people"] == 12
    assert analysis.error_table(by_keypoint=False)[1] == ["all", *"-----", "0"]
    content = json.loads(dataset.path.read_text())
    content["annotations"] = [record | {"iscrowd": 1} for record in content["annotations"]]
    (tmp_path / "crowd.json").write_text(json.dumps(content))
    matching = match(tmp_path / "crowd.json", [], dataset.skeleton.sigmas)
    assert len(matching.area) == 0 and (matching.precision == -1).all()


def test_matches_below_half_are_analyzed_but_not_counted_as_found(dataset):
    moved = result(dataset, 0, (6, 6))
    similarity = oks(
        np.reshape(moved["keypoints"], (17, 3))[:, :2],
        dataset.people.keypoints[0, :, :2],
        3000,
        dataset.skeleton.sigmas,
    )
    assert 0.1 < similarity < 0.5
    matching = match(dataset.path, [moved], dataset.skeleton.sigmas)
    assert np.isfinite(matching.loose[0]).all() and np.isnan(matching.strict[0]).all()
    assert matching.unmatched == 0


def test_the_chosen_category_is_analyzed(dataset, tmp_path):
    content = json.loads(dataset.path.read_text())
    first = {"id": 7, "name": "dog", "keypoints": ["nose", "tail"], "skeleton": []}
    content["categories"] = [first, *content["categories"]]
    (tmp_path / "two.json").write_text(json.dumps(content))
    chosen = annotations.load_coco(
        tmp_path / "two.json", image_dir=dataset.image_dir, category="person"
    )
    results = [result(dataset, row) for row in range(12)]
    analysis = analysis_of(chosen, results)
    assert analysis.as_json()["errors"]["matched_people"] == 12


def test_the_report_does_not_read_the_annotation_file_again(dataset, tmp_path):
    results = [result(dataset, row, (3, 0)) for row in range(12)]
    expected = analysis_of(dataset, results).as_json()
    score = metrics.coco_keypoints(dataset.path, results, dataset.skeleton.sigmas)["AP"]
    copied = dataclasses.replace(dataset, path=tmp_path / "people.json")
    copied.path.write_text(dataset.path.read_text())
    (tmp_path / "results.json").write_text(json.dumps(results))
    evaluation = score_results(tmp_path / "results.json", copied, "coco")
    copied.path.unlink()
    report = make_report(evaluation, copied, whole_images, "coco", 0)
    assert report.analysis.as_json() == expected and evaluation.metrics["AP"] == score


@pytest.mark.slow
def test_pictures(dataset, tmp_path):
    pytest.importorskip("matplotlib")
    import cv2

    for results in ([result(dataset, row, (2, 1)) for row in range(9)], []):
        drawn = figures.draw_figures(tmp_path, analysis_of(dataset, results))
        assert [name for name, _ in drawn] == list(figures.NAMES)
        for name in figures.NAMES:
            image = cv2.imread(str(tmp_path / name))
            assert min(image.shape[:2]) > 300 and image.std() > 5
