"""Networks with part affinity fields through the commands: training to exported files."""

import importlib
import json

import cv2
import jax
import numpy as np
import pytest

from jaxpose import export, runs, skeletons
from jaxpose.codecs import part_affinity
from jaxpose.codecs.part_affinity import OPENPOSE, Grouping
from jaxpose.evaluation import command_line
from jaxpose.export import command
from jaxpose.export.source import from_run
from jaxpose.predict import PoseEstimator
from jaxpose.tasks import whole_images
from jaxpose.tasks.whole_images import ImageDecoder
from tests.codecs.test_part_affinity import person
from tests.helpers import tiny_runs

train, eval_program = (importlib.import_module(name) for name in ("train", "eval"))
SIZE = (256, 320)
# Not on half pixels: a peak must be above its neighbours.
PEOPLE = np.stack([person(80.1, 60.6, 3.3, hidden=("left_wrist",)), person(240.2, 50.1, 3.1)])


def outputs_of(people, size=SIZE):
    """What a perfect network of two stages says: the first stage is of no account."""
    encode = jax.jit(part_affinity.encode_batch, static_argnums=1)
    heatmaps, fields = (np.asarray(maps) for maps in encode(people[None], size))
    return -heatmaps, -fields, heatmaps, fields


@pytest.mark.parametrize("flip, scales", [(False, (1.0,)), (True, (1.0, 2.0))])
def test_people_are_found_where_they_are(flip, scales):
    def network(images):
        size = images.shape[1:3]
        people = PEOPLE * (*[size[0] / SIZE[0]] * 2, 1)
        if images[0, 0, 0, 0] < images[0, 0, -1, 0]:  # the mirror image
            people = people[:, OPENPOSE.flip_indices]
            people[..., 0] = size[1] - 1 - people[..., 0]
        return outputs_of(people, size)

    decoder = ImageDecoder(part_affinity, Grouping(), flip, scales)
    batch = {"center": np.float32([[400, 300]]), "scale": np.float32([[3.2, 2.56]])}
    for scale in scales:
        image = np.zeros((1, int(scale * SIZE[0]), int(scale * SIZE[1]), 3), np.uint8)
        image[:, 0, 0] = 255
        batch[decoder.image_keys[scale]] = image
    predict = whole_images.file_predictor(network, skeletons.COCO, decoder)
    ((keypoints, scores, person_scores),) = predict(batch)
    order = np.argsort(keypoints[:, 0, 0])
    expected = part_affinity.to_coco(PEOPLE)
    np.testing.assert_array_equal(scores[order] > 0, expected[..., 2] > 0)
    middle = (expected[..., :2] - (160, 128)) * 2 + (400, 300)  # a pixel is two of the image
    seen = expected[..., 2] > 0
    assert np.abs(keypoints[order] - middle)[seen].max() < 16
    assert (keypoints[order][~seen] == 0).all() and (person_scores > 18).all()

    joints = skeletons.MPII
    with pytest.raises(ValueError, match="only COCO's 17 keypoints, not the 16 of 'mpii'"):
        whole_images.file_predictor(network, joints, decoder)(batch)

    def of_17_joints(images):
        return [maps[..., 1:] for maps in network(images)]

    with pytest.raises(ValueError, match="18 heatmaps and 37 fields, expected 19 and 38"):
        whole_images.file_predictor(of_17_joints, skeletons.COCO, decoder)(batch)


@pytest.mark.slow
def test_what_a_file_says_is_compared():
    outputs = outputs_of(PEOPLE)
    decoder = ImageDecoder(part_affinity, Grouping())
    agreement = whole_images.compare(outputs, outputs, SIZE, decoder, skeletons.COCO)
    assert agreement.holds and (agreement.people, agreement.distances.keypoints) == (2, 2 * 17)
    moved = [*outputs[:2], np.roll(outputs[2], 1, 1), outputs[3]]
    assert not whole_images.compare(outputs, moved, SIZE, decoder, skeletons.COCO).holds


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(data, run folder) of a short training with a tiny network."""
    root = tmp_path_factory.mktemp("fields")
    data = tiny_runs.write_people(root / "data", people=24, each=2)
    config = tiny_runs.fields_config(data)
    assert train.main(config, str(root / "run")) == 0
    return data, root / "run"


@pytest.mark.slow
def test_a_run_is_trained_and_scored(run, tmp_path):
    _, folder = run
    logged = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for line in logged:
        if "loss" in line:
            assert line["loss"] == pytest.approx(line["heatmaps"] + line["fields"], rel=1e-5)
    assert "eval/AP" in logged[-1]
    trained = runs.read_run(folder)
    source = command_line.Source("the run", folder, run=trained)
    assert eval_program.main(trained.config, source, tmp_path, worst=1) == 0
    assert {"metrics.json", "worst_01.jpg"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.slow
def test_a_run_is_exported_and_predicts(run, tmp_path):
    pytest.importorskip("onnxruntime")
    data, folder = run
    source = from_run(folder)
    path, agreement = command.export_file(source, "onnx", tmp_path)
    assert agreement.holds and len(agreement.maps) == 2
    metadata = export.read_metadata(path)
    assert metadata == source.metadata() and metadata["task"] == "part_affinity"
    assert [(y["name"], y["stride"]) for y in metadata["outputs"]] == [
        ("heatmaps_0", 8), ("fields_0", 8)
    ]  # fmt: skip
    assert Grouping(**metadata["grouping"]) == source.decoder.grouping
    image = cv2.imread(str(data / "images" / "0.png"))
    for network in (folder, path):
        estimator = PoseEstimator(network)
        assert not estimator.takes_boxes
        assert estimator(image).keypoints.shape[1:] == (17, 2)
    config = runs.read_info(folder).config
    exported = command_line.Source(str(path), tmp_path, exported=str(path))
    assert eval_program.main(config, exported, tmp_path / "eval", worst=0) == 0
