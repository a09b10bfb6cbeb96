"""OKS, rescoring, OKS-NMS and the assembly of results."""

import json
import math

import numpy as np
import pytest

from jaxpose import metrics
from jaxpose.metrics.oks import oks
from jaxpose.skeletons import COCO


def test_oks_example():
    """An area of 6000, every joint displaced by 10 pixels."""
    points = np.random.default_rng(0).uniform(0, 100, (17, 2))
    moved = points + [6, 8]
    assert oks(points, moved, 6000, COCO.sigmas) == pytest.approx(0.53762, abs=5e-6)
    assert oks(points, points, 6000, COCO.sigmas) == 1
    by_hand = np.mean([math.exp(-100 / (2 * (2 * s) ** 2 * 6000)) for s in COCO.sigmas])
    assert oks(points, moved, 6000, COCO.sigmas) == pytest.approx(by_hand)


def test_oks_of_labeled_keypoints():
    """Unlabeled keypoints do not count, wherever they are; without labels the OKS is 0."""
    points = np.random.default_rng(0).uniform(0, 100, (2, 17, 2))
    labeled = np.arange(17) < 5
    moved = points + [6, 8]
    by_hand = np.mean([math.exp(-100 / (2 * (2 * s) ** 2 * 6000)) for s in COCO.sigmas[:5]])
    moved[:, 5:] = np.inf
    similarity = oks(points, moved, [6000, 6000], COCO.sigmas, labeled)
    np.testing.assert_allclose(similarity, by_hand)
    assert (oks(points, moved, [6000, 6000], COCO.sigmas, np.zeros(17)) == 0).all()


def test_oks_nms_suppresses_above_the_threshold_only():
    points = np.random.default_rng(0).uniform(0, 100, (17, 2))
    people = np.stack([points, points + [10, 0], points + [300, 0]])
    areas = [5000, 7000, 5000]
    scores = [0.5, 0.9, 0.1]
    assert metrics.oks_nms(people, scores, areas, COCO.sigmas) == [1, 0, 2]
    assert metrics.oks_nms(people, scores, areas, COCO.sigmas, threshold=0.5377) == [1, 0, 2]
    assert metrics.oks_nms(people, scores, areas, COCO.sigmas, threshold=0.5376) == [1, 2]
    with_scores = np.concatenate([people, np.ones((3, 17, 1))], -1)
    assert metrics.oks_nms(with_scores, scores, areas, COCO.sigmas, threshold=0.5) == [1, 2]
    assert metrics.oks_nms(np.zeros((0, 17, 2)), [], [], COCO.sigmas) == []


def test_oks_nms_is_greedy():
    """a suppresses b; c is near b only and is kept, because b is dropped."""
    points = np.random.default_rng(1).uniform(0, 100, (17, 2))
    people = np.stack([points, points + [6, 0], points + [12, 0]])
    areas = np.full(3, 5000.0)
    near, far = (oks(people[0], people[i], 5000, COCO.sigmas) for i in (1, 2))
    assert far < near
    kept = metrics.oks_nms(people, [3, 2, 1], areas, COCO.sigmas, threshold=(near + far) / 2)
    assert kept == [0, 2]


def test_rescore_by_hand():
    keypoints = [[0.2, 0.4, 0.8], [0.1, 0.2, 0.0], [1.0, 0.3, 0.5]]
    np.testing.assert_allclose(metrics.rescore([0.5, 1, 1], keypoints), [0.3, 0, 0.6])
    np.testing.assert_allclose(metrics.rescore([1], [[0.2, 0.4, 0.8]], threshold=0.5), [0.8])


def _arrays():
    random = np.random.default_rng(2)
    people = random.uniform(0, 100, (6, 17, 2))
    people[1] = people[0] + 0.1  # nearly the same pose as row 0, in the same image
    people[5] = people[4]  # the same box again
    return {
        "image_id": np.array([9, 9, 9, 4, 4, 4]),
        "keypoints": people,
        "scores": random.uniform(0.3, 1, (6, 17)),
        "box_score": np.array([0.6, 0.9, 0.8, 0.5, 0.7, 0.7]),
        "scale": np.full((6, 2), [0.6, 0.8]),
        "annotation_id": np.array([1, 2, 3, 1, 5, 5]),
    }


def test_assemble_results():
    arrays = _arrays()
    arrays["scores"][5] = arrays["scores"][4]
    results = metrics.assemble_results(**arrays, sigmas=COCO.sigmas)
    people = metrics.rescore(arrays["box_score"], arrays["scores"])
    best = max((0, 1), key=lambda row: people[row])
    expected = sorted([3, 4], key=lambda row: -people[row])
    expected += sorted([best, 2], key=lambda row: -people[row])
    assert [r["score"] for r in results] == pytest.approx(people[expected])
    assert [r["image_id"] for r in results] == [4, 4, 9, 9]
    values = np.reshape(results[0]["keypoints"], (17, 3))
    np.testing.assert_allclose(values[:, :2], arrays["keypoints"][expected[0]])
    np.testing.assert_allclose(values[:, 2], arrays["scores"][expected[0]])
    assert json.loads(json.dumps(results)) == results
    assert {r["category_id"] for r in results} == {1}


def test_assemble_results_does_not_depend_on_the_order_of_rows():
    arrays = _arrays()
    arrays["scores"][5] = arrays["scores"][4]
    results = metrics.assemble_results(**arrays, sigmas=COCO.sigmas)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(6)
        shuffled = {name: array[order] for name, array in arrays.items()}
        assert metrics.assemble_results(**shuffled, sigmas=COCO.sigmas) == results


def test_assemble_results_without_ids_keeps_rows_and_without_rows_is_empty():
    arrays = _arrays() | {"annotation_id": None}
    results = metrics.assemble_results(**arrays, sigmas=COCO.sigmas, oks_nms_threshold=1)
    assert len(results) == 6
    empty = {name: None if a is None else a[:0] for name, a in arrays.items()}
    assert metrics.assemble_results(**empty, sigmas=COCO.sigmas) == []
