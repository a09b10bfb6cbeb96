"""eval.py, and the evaluation that it shares with train.py."""

import dataclasses
import importlib.util
import json

import numpy as np
import pytest
import scipy.io
from absl import flags
from ml_collections import config_flags

from configs import common
from jaxpose import annotations, runs, skeletons, tasks
from jaxpose.evaluation import command_line, figures
from jaxpose.evaluation.report import check_folder, make_report, write_report
from jaxpose.tasks import mpii, topdown
from jaxpose.training import runtime
from tests.helpers import tiny_runs

eval_program = importlib.import_module("eval")


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return tiny_runs.write_people(tmp_path_factory.mktemp("data") / "people")


@pytest.fixture(scope="module")
def run(people, tmp_path_factory):
    """A run folder with the weights of one short training."""
    train = importlib.import_module("train")
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert train.main(tiny_runs.config(people, epochs=1.0, ema_decay=0.5), str(folder)) == 0
    return folder


def truth_batches(dataset, size=5, drop=()):
    """Batches whose keypoints are those of the annotations; rows in `drop` are not valid."""
    rows = list(range(len(dataset.people)))
    for first in range(0, len(rows), size):
        part = rows[first : first + size]
        padding = size - len(part)
        center, scale = dataset.people.center_scale((64, 64))
        part += [0] * padding
        yield {
            "image": np.zeros((size, 64, 64, 3), np.uint8),
            "valid": np.array([r not in drop for r in part[: size - padding]] + [False] * padding),
            "center": center[part],
            "scale": scale[part],
            "image_id": dataset.people.image_id[part],
            "annotation_id": dataset.people.annotation_id[part],
            "box_score": np.ones(size, np.float32),
        }


def oracle(dataset, shift=0.0):
    """A predictor that returns the annotated keypoints, moved by `shift` pixels along x."""
    row_of = {int(i): row for row, i in enumerate(dataset.people.annotation_id)}

    def predict(batch):
        rows = [row_of[int(i)] for i in batch["annotation_id"]]
        joints = dataset.people.keypoints[rows]
        return joints[..., :2] + (shift, 0), joints[..., 2]

    return predict


# --- scores -------------------------------------------------------------------------------------


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
    assert "approximate" in evaluation.notes[0] and "1 of 3 people" in evaluation.notes[0]


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


# --- the program --------------------------------------------------------------------------------


def report(folder):
    return json.loads((folder / "metrics.json").read_text())


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
        "2 of the 4 worst cases are not drawn because their images cannot be read: 1.png, 3.png"
        in page
    )
    for path in (tmp_path / "images").iterdir():
        path.unlink()
    write_report(tmp_path / "report", report, dataset, title="", record={})
    page = (tmp_path / "report" / "index.html").read_text()
    assert "worst_" not in page and "4 of the 4 worst cases are not drawn" in page


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


@pytest.mark.slow
def test_command_line(run, tmp_path):
    imported = tmp_path / "imported"
    network = runs.read_run(run)
    known = {"task": "topdown", "model": network.config.model, "model_options": {}}
    runs.write_run(imported, known, network.skeleton, network.variables)
    done = tiny_runs.run(
        f"--checkpoint={run}/checkpoints/3", "--config.eval.flip=False", f"--report={tmp_path}",
        "--worst=0", program="eval.py",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"network: {run}/checkpoints/3" in done.stdout
    assert report(tmp_path)["config"]["eval"]["flip"] is False
    for wrong, message in (
        ([f"--workdir={run}", "--config.evl.flip=False"], "did you mean --config.eval.flip?"),
        ([f"--workdir={tmp_path}"], "is not a run folder"),
        ([], "nothing to evaluate"),
        ([f"--workdir={run}", "--step=newest"], "choose from last, best"),
        ([f"--workdir={run}", f"--checkpoint={run}"], "give one of them"),
        (["--untrained", "--exported=a.onnx"], "give one of them"),
        (["--untrained"], "--config=RECIPE"),
        (["--untrained", "--step=best"], "--untrained cannot be combined with --step"),
        ([f"--workdir={imported}"], "config.data.root is empty"),
    ):
        done = tiny_runs.run(*wrong, program="eval.py")
        assert done.returncode == 2
        assert message in done.stderr.strip().splitlines()[-1] and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "--exported=a.onnx --workdir=run --step=best",
            "--exported cannot be combined with --step",
        ),
        ("--untrained --step=3", "--untrained cannot be combined with --step=3"),
        (
            "--workdir=run --step=newest",
            "--step=newest.*last, best, or give the number",
        ),
        ("--results=a.json --workdir=run --step=best", "--results cannot be combined with --step"),
        ("--results=a.json --untrained", "--untrained and --results cannot be combined"),
        ("--results=a.json --exported=a.onnx", "--exported and --results cannot be combined"),
        ("--results=a.json --workdir=run", None),
        ("--workdir=run --step=best", None),
        ("--checkpoint=run --step=5", None),
        ("--exported=a.onnx --workdir=run --step=last", None),
    ],
)
def test_step_needs_a_run(arguments, message):
    values = flags.FlagValues()
    for name in ("workdir", "checkpoint", "exported", "results"):
        flags.DEFINE_string(name, None, "", flag_values=values)
    flags.DEFINE_string("step", "last", "", flag_values=values)
    flags.DEFINE_boolean("untrained", False, "", flag_values=values)
    values(["eval.py", *arguments.split()])
    if message is None:
        return command_line.check_sources(values)
    with pytest.raises(ValueError, match=message) as error:
        command_line.check_sources(values)
    assert "\n" not in str(error.value)


def test_a_recipe_keeps_the_network_of_the_run(monkeypatch):
    run, recipe = common.get_config(), common.get_config()
    run.model_options.attention = "none"
    recipe.model_options.update(deconv_init="kaiming", pretrained_layout=True)

    def keep(*arguments):
        monkeypatch.setattr("sys.argv", ["eval.py", *arguments])  # config_flags reads it
        values = flags.FlagValues()
        config_flags.DEFINE_config_dict(
            "config",
            recipe.copy_and_resolve_references(),
            flag_values=values,
            lock_config=False,
            accept_new_attributes=True,
        )
        values(["eval.py", *arguments])
        lines = command_line.keep_network(values, run)
        return values.config.model_options.to_dict(), len(lines)

    assert keep() == ({"attention": "none"}, 3)
    given = "--config.model_options.deconv_init=released"
    assert keep(given) == ({"attention": "none", "deconv_init": "released"}, 2)
    with pytest.raises(ValueError, match="model is hwl_mobilenetv3, but .* for lite_hrnet_18"):
        keep("--config.model=lite_hrnet_18")


def test_the_codec_is_that_of_the_run(monkeypatch):
    run, recipe = common.get_config(), common.get_config()
    run.codec = "udp"

    def keep(*arguments):
        monkeypatch.setattr("sys.argv", ["eval.py", *arguments])
        values = flags.FlagValues()
        config_flags.DEFINE_config_dict("config", recipe, flag_values=values, lock_config=False)
        values(["eval.py", *arguments])
        return command_line.keep_network(values, run), values.config.codec

    assert keep() == (["codec=udp as in the run (the recipe has gaussian)"], "udp")
    assert keep() == ([], "udp")
    with pytest.raises(
        ValueError, match="trained with the codec udp: omit --config.codec=gaussian"
    ):
        keep("--config.codec=gaussian")


def test_sigma_is_that_of_the_run_unless_it_is_given(monkeypatch):
    run, recipe = common.get_config(), common.get_config()
    run.sigma = 3.0

    def keep(*arguments):
        monkeypatch.setattr("sys.argv", ["eval.py", *arguments])
        values = flags.FlagValues()
        config = recipe.copy_and_resolve_references()
        config_flags.DEFINE_config_dict("config", config, flag_values=values, lock_config=False)
        values(["eval.py", *arguments])
        return command_line.keep_network(values, run), values.config.sigma

    assert keep() == (["sigma=3 as in the run (the recipe has 2)"], 3.0)
    assert keep("--config.sigma=1.5") == ([], 1.5)


def test_a_file_of_another_codec_is_refused():
    config = common.get_config()
    config.codec = "udp"
    file = topdown.metadata(config, skeletons.COCO, 1) | {"input_size": [256, 192]}
    assert topdown.fit_settings(config, file, "a.onnx") == ""
    config.codec = "gaussian"
    with pytest.raises(ValueError, match="^a.onnx has the codec udp, but .* --config.codec=udp$"):
        topdown.fit_settings(config, file, "a.onnx")
    # Files of version 0.1.
    file["codec"] = {"name": "topdown", "decode": "dark", "sigma": 3.0, "flip_shift": True}
    assert topdown.fit_settings(config, file, "a.onnx") == ""
    assert topdown.decoder_from_metadata(file) == topdown.Decoder(True, "dark", 3.0)


def test_a_file_is_not_a_run_folder(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="photo.jpg is not a run folder"):
        runs.read_run(tmp_path / "photo.jpg")
