"""Evaluation visits every person exactly once, without augmentation."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest

import input_pipeline
from jaxpose import geometry, skeletons


def passes(config, host_count):
    all_batches = []
    for host in range(host_count):
        data = input_pipeline.eval_data(config, host_id=host, host_count=host_count)
        batches = list(data.batches())
        assert len(batches) == data.num_batches
        all_batches += batches
    return all_batches


@pytest.mark.parametrize("hosts", [1, 2, 3])
@pytest.mark.parametrize("per_host", [1, 2, 5, 20])
def test_every_person_once(config, hosts, per_host):
    config.eval.batch_size = hosts * per_host
    batches = passes(config, hosts)
    ids = np.concatenate([batch["annotation_id"][batch["valid"]] for batch in batches])
    assert sorted(ids) == list(range(100, 111))
    for batch in batches:
        assert (batch["annotation_id"][~batch["valid"]] == -1).all()
        assert not batch["image"][~batch["valid"]].any()


def test_crops_map_back_to_the_image(config, dots):
    for batch in passes(config, 1):
        points = geometry.heatmap_to_image(
            batch["keypoints"][..., :2], batch["center"], batch["scale"], (64, 48)
        )
        for slot in np.flatnonzero(batch["valid"]):
            index = batch["annotation_id"][slot] - 100
            np.testing.assert_allclose(points[slot], dots.points + index, atol=1e-3)
            for (x, y, _), color in zip(batch["keypoints"][slot], dots.colors, strict=True):
                pixel = batch["image"][slot, round(float(y)), round(float(x))].astype(int)
                assert np.abs(pixel - color).max() < 60


def test_the_metric_of_crowdpose_needs_its_format(config):
    config.eval.metric = "crowdpose"
    with pytest.raises(ValueError, match="needs the crowdIndex of every image; .* has it for 0 of"):
        input_pipeline.eval_data(config)


@pytest.mark.parametrize("name", ["config", "crowd_config"])
def test_a_scored_file_takes_the_sigmas_of_the_network_and_needs_people(name, request, dots):
    config = request.getfixturevalue(name)
    network = dataclasses.replace(dots.skeleton, sigmas=(0.3,) * 5)
    assert input_pipeline.eval_data(config).skeleton.sigmas != network.sigmas
    for scored in (False, True):
        data = input_pipeline.eval_data(config, skeleton=network, scored=scored)
        assert data.skeleton.sigmas == network.sigmas
        assert "OKS uses those of the network" in str(data.dataset.notes)
    path = pathlib.Path(config.data.root) / "train.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"annotations": []}))
    with pytest.raises(
        ValueError, match=r"train.json: annotations: no usable person \(empty list\)"
    ):
        input_pipeline.eval_data(config, skeleton=network, scored=True)


def test_crops_of_udp_map_back_to_the_image(config, dots):
    plain = passes(config, 1)
    config.codec = "udp"
    for batch, other in zip(passes(config, 1), plain, strict=True):
        assert not np.array_equal(batch["image"], other["image"])
        points = geometry.heatmap_to_image(
            batch["keypoints"][..., :2], batch["center"], batch["scale"], (64, 48), udp=True
        )
        for slot in np.flatnonzero(batch["valid"]):
            index = batch["annotation_id"][slot] - 100
            np.testing.assert_allclose(points[slot], dots.points + index, atol=1e-3)
            matrix = geometry.affine(
                batch["center"][slot], batch["scale"][slot], 0, (64, 48), udp=True
            )
            image, _ = dots.draw(index, 120 + index, 130 + 2 * index)
            np.testing.assert_array_equal(
                batch["image"][slot], geometry.crop(image, matrix, (64, 48))
            )


def test_damaged_image_is_not_valid(config):
    path = pathlib.Path(config.data.root) / "images" / "train03.png"
    path.write_bytes(b"")
    config.max_bad_fraction = 0.2
    data = input_pipeline.eval_data(config)
    batches = list(data.batches())
    ids = np.concatenate([batch["annotation_id"][batch["valid"]] for batch in batches])
    assert sorted(ids) == [i for i in range(100, 111) if i != 103]
    assert data.bad_files.reasons == {"train03.png": "the file is empty"}


def test_detected_boxes(config):
    root = pathlib.Path(config.data.root)
    boxes = [
        {"image_id": 13, "category_id": 1, "bbox": [1, 2, 30, 40], "score": 0.5},
        {"image_id": 3, "category_id": 1, "bbox": [-9, 2, 30, 40], "score": 0.25},
        {"image_id": 13, "category_id": 1, "bbox": [5, 5, 30, 40], "score": 0.75},
    ]
    (root / "boxes.json").write_text(json.dumps(boxes))
    config.data.detections = "boxes.json"
    data = input_pipeline.eval_data(config)
    (batch,) = data.batches()
    assert data.num_examples == 3 and batch["valid"].tolist() == [True] * 3 + [False]
    # People are grouped by image, images in the order of the file.
    assert batch["image_id"].tolist() == [3, 13, 13, -1]
    assert batch["box_score"].tolist()[:3] == [0.25, 0.5, 0.75]
    assert not batch["keypoints"].any()
    assert data.dataset.path == root / "train.json"
    np.testing.assert_allclose(batch["center"][0], [6, 22])


def test_mpii(config):
    root = pathlib.Path(config.data.root)
    record = {
        "image": "train00.png", "center": [56.0, 50.0], "scale": 0.4,
        "joints": [[60.0, 50.0]] * 16, "joints_vis": [1] * 16,
    }  # fmt: skip
    rows = [record, record | {"image": "train04.png"}, record]
    (root / "train.json").write_text(json.dumps(rows))
    config.data.format = "mpii"
    config.input_size = (64, 64)
    data = input_pipeline.eval_data(config)
    (batch,) = data.batches()
    assert data.skeleton == skeletons.MPII
    assert batch["annotation_id"].tolist() == [0, 1, 2, -1]
    np.testing.assert_allclose(batch["center"][0], [55, 55])
    # (59, 49) in the image; 64 / (200 * 0.5) crop pixels per pixel, the center at (32, 32).
    np.testing.assert_allclose(batch["keypoints"][0, 0], [34.56, 28.16, 1], atol=1e-4)


def test_real_images(config, real_data):
    config.data.train_annotations = config.data.val_annotations = "annotations.json"
    config.data.root = str(real_data / "coco")
    config.data.detections = "person_detections.json"
    config.eval.batch_size = 32
    data = input_pipeline.eval_data(config)
    assert sum(batch["valid"].sum() for batch in data.batches()) == len(data.samples) == 118
    assert data.bad_files.count == 0
    config.data.root, config.data.format, config.data.detections = (
        str(real_data / "mpii"),
        "mpii",
        "",
    )
    (batch,) = input_pipeline.eval_data(config).batches()
    assert batch["valid"].sum() == 5 and batch["image"][:5].any(axis=(1, 2, 3)).all()


def test_a_file_without_sigmas_and_pairs_has_those_of_the_network(config):
    data = input_pipeline.eval_data(config)
    network = skeletons.Skeleton(
        "dots", data.skeleton.joints, (), (0.01,) * 5, declared_pairs=((0, 1),)
    )
    completed = input_pipeline.eval_data(config, skeleton=network)
    assert completed.skeleton.sigmas == network.sigmas
    assert completed.skeleton.flip_pairs == network.flip_pairs != data.skeleton.flip_pairs
    rules = [problem.rule for problem in completed.dataset.notes[len(data.dataset.notes) :]]
    assert [rule.partition(":")[0] for rule in rules] == [
        "no 'sigmas', or the default ones",
        "the left-right pairs are those of the network",
    ]
    assert input_pipeline.eval_data(config, skeleton=skeletons.COCO).skeleton == data.skeleton
    declared = dataclasses.replace(data.skeleton, sigmas=(0.02,) * 5, declared_pairs=((3, 4),))
    kept, notes = skeletons.complete(declared, network)
    assert kept == declared and "differ from those of the network" in notes[0]
