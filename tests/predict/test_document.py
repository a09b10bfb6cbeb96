"""Predictions as a COCO document."""

import pathlib

import numpy as np

from jaxpose import annotations, skeletons
from jaxpose.predict import Poses
from jaxpose.predict.document import coco_document
from tests.helpers.files import write_json


def test_predictions_are_a_dataset_that_can_be_read_again(tmp_path):
    skeleton = skeletons.MPII
    keypoints = np.random.default_rng(0).uniform(5, 50, (2, 16, 2)).astype(np.float32)
    scores = np.full((2, 16), 0.5, np.float32)
    scores[1, 3] = 0
    poses = Poses(
        keypoints,
        scores,
        np.array([[1, 2, 60, 60], [3, 3, 50, 50]], np.float32),
        np.array([0.5, 0.25], np.float32),
    )
    document = coco_document([(pathlib.PurePath("sub/a.jpg"), (90, 80), poses)], skeleton)
    dataset = annotations.load_coco(write_json(tmp_path / "p.json", document), image_dir=tmp_path)
    assert dataset.images[1].file_name == "sub/a.jpg"
    assert dataset.skeleton.joints == skeleton.joints
    assert dataset.skeleton.limbs == skeleton.limbs
    keypoints[1, 3] = 0  # not located
    np.testing.assert_allclose(dataset.people.keypoints[..., :2], keypoints, atol=6e-4)
    assert dataset.people.keypoints[1, 3, 2] == 0
    assert [a["score"] for a in document["annotations"]] == [0.5, 0.25]
    assert [a["num_keypoints"] for a in document["annotations"]] == [16, 15]


def test_the_ids_and_the_pairs_of_predictions_can_be_read():
    pairs = ((2, 1),)
    skeleton = skeletons.Skeleton("x", ("a", "b", "c"), (), (0.1,) * 3, pairs)
    nobody = Poses(np.zeros((0, 3, 2)), np.zeros((0, 3)), np.zeros((0, 4)), np.zeros(0))
    records = [(pathlib.PurePath(f"{name}.jpg"), (9, 8), nobody) for name in ("7", "²")]
    document = coco_document(records, skeleton)
    assert [image["id"] for image in document["images"]] == [1, 2]
    (category,) = document["categories"]
    assert category["flip_pairs"] == [["c", "b"]]
    assert skeletons.from_coco_category(category).declared_pairs == pairs
    records = records[:1]
    assert coco_document(records, skeletons.COCO)["images"][0]["id"] == 7
    assert "flip_pairs" not in coco_document(records, skeletons.COCO)["categories"][0]
