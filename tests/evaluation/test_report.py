"""eval.py on runs and exported files: the report, its files and its drawings."""

import importlib.util
import json

import numpy as np
import pytest

from jaxpose import annotations, runs
from jaxpose.evaluation import command_line, figures
from jaxpose.evaluation.report import check_folder, make_report, write_report
from jaxpose.tasks import topdown
from tests.helpers import tiny_runs
from tests.helpers.evaluation import oracle, report, truth_batches

eval_program = importlib.import_module("eval")


@pytest.mark.slow
def test_it_reproduces_the_score_of_the_training_run(run, tmp_path, capsys):
    config, source = tiny_runs.source_of(run)
    assert eval_program.main(config, source, tmp_path / "report", worst=3) == 0
    scored = [line for line in (run / "metrics.jsonl").read_text().splitlines() if "eval/" in line]
    in_training = {
        key.removeprefix("eval/"): value
        for key, value in json.loads(scored[-1]).items()
        if key.startswith("eval/")
    }
    assert report(tmp_path / "report")["metrics"] == in_training
    names = {path.name for path in (tmp_path / "report").iterdir()}
    drawn = set(figures.NAMES) if importlib.util.find_spec("matplotlib") else set()
    assert names == {"metrics.json", "results.json", "analysis.json", "index.html"} | drawn | {
        f"worst_0{n}.jpg" for n in (1, 2, 3)
    }
    results = json.loads((tmp_path / "report" / "results.json").read_text())
    assert {r["image_id"] for r in results} == set(range(12))
    assert "left_shoulder" in capsys.readouterr().out
    assert "worst_03.jpg" in (tmp_path / "report" / "index.html").read_text()


def test_the_report_never_overwrites_what_it_is_about(people, tmp_path):
    dataset = annotations.load(people / "people.json", image_dir=people / "images")
    boxes = tmp_path / "results.json"
    boxes.write_text("[]")
    check_folder(tmp_path / "report", dataset, [boxes])
    check_folder(people, dataset, [boxes])  # beside the annotation file
    for folder in (people / "images", tmp_path):
        with pytest.raises(ValueError, match="is an input.* and would be overwritten"):
            check_folder(folder, dataset, [boxes])
    boxes.unlink()
    for name in ("analysis.json", "oks.png"):
        (tmp_path / name).write_text("[]")
        with pytest.raises(ValueError, match=f"{name} is an input"):
            check_folder(tmp_path, dataset, [tmp_path / name])
    (tmp_path / "worst_01.jpg").hardlink_to(people / "images" / "0.png")  # would be removed
    with pytest.raises(ValueError, match="worst_01.jpg is an input"):
        check_folder(tmp_path, dataset, [])


@pytest.mark.slow
def test_the_report_names_unreadable_images(people, tmp_path, monkeypatch):
    (tmp_path / "images").mkdir()
    for number in range(0, 12, 2):
        name = f"images/{number}.png"
        (tmp_path / name).write_bytes((people / name).read_bytes())
    (tmp_path / "images" / "1.png").write_bytes(b"no image")
    dataset = annotations.load_coco(people / "people.json", image_dir=tmp_path / "images")
    config = tiny_runs.config(people)
    evaluation = topdown.evaluate(oracle(dataset), truth_batches(dataset), dataset, config)
    report = make_report(evaluation, dataset, topdown, "coco", worst=4)
    names = [dataset.images[case.image_id].file_name for case in report.worst]
    assert names == ["0.png", "1.png", "2.png", "3.png"]
    write_report(tmp_path / "report", report, dataset, title="", record={})
    page = (tmp_path / "report" / "index.html").read_text()
    assert page.count('<img src="worst_') == 2
    assert (
        "2 of the 4 worst cases cannot be drawn because of unreadable images: 1.png, 3.png" in page
    )
    for path in (tmp_path / "images").iterdir():
        path.unlink()
    write_report(tmp_path / "report", report, dataset, title="", record={})
    page = (tmp_path / "report" / "index.html").read_text()
    assert "worst_" not in page and "4 of the 4 worst cases cannot be drawn" in page


def test_a_drawing_that_cannot_be_written_is_an_error(people, tmp_path, monkeypatch):
    dataset = annotations.load_coco(people / "people.json", image_dir=people / "images")
    config = tiny_runs.config(people)
    evaluation = topdown.evaluate(oracle(dataset), truth_batches(dataset), dataset, config)
    report = make_report(evaluation, dataset, topdown, "coco", worst=1)
    monkeypatch.setattr("cv2.imwrite", lambda path, image: False)
    with pytest.raises(ValueError, match="worst_01.jpg could not be written"):
        write_report(tmp_path, report, dataset, title="", record={})


@pytest.mark.slow
def test_detected_boxes(run, people, tmp_path):
    boxes = [
        {"image_id": n, "category_id": 1, "bbox": [8, 9, 64, 78], "score": 0.5 + n / 30}
        for n in range(12)
    ]
    (people / "boxes.json").write_text(json.dumps(boxes))
    config, source = tiny_runs.source_of(run, **{"data.detections": "boxes.json"})
    assert eval_program.main(config, source, tmp_path, worst=3) == 0
    assert "PCK@0.2" not in report(tmp_path)["metrics"]
    assert "12 detected boxes" in report(tmp_path)["notes"][0]


def test_mirrored_images_need_pairs(people, tmp_path):
    content = json.loads((people / "people.json").read_text())
    content["categories"][0]["keypoints"] = [f"joint{k}" for k in range(17)]
    (people / "numbered.json").write_text(json.dumps(content))
    changes = {"model": "tests.helpers.tiny_runs:TinyHeatmaps"}
    config = tiny_runs.config(people, **changes, **{"data.val_annotations": "numbered.json"})
    source = command_line.Source("random weights", tmp_path)
    with pytest.raises(ValueError, match="numbered.json: .* need the left-right pairs"):
        eval_program.main(config, source, tmp_path, worst=0)


@pytest.mark.slow
def test_weights_for_other_keypoints_are_refused(run, people, tmp_path):
    content = json.loads((people / "people.json").read_text())
    content["categories"][0] |= {"keypoints": [f"joint{k}" for k in range(17)], "flip_pairs": []}
    (people / "other.json").write_text(json.dumps(content))
    config, source = tiny_runs.source_of(run, **{"data.val_annotations": "other.json"})
    with pytest.raises(ValueError, match="joint16"):
        eval_program.main(config, source, tmp_path, worst=0)


@pytest.mark.slow
def test_an_exported_file_gives_the_same_poses(run, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from jaxpose import export

    config, model, variables, skeleton = runs.load_run(run)
    file = tmp_path / "tiny.onnx"
    metadata = export.describe("hwl_mobilenetv3", topdown, config, skeleton, (64, 64))
    export.to_onnx(model, variables, (64, 64), file, metadata=metadata)
    config, source = tiny_runs.source_of(run)
    eval_program.main(config, source, tmp_path / "jax", worst=0)
    exported = command_line.Source(str(file), tmp_path, exported=str(file))
    eval_program.main(config, exported, tmp_path / "onnx", worst=0)
    files = [tmp_path / name / "results.json" for name in ("jax", "onnx")]
    ours, theirs = (
        {r["image_id"]: r["keypoints"] for r in json.loads(file.read_text())} for file in files
    )
    difference = [np.subtract(ours[i], theirs[i]).reshape(-1, 3) for i in ours]
    # A tie of two pixels may fall to either side; nearly all joints are at one place.
    distance = np.linalg.norm(np.stack(difference)[..., :2], axis=-1)
    assert np.mean(distance < 0.05) > 0.98
    config.input_size = (128, 96)
    with pytest.raises(ValueError, match=r"input size \(64, 64\)"):
        eval_program.main(config, exported, tmp_path / "onnx", worst=0)
