"""PCKh against hand-computed values, and against a loop that follows the benchmark's text."""

import math

import numpy as np
import pytest

from jaxpose import metrics

KEYS = ["Head", "Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle", "Mean", "Mean@0.1"]


def _people(count=2):
    gt = np.random.default_rng(0).uniform(20, 200, (count, 16, 2)).round()
    heads = np.tile([[10.0, 10.0], [40.0, 50.0]], (count, 1, 1))  # diagonal 50, head size 30
    return gt, np.ones((count, 16)), heads


def test_perfect():
    gt, visible, heads = _people()
    scores = metrics.mpii_pckh(gt, gt, visible, heads)
    assert list(scores) == KEYS
    assert scores == dict.fromkeys(KEYS, 100.0)
    assert all(type(value) is float for value in scores.values())


def test_by_hand():
    """Head size 30: 15 pixels still count for 0.5, 3 pixels for 0.1."""
    gt, visible, heads = _people()
    pred = gt.copy()
    pred[0, 9, 0] += 15  # head top of person 0: exactly at the threshold
    pred[0, 12, 1] += 15.1  # right shoulder: just beyond
    pred[1, 8, 1] -= 100  # upper neck: in the mean only
    pred[0, 6] += 100  # pelvis and thorax: nowhere
    pred[1, 7] += 100
    pred[1, 10, 0] += 3  # right wrist: within both
    visible[1, 14] = 0  # left elbow of person 1 does not count
    pred[1, 14] += 100
    pred[1, 11] += 100  # right elbow of person 1 is wrong
    scores = metrics.mpii_pckh(pred, gt, visible, heads)
    expected = {"Head": 100, "Shoulder": 75, "Elbow": 75, "Wrist": 100, "Hip": 100, "Knee": 100,
                "Ankle": 100, "Mean": 100 * 24 / 27, "Mean@0.1": 100 * 23 / 27}  # fmt: skip
    assert scores == pytest.approx(expected)


def test_against_a_loop():
    random = np.random.default_rng(3)
    gt = random.uniform(0, 300, (40, 16, 2))
    pred = gt + random.normal(0, 20, gt.shape)
    visible = random.random((40, 16)) > 0.3
    heads = np.stack([random.uniform(0, 50, (40, 2)), random.uniform(60, 110, (40, 2))], 1)

    def rate(joint, threshold):
        hits = count = 0
        for n in range(40):
            if visible[n, joint]:
                (x1, y1), (x2, y2) = heads[n]
                count += 1
                hits += math.dist(pred[n, joint], gt[n, joint]) <= threshold * 0.6 * math.hypot(
                    x2 - x1, y2 - y1
                )
        return 100 * hits / count, count

    scores = metrics.mpii_pckh(pred, gt, visible, heads)
    assert scores["Head"] == pytest.approx(rate(9, 0.5)[0])
    for name, pair in {"Shoulder": (12, 13), "Elbow": (11, 14), "Wrist": (10, 15), "Hip": (2, 3),
                       "Knee": (1, 4), "Ankle": (0, 5)}.items():  # fmt: skip
        assert scores[name] == pytest.approx(np.mean([rate(j, 0.5)[0] for j in pair]))
    for name, threshold in (("Mean", 0.5), ("Mean@0.1", 0.1)):
        rates = [rate(j, threshold) for j in range(16) if j not in (6, 7)]
        expected = sum(r * c for r, c in rates) / sum(c for _, c in rates)
        assert scores[name] == pytest.approx(expected)
    assert 0 < scores["Mean@0.1"] < scores["Mean"] < 95


def test_nothing_labeled_and_empty_head_box():
    gt, visible, heads = _people()
    visible[:, [1, 4]] = 0
    scores = metrics.mpii_pckh(gt, gt, visible, heads)
    assert math.isnan(scores.pop("Knee"))
    assert all(value == 100 for value in scores.values())
    heads[0] = 0
    scores = metrics.mpii_pckh(gt, gt, np.ones((2, 16)), heads)
    assert scores["Mean"] == pytest.approx(50)


def test_wrong_shapes():
    gt, visible, heads = _people()
    with pytest.raises(ValueError, match=r"head_boxes has shape \(2, 4\), expected \(2, 2, 2\)"):
        metrics.mpii_pckh(gt, gt, visible, heads.reshape(2, 4))
    with pytest.raises(ValueError, match="gt has shape"):
        metrics.mpii_pckh(gt, gt[:, :14], visible, heads)
