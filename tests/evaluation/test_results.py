"""Results files: names of submissions, validation, and scores."""

import dataclasses
import importlib
import json
import types

import numpy as np
import pytest

from jaxpose import annotations, metrics, skeletons
from jaxpose.evaluation import command_line
from jaxpose.evaluation.results import read_results, score_results, submission_name
from jaxpose.runs.info import write_info
from tests.helpers import tiny_runs


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tiny_runs.write_people(tmp_path_factory.mktemp("data") / "people", each=2)
    return annotations.load_coco(folder / "people.json", image_dir=folder / "images")


def results_of(dataset):
    """The annotated people, moved by 3 pixels, in COCO's form."""
    people = dataset.people
    points = people.keypoints.astype(float) + (3, 0, 0)
    return [
        {"image_id": int(image), "category_id": 1, "keypoints": row, "score": 0.5 + n / 100}
        for n, (image, row) in enumerate(
            zip(people.image_id, points.reshape(len(people), -1).tolist(), strict=True)
        )
    ]


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("image_info_test-dev2017.json", "person_keypoints_test-dev2017_jaxpose_results.json"),
        ("a/person_keypoints_val2017.json", "person_keypoints_val2017_jaxpose_results.json"),
        ("mine.v2.json", "mine.v2_jaxpose_results.json"),
    ],
)
def test_name_of_a_submission(file, name):
    assert submission_name(file) == name


def test_a_file_has_the_scores_of_its_results(dataset, tmp_path):
    results = results_of(dataset)
    (tmp_path / "results.json").write_text(json.dumps(results))
    evaluation = score_results(tmp_path / "results.json", dataset, "coco")
    expected = metrics.coco_keypoints(dataset.path, results)
    assert evaluation.metrics | expected == evaluation.metrics
    assert 0.5 < expected["AP"] < 1 and 50 < evaluation.metrics["PCK@0.2"] < 100
    assert evaluation.results == results
    assert "12 people predicted in 6 images" in evaluation.notes[0]


def test_the_area_of_the_box_instead_of_the_annotated_one(dataset, tmp_path):
    results = results_of(dataset)
    (tmp_path / "results.json").write_text(json.dumps(results))
    content = json.loads(dataset.path.read_text())

    def score(annotated, setting):
        for record in content["annotations"]:
            record["area"] = annotated
        (tmp_path / "people.json").write_text(json.dumps(content))
        data = dataclasses.replace(dataset, path=tmp_path / "people.json")
        return score_results(tmp_path / "results.json", data, "coco", setting).metrics

    of_box = 0.53 * 60 * 75  # of the box of all people
    assert score(9000, "box") == score(of_box, "annotated")
    assert score(9000, "box")["AP"] < score(9000, "annotated")["AP"]


def test_an_empty_list_scores_zero(dataset, tmp_path):
    (tmp_path / "results.json").write_text("[]")
    evaluation = score_results(tmp_path / "results.json", dataset, "coco")
    assert evaluation.score == 0 and evaluation.results == []


def test_results_of_other_categories_are_left_out_and_counted(dataset, tmp_path):
    results = results_of(dataset)
    results[0]["category_id"] = 7
    (tmp_path / "results.json").write_text(json.dumps(results))
    predictions, notes = read_results(tmp_path / "results.json", dataset)
    assert len(predictions.image_id) == 11
    assert notes == ["1 of 12 results is left out: of a category other than 1"]
    merged = dataclasses.replace(dataset, category_ids={1: 1, 7: 7})
    assert len(read_results(tmp_path / "results.json", merged)[0].image_id) == 12


def test_ids_are_read_as_those_of_the_dataset(dataset, tmp_path):
    """As numbers, as texts, and as the file names that AlphaPose writes."""
    results = results_of(dataset)
    expected = read_results(write(tmp_path, results), dataset)[0]
    name = dataset.images[results[2]["image_id"]].file_name
    for change in (
        {"image_id": float(results[2]["image_id"]), "category_id": "1"},
        {"image_id": str(results[2]["image_id"]), "category_id": 1.0},
        {"image_id": name},
    ):
        path = write(tmp_path, changed(**change)(results_of(dataset)))
        predictions, notes = read_results(path, dataset)
        assert notes == [] and (predictions.image_id == expected.image_id).all()
    path = write(tmp_path, changed(image_id=f"other\\{name}")(results_of(dataset)))
    predictions, (note,) = read_results(path, dataset)
    assert len(predictions.image_id) == 12
    assert note.startswith("1 image is matched by name alone, because its folder differs")


def test_results_of_other_images_are_left_out_and_counted(dataset, tmp_path):
    predictions, notes = read_results(
        write(tmp_path, changed(image_id=99)(results_of(dataset))), dataset
    )
    assert len(predictions.image_id) == 11
    assert notes == [f"1 of 12 results is left out: for 1 image not in {dataset.path}: 99"]


def write(folder, results):
    path = folder / "results.json"
    path.write_text(json.dumps(results))
    return path


def changed(**changes):
    def change(results):
        results[2] = {k: v for k, v in (results[2] | changes).items() if v is not None}
        return results

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: {"annotations": r}, "must be a list of results .*, not a dataset with 'annot"),
        (lambda r: {"people": r}, "must be a list of results .*, not an object"),
        (lambda r: [*r, 3], "result number 12: must be an object"),
        (changed(score=None), "result number 2: lacks 'score'"),
        (changed(score="high"), "result number 2: score must be a finite number, not 'high'"),
        (changed(keypoints=[1.0] * 34), "result number 2: keypoints must be 51 numbers .*not 34"),
        (changed(keypoints=[float("nan")] * 51), "keypoints of 1 result are not finite numbers"),
        (changed(image_id=1.5), "result number 2: image_id must be an integer or a string"),
        (
            lambda r: [x | {"category_id": 2} for x in r],
            "no result has the category of the people in",
        ),
        (
            lambda r: [x | {"image_id": 100 + n} for n, x in enumerate(r)],
            "every result is for 12 images not in .*: 100, 101, 102, 103, 104 and 7 more$",
        ),
    ],
)
def test_a_file_that_breaks_a_rule_is_refused_in_one_line(dataset, tmp_path, change, message):
    (tmp_path / "results.json").write_text(json.dumps(change(results_of(dataset))))
    with pytest.raises(ValueError, match=message) as error:
        read_results(tmp_path / "results.json", dataset)
    assert "\n" not in str(error.value)


def test_files_that_cannot_be_read(dataset, tmp_path):
    (tmp_path / "bad.json").write_text("[{")
    with pytest.raises(ValueError, match="bad.json: not JSON"):
        read_results(tmp_path / "bad.json", dataset)
    with pytest.raises(ValueError, match="none.json: cannot be read"):
        read_results(tmp_path / "none.json", dataset)


def test_crowdpose_is_scored_by_its_metric(tmp_path):
    random = np.random.default_rng(0)
    keypoints = np.concatenate([random.uniform(20, 180, (14, 2)), np.full((14, 1), 2)], 1)
    content = {
        "images": [{"id": 1, "file_name": "1.jpg", "height": 200, "width": 200, "crowdIndex": 0.5}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "keypoints": keypoints.ravel().tolist(),
             "bbox": [10, 10, 180, 180], "iscrowd": 0, "num_keypoints": 14},
        ],
        "categories": [
            {"id": 1, "name": "person", "keypoints": list(skeletons.CROWDPOSE.joints)}
        ],
    }  # fmt: skip
    (tmp_path / "crowd.json").write_text(json.dumps(content))
    dataset = annotations.load_crowdpose(tmp_path / "crowd.json", image_dir=tmp_path)
    result = {"image_id": 1, "category_id": 1, "keypoints": keypoints.ravel().tolist(), "score": 1}
    (tmp_path / "results.json").write_text(json.dumps([result]))
    evaluation = score_results(tmp_path / "results.json", dataset, "crowdpose")
    assert evaluation.metrics["AP"] == evaluation.metrics["AP_medium"] == pytest.approx(1)
    assert evaluation.metrics["AP_easy"] == -1
    mpii = dataclasses.replace(dataset, format="mpii")
    for source, metric in ((mpii, "coco"), (dataset, "mpii")):
        with pytest.raises(ValueError, match="not with MPII's PCKh"):
            score_results(tmp_path / "results.json", source, metric)


@pytest.mark.slow
def test_results_with_a_run_are_scored_with_its_sigmas(dataset, tmp_path, capsys):
    program = importlib.import_module("eval")
    folder, file, strict = tmp_path / "run", tmp_path / "results.json", (0.01,) * 17
    folder.mkdir()
    file.write_text(json.dumps(results_of(dataset)))
    config = tiny_runs.config(dataset.path.parent)
    write_info(folder, config, dataclasses.replace(skeletons.COCO, sigmas=strict))
    flags = {"untrained": False, "exported": None, "results": str(file), "checkpoint": None}

    def scored(workdir):
        values = types.SimpleNamespace(**flags, workdir=workdir, step="last")
        source = command_line.find_source(values)
        assert program.score_file(config, source, tmp_path / "report", worst=0) == 0
        assert ("OKS uses those of the network" in capsys.readouterr().out) == bool(workdir)
        return json.loads((tmp_path / "report" / "metrics.json").read_text())["metrics"]["AP"]

    results = json.loads(file.read_text())
    expected = metrics.coco_keypoints(dataset.path, results, strict)["AP"]
    assert scored(str(folder)) == pytest.approx(expected)
    assert scored(None) > expected
