"""eval.py on a file that lists images without annotations, and on a results file."""

import importlib
import json

import pytest

from jaxpose import annotations, skeletons
from jaxpose.evaluation import command_line
from tests.helpers import tiny_runs

eval_program = importlib.import_module("eval")
FILE = "image_info_test-dev2017.json"
SUBMISSION = "person_keypoints_test-dev2017_jaxpose_results.json"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """8 images, listed as COCO lists those of test-dev, with two boxes of a detector each."""
    folder = tiny_runs.write_people(tmp_path_factory.mktemp("data") / "people", people=8)
    content = json.loads((folder / "people.json").read_text())
    categories = [{"id": 1, "name": "person"}, {"id": 2, "name": "bicycle"}]
    info = {"info": {}, "licenses": [], "images": content["images"], "categories": categories}
    (folder / FILE).write_text(json.dumps(info))
    boxes = [
        {"image_id": n % 8, "category_id": 1, "bbox": [10, 10 - n, 60, 75], "score": 1 - n / 20}
        for n in range(16)
    ]
    (folder / "boxes.json").write_text(json.dumps(boxes))
    return folder


def read_back(path, data):
    """The results as pycocotools reads them, the way COCO's server does."""
    from pycocotools.coco import COCO

    truth = COCO(str(data / FILE))
    return truth.loadRes(str(path)), json.loads(path.read_text())


@pytest.mark.slow
def test_a_top_down_network_writes_the_submission(data, tmp_path, capsys):
    config = tiny_runs.config(
        data,
        model="tests.helpers.tiny_runs:TinyHeatmaps",
        **{"data.val_annotations": FILE, "data.detections": "boxes.json", "eval.oks_nms": 0.9},
    )
    source = command_line.Source("random weights", tmp_path)
    assert eval_program.main(config, source, tmp_path, worst=3) == 0
    read, results = read_back(tmp_path / SUBMISSION, data)
    output = capsys.readouterr().out
    assert f"{len(results)} people in 8 of 8 images; no scores" in output
    assert "AP" not in output and {p.name for p in tmp_path.iterdir()} == {SUBMISSION}
    assert 8 <= len(results) <= 16 and set(read.getImgIds()) == set(range(8))
    assert {tuple(sorted(result)) for result in results} == {
        ("category_id", "image_id", "keypoints", "score")
    }
    assert {len(result["keypoints"]) for result in results} == {51}
    assert len(read.anns) == len(results)

    # The same people are scored if the same file has annotations.
    people = json.loads((data / "people.json").read_text())
    (data / "person_keypoints_val.json").write_text(json.dumps(people))
    config.data.val_annotations = "person_keypoints_val.json"
    assert eval_program.main(config, source, tmp_path / "scored", worst=0) == 0
    assert json.loads((tmp_path / "scored" / "results.json").read_text()) == results


@pytest.mark.slow
def test_a_bottom_up_network_needs_no_boxes(data, tmp_path, capsys):
    config = tiny_runs.crowd_config(data, **{"data.val_annotations": FILE})
    config.eval.metric = "crowdpose"  # says how to score, so it does not matter here
    assert eval_program.main(config, command_line.Source("", tmp_path), tmp_path, worst=0) == 0
    read, results = read_back(tmp_path / SUBMISSION, data)
    assert f"{len(results)} people in" in capsys.readouterr().out
    assert len(results) > 8 and len(read.anns) == len(results)


def test_people_in_boxes_need_boxes(data, tmp_path):
    config = tiny_runs.config(data, **{"data.val_annotations": FILE})
    with pytest.raises(ValueError, match="has no annotations, .* --config.data.detections=FILE"):
        eval_program.main(config, command_line.Source("", tmp_path), tmp_path, worst=0)


def test_training_needs_annotations(data):
    with pytest.raises(annotations.AnnotationError, match="lacks 'annotations'"):
        annotations.load_coco(data / FILE, image_dir=data / "images")


def test_keypoints_of_a_file_without_annotations(data, tmp_path):
    mine = skeletons.Skeleton("mine", ("tip", "tail"), (), (0.1, 0.1))
    images = {"image_dir": data / "images", "skeleton": mine}
    assert annotations.load_image_info(data / FILE, **images).skeleton == mine
    assert annotations.load_image_info(data / "people.json", **images) is None
    content = json.loads((data / FILE).read_text())
    named = {"id": 3, "name": "bird", "keypoints": ["beak", "foot"], "skeleton": []}
    (tmp_path / "a.json").write_text(json.dumps(content | {"categories": [named]}))
    dataset = annotations.load_image_info(tmp_path / "a.json", **images)
    assert dataset.skeleton.joints == ("beak", "foot") and dataset.category_id == 3
    for change, message in (
        ({"categories": [{"id": 2, "name": "bicycle"}]}, "categories: none has keypoint names"),
        ({"images": []}, "images: must be a list with at least one record"),
        ({"images": [{"id": 1}]}, "image 1: lacks 'file_name'"),
    ):
        (tmp_path / "a.json").write_text(json.dumps(content | change))
        with pytest.raises(annotations.AnnotationError, match=message):
            annotations.load_image_info(tmp_path / "a.json", **images)


def test_a_results_file_is_scored_without_images_and_network(data, tmp_path, capsys):
    people = json.loads((data / "people.json").read_text())["annotations"]
    results = [
        {k: person[k] for k in ("image_id", "category_id", "keypoints")} | {"score": 0.9}
        for person in people
    ]
    (tmp_path / "mine.json").write_text(json.dumps(results))
    config = tiny_runs.config(data, **{"data.val_images": "absent"})
    source = command_line.Source("mine.json", tmp_path, results=str(tmp_path / "mine.json"))
    assert eval_program.main(config, source, tmp_path / "report", worst=3) == 0
    output = capsys.readouterr().out
    assert "left out: none" in output
    assert "8 people predicted in 8 images" in output and "keypoint errors" in output
    content = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert content["metrics"]["AP"] == 1.0 and content["source"] == "mine.json"
    page = (tmp_path / "report" / "index.html").read_text()
    assert "3 of the 3 worst cases cannot be drawn because of unreadable images" in page
    assert "<h2>Kinds of errors</h2>" in page
    (tmp_path / "mine.json").rename(tmp_path / "results.json")
    source = command_line.Source("", tmp_path, results=str(tmp_path / "results.json"))
    with pytest.raises(ValueError, match="results.json is an input and would be overwritten"):
        eval_program.main(config, source, tmp_path, worst=3)
    assert json.loads((tmp_path / "results.json").read_text()) == results


def test_without_matplotlib_one_line_says_so(data, tmp_path, monkeypatch, capsys):
    (tmp_path / "none.json").write_text("[]")
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    source = command_line.Source("", tmp_path, results=str(tmp_path / "none.json"))
    assert eval_program.main(tiny_runs.config(data), source, tmp_path / "report", worst=0) == 0
    assert (
        "the report has no plots, only numbers (analysis.json): matplotlib is not installed: pip "
        "install 'jaxpose[plots]'\n" in capsys.readouterr().out
    )
    names = {path.name for path in (tmp_path / "report").iterdir()}
    assert names == {"metrics.json", "results.json", "analysis.json", "index.html"}


@pytest.mark.slow
def test_command_line(data, tmp_path):
    (tmp_path / "bad.json").write_text("{}")
    done = tiny_runs.run(
        f"--results={tmp_path}/bad.json", "--config=configs/custom_topdown.py:hwl_mobilenetv3",
        f"--config.data.root={data}", "--config.data.val_annotations=people.json",
        program="eval.py",
    )  # fmt: skip
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "bad.json: must be a list of results" in done.stderr.strip().splitlines()[-1]
