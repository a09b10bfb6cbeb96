"""Evaluation of bottom-up networks: from maps to people, scores, and the report."""

import dataclasses
import importlib
import json

import jax
import numpy as np
import pytest

from jaxpose import annotations, codecs, models, runs, skeletons, tasks
from jaxpose.codecs.associative_embedding import Grouping
from jaxpose.evaluation import command_line, figures
from jaxpose.evaluation.report import make_report
from jaxpose.mesh import make_mesh
from jaxpose.tasks import associative_embedding, whole_images
from jaxpose.tasks.whole_images import ImageDecoder
from tests.helpers import tiny_runs
from tests.helpers.seeing import DOTS, Seer, draw_image, two_people

eval_program = importlib.import_module("eval")


def batch_of(size, scales=(1.0,), valid=(True, True)):
    """Two views of the same people; the image is twice as large as the view and off center."""
    people = two_people(size)
    made = {
        "image" if s == 1 else f"image@{s:g}": np.stack(
            [draw_image(people * s, (int(size[0] * s), int(size[1] * s)))] * 2
        )
        for s in scales
    }
    center = np.tile(np.array([[500, 400]], np.float32), (2, 1))
    scale = np.tile(np.array([[2 * size[1], 2 * size[0]]], np.float32) / 200, (2, 1))
    expected = (people - np.array(size[::-1]) / 2) * 2 + center[0]
    return made | {"valid": np.array(valid), "center": center, "scale": scale}, expected


def decoder_of(flip, scales=(1.0,), inside=False, **grouping):
    options = Grouping(**grouping)
    return ImageDecoder(codecs.associative_embedding, options, flip, scales, inside)


def by_height(people):
    """Keypoints, the uppermost person first."""
    keypoints = people[0]
    return keypoints[np.argsort(keypoints[:, 0, 1])]


@pytest.mark.slow
@pytest.mark.parametrize("flip, scales", [(False, (1.0,)), (True, (0.5, 1.0))])
def test_people_are_located(flip, scales):
    decoder = decoder_of(flip, scales)
    mesh = make_mesh(jax.devices()[:1])
    predict = whole_images.model_predictor(Seer(), DOTS, mesh, decoder)
    variables = Seer().init(jax.random.key(0), np.zeros((1, 64, 64, 3), np.float32))
    sizes = ((64, 128),) if flip else ((64, 128), (128, 64))
    for size in sizes * 2:
        batch, expected = batch_of(size, scales, valid=(True, False))
        poses, padding = predict(variables, batch)
        assert [len(part) for part in padding] == [0, 0, 0]
        # A pixel of the view is two of the image, and a peak lies between pixels.
        np.testing.assert_allclose(by_height(poses), expected, atol=3.0)
        assert poses[1].shape == (2, 3) and (poses[1] > 0.3).all()
        np.testing.assert_allclose(poses[2], poses[1].mean(1), rtol=1e-5)
    assert predict.program._cache_size() == len(sizes)  # one program per size
    if flip:
        apply = jax.jit(lambda images: Seer().apply(variables, images))
        from_file = whole_images.file_predictor(apply, DOTS, decoder)
        for ours, theirs in zip(poses, from_file(batch)[0], strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("flip", [False, True])
def test_people_outside_the_image_are_ignored(flip):
    batch, _ = batch_of((64, 128))
    batch["center"][1] = 8, 4  # a small image: the people are painted in its border
    variables = Seer().init(jax.random.key(0), np.zeros((1, 64, 64, 3), np.float32))
    apply = jax.jit(lambda images: Seer().apply(variables, images))
    for inside, numbers in ((False, [2, 2]), (True, [2, 0])):
        decoder = decoder_of(flip, inside=inside)
        predictions = whole_images.file_predictor(apply, DOTS, decoder)(batch)
        assert [len(people[0]) for people in predictions] == numbers


def test_options_come_from_the_settings():
    config = tiny_runs.crowd_config("nowhere", **{
        "eval.flip": False, "eval.scales": (0.5, 1.0), "eval.tag_threshold": 2.0,
        "eval.refine": False,
    })  # fmt: skip
    assert associative_embedding.decoder_from_config(config) == decoder_of(
        False, (0.5, 1.0), tag_threshold=2.0, refine=False
    )


# --- scores -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crowds(tmp_path_factory):
    """6 images of two people each."""
    return tiny_runs.write_people(tmp_path_factory.mktemp("data") / "crowds", people=12, each=2)


@pytest.fixture
def dataset(crowds):
    return annotations.load_coco(crowds / "people.json", image_dir=crowds / "images")


def batches(dataset, images=6, size=4):
    """Batches of image ids alone, the last one padded."""
    ids = list(dataset.images)[:images]
    for first in range(0, len(ids), size):
        part = ids[first : first + size]
        valid = np.arange(size) < len(part)
        yield {"image_id": np.array(part + [-1] * (size - len(part))), "valid": valid}


def oracle(dataset, shift=0.0, blind=()):
    """A predictor that returns the annotated people, moved along x, no one in `blind` images."""

    def predict(batch):
        people = []
        for image_id in batch["image_id"].tolist():
            rows = [] if image_id in blind else dataset.labeled_rows.get(image_id, [])
            joints = dataset.labeled.keypoints[rows][::-1]  # in another order
            people.append((joints[..., :2] + (shift, 0), joints[..., 2], np.ones(len(joints))))
        return people

    return predict


def test_ground_truth_scores_one(crowds, dataset):
    config = tiny_runs.crowd_config(crowds)
    evaluation = associative_embedding.evaluate(oracle(dataset), batches(dataset), dataset, config)
    assert (
        evaluation.metrics["AP"] == evaluation.score == 1.0
        and evaluation.metrics["PCK@0.2"] == 100.0
    )
    assert len(evaluation.results) == 12 and set(evaluation.results[0]) == {
        "image_id", "category_id", "keypoints", "score"
    }  # fmt: skip
    far = associative_embedding.evaluate(oracle(dataset, 500), batches(dataset), dataset, config)
    assert far.metrics["AP"] == 0 and far.metrics["PCK@0.2"] == 0


def test_undetected_people_are_missed(crowds, dataset):
    config = tiny_runs.crowd_config(crowds)
    blind = oracle(dataset, blind=(1, 4))
    evaluation = associative_embedding.evaluate(blind, batches(dataset), dataset, config)
    assert evaluation.metrics["AR"] == pytest.approx(8 / 12)
    assert evaluation.metrics["PCK@0.2"] == pytest.approx(100 * 8 / 12)
    assert "4 of 12 people are in images without a prediction" in evaluation.notes[-1]
    cases = associative_embedding.worst_cases(evaluation, 3)
    assert {case.image_id for case in cases[:2]} == {1, 4}
    assert "mean OKS 0.000 of 2 people; 0 predicted" in cases[0].caption
    assert len(cases[2].annotated) == len(cases[2].predicted) == 2
    doubtful = dataclasses.replace(
        evaluation.predictions,
        person_score=np.where(evaluation.predictions.image_id == 0, 0.05, 1.0),
    )
    case = next(
        case
        for case in associative_embedding.worst_cases(
            dataclasses.replace(evaluation, predictions=doubtful), 6
        )
        if case.image_id == 0
    )
    assert "2 predicted, 0 of them drawn" in case.caption and case.predicted == []
    nobody = oracle(dataset, blind=range(6))
    evaluation = associative_embedding.evaluate(nobody, batches(dataset), dataset, config)
    assert evaluation.metrics["AP"] == 0 and evaluation.results == []


def test_a_limited_dataset_is_scored_on_its_own_images(crowds, dataset):
    config = tiny_runs.crowd_config(crowds, **{"data.limit": 3})
    evaluation = associative_embedding.evaluate(
        oracle(dataset), batches(dataset, 3), dataset, config
    )
    assert evaluation.metrics["AP"] == 1.0 and "data.limit=3" in evaluation.notes[1]


def test_the_metric_of_crowdpose(crowds, dataset):
    content = json.loads((crowds / "people.json").read_text())
    for image in content["images"]:
        image["crowdIndex"] = image["id"] / 5
    for person in content["annotations"]:
        del person["area"]
        person["keypoints"] = person["keypoints"][: 3 * 14]
    content["categories"][0] = {"id": 1, "keypoints": list(skeletons.CROWDPOSE.joints)}
    (crowds / "crowdpose.json").write_text(json.dumps(content))
    dataset = annotations.load_crowdpose(crowds / "crowdpose.json", image_dir=crowds / "images")
    config = tiny_runs.crowd_config(crowds, **{"eval.metric": "crowdpose"})
    evaluation = associative_embedding.evaluate(
        oracle(dataset, blind=(5,)), batches(dataset), dataset, config
    )
    assert evaluation.metrics["AP_easy"] == evaluation.metrics["AP_medium"] == 1.0
    assert evaluation.metrics["AP_hard"] < 1 and evaluation.score == evaluation.metrics["AP"]
    table = make_report(evaluation, dataset, associative_embedding, "crowdpose", worst=1).scores
    assert "AP_easy" in table[0]


# --- the program --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(crowds, tmp_path_factory):
    """A run folder with the random weights of a tiny network."""
    # Without a threshold it detects people in noise.
    config = tiny_runs.crowd_config(crowds, **{"eval.detection_threshold": 0.0})
    model = tasks.create_model(config, 17)
    variables = models.initial_variables(model, (64, 64))
    folder = tmp_path_factory.mktemp("runs") / "run"
    runs.write_run(folder, config, skeletons.COCO, variables)
    return folder


def results(folder):
    return json.loads((folder / "results.json").read_text())


@pytest.mark.slow
def test_the_report(run, tmp_path):
    config, source = tiny_runs.source_of(run)
    assert eval_program.main(config, source, tmp_path, worst=2) == 0
    notes = json.loads((tmp_path / "metrics.json").read_text())["notes"]
    assert "people predicted in 6 images" in notes[0]
    assert {r["image_id"] for r in results(tmp_path)} == set(range(6))
    assert {path.name for path in tmp_path.iterdir()} - set(figures.NAMES) == {
        "metrics.json", "results.json", "analysis.json", "index.html", "worst_01.jpg",
        "worst_02.jpg",
    }  # fmt: skip


@pytest.mark.slow
def test_an_exported_file_finds_the_same_people(run, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from jaxpose import export

    config, source = tiny_runs.source_of(run, **{"eval.sizing": "fixed", "input_size": (64, 128)})
    eval_program.main(config, source, tmp_path / "jax", worst=0)
    file = tmp_path / "tiny.onnx"
    _, model, variables, skeleton = runs.load_run(run)
    metadata = export.describe(
        config.model, associative_embedding, config, skeleton, (64, 128), num_outputs=2
    )
    export.to_onnx(model, variables, (64, 128), file, metadata=metadata)
    config, _ = tiny_runs.source_of(run)  # the file's own size is taken
    exported = command_line.Source(str(file), tmp_path, exported=str(file))
    eval_program.main(config, exported, tmp_path / "onnx", worst=0)
    ours, theirs = results(tmp_path / "jax"), results(tmp_path / "onnx")
    assert len(ours) == len(theirs) > 0
    # The people are noise; rounding may change one or two of them.
    scores, others = (np.array([r["score"] for r in people]) for people in (ours, theirs))
    apart = np.abs(scores[:, None] - others).min(axis=1)
    assert np.mean(apart <= 1e-3 * scores) > 0.95
    config.eval.scales = (0.5, 1.0)
    with pytest.raises(ValueError, match="has one input size"):
        eval_program.main(config, exported, tmp_path / "onnx", worst=0)
