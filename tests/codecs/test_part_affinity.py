"""Part affinity fields: targets against plain loops, loss, enlargement, and grouping."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpose import codecs, skeletons, tasks
from jaxpose.codecs import part_affinity
from jaxpose.codecs.part_affinity import LIMBS, OPENPOSE
from jaxpose.codecs.part_affinity.grouping import Grouping, connections, peaks
from jaxpose.codecs.resizing import resize_cubic
from jaxpose.config import default_config
from jaxpose.tasks import whole_images

SIZE = (64, 96)


def person(dx, dy, scale=1.0, hidden=()):
    """A standing figure [18, 3], about 50 pixels high at scale 1, its neck at (dx, dy)."""
    places = {
        "nose": (0, -8), "neck": (0, 0), "eye": (2, -10), "ear": (4, -9), "shoulder": (6, 1),
        "elbow": (9, 9), "wrist": (10, 17), "hip": (4, 18), "knee": (5, 28), "ankle": (5, 38),
    }  # fmt: skip
    keypoints = np.zeros((18, 3), np.float32)
    for joint, name in enumerate(OPENPOSE.joints):
        side, part = skeletons.split_side(name)
        x, y = places[part]
        x = -x if side == "right" else x
        keypoints[joint] = (dx + scale * x, dy + scale * y, name not in hidden)
    return keypoints


def drawn(people, size=SIZE):
    """Targets of one image, one person after another, cell by cell."""
    stride, sigma, thickness = 8, 7.0, 1.0
    height, width = size[0] // stride, size[1] // stride
    heatmaps = np.zeros((height, width, 19))
    fields = np.zeros((height, width, 38))
    for keypoints in np.asarray(people, np.float64):
        for joint, (x, y, labeled) in enumerate(keypoints):
            for i in range(height if labeled else 0):
                for j in range(width):
                    d2 = (stride * j + 3.5 - x) ** 2 + (stride * i + 3.5 - y) ** 2
                    value = math.exp(-d2 / (2 * sigma**2))
                    if value >= math.exp(-4.6052):
                        heatmaps[i, j, joint] = min(1, heatmaps[i, j, joint] + value)
        for limb, (first, second) in enumerate(LIMBS):
            (ax, ay), (bx, by) = keypoints[[first, second], :2] / stride
            length = math.hypot(bx - ax, by - ay)
            if not (keypoints[first, 2] and keypoints[second, 2] and length):
                continue
            ux, uy = (bx - ax) / length, (by - ay) / length
            columns = range(
                int(max(min(ax, bx) - thickness, 0)), int(min(max(ax, bx) + thickness, width))
            )
            rows = range(
                int(max(min(ay, by) - thickness, 0)), int(min(max(ay, by) + thickness, height))
            )
            for i in rows:
                for j in columns:
                    if abs((j - ax) * uy - (i - ay) * ux) <= thickness:
                        fields[i, j, 2 * limb : 2 * limb + 2] = ux, uy
    heatmaps[..., 18] = 1 - heatmaps[..., :18].max(-1)
    return heatmaps, fields


def test_targets_equal_plain_loops():
    rng = np.random.default_rng(0)
    keypoints = rng.uniform(-20, 110, (2, 3, 18, 3)).astype(np.float32)
    keypoints[..., 2] = rng.random((2, 3, 18)) < 0.8
    keypoints[0, 0] = person(40, 20)
    keypoints[0, 1] = person(42, 21)  # on top of the first: sums cut at 1, fields replaced
    keypoints[1, 0, 9, :2] = keypoints[1, 0, 8, :2]  # a limb of length 0
    keypoints[1, 1, 5] = np.nan, np.nan, 0
    keypoints[1, 2] = 0  # an empty slot, as in padding
    encode = jax.jit(part_affinity.encode_batch, static_argnums=1)
    heatmaps, fields = encode(keypoints, SIZE)
    assert heatmaps.shape == (2, 8, 12, 19) and fields.shape == (2, 8, 12, 38)
    for n in range(2):
        expected = drawn(keypoints[n])
        np.testing.assert_allclose(heatmaps[n], expected[0], atol=1e-5)
        np.testing.assert_allclose(fields[n], expected[1], atol=1e-5)
    assert heatmaps[0].max() == 1


@pytest.mark.slow
def test_targets_of_nobody_are_background():
    for people in (np.zeros((1, 0, 18, 3)), np.zeros((1, 2, 18, 3))):
        heatmaps, fields = part_affinity.encode_batch(people, SIZE)
        assert np.all(heatmaps[..., :18] == 0) and np.all(heatmaps[..., 18] == 1)
        assert np.all(fields == 0)


def test_wrong_shapes_are_rejected():
    with pytest.raises(ValueError, match="multiples of the stride"):
        part_affinity.encode_batch(np.zeros((1, 1, 18, 3)), (64, 100))
    with pytest.raises(ValueError, match=r"\[B, P, K, 3\]"):
        part_affinity.encode_batch(np.zeros((1, 18, 3)), SIZE)
    with pytest.raises(ValueError, match="17, 3"):
        part_affinity.from_coco(np.zeros((1, 18, 3)))
    with pytest.raises(ValueError, match="pairs"):
        part_affinity.loss([np.zeros((1, 2, 2, 19))], np.zeros((1, 2, 2, 19)), None)
    with pytest.raises(ValueError, match="38"):
        part_affinity.decode(np.zeros((8, 8, 19)), np.zeros((8, 8, 19)))
    with pytest.raises(ValueError, match="at least 2"):
        Grouping(samples=1)


def test_neck_is_between_the_shoulders_and_coco_comes_back():
    rng = np.random.default_rng(0)
    coco = rng.uniform(1, 50, (2, 3, 17, 3)).astype(np.float32)
    left, right = (skeletons.COCO.joints.index(f"{s}_shoulder") for s in ("left", "right"))
    coco[0, 0, left] = np.nan, np.nan, 0
    ours = np.asarray(part_affinity.from_coco(coco))
    neck = ours[:, :, OPENPOSE.joints.index("neck")]
    np.testing.assert_array_equal(neck[0, 0], 0)
    np.testing.assert_allclose(neck[1, :, :2], (coco[1, :, left, :2] + coco[1, :, right, :2]) / 2)
    assert np.all(neck[1, :, 2] == 1)
    np.testing.assert_array_equal(part_affinity.to_coco(ours[1]), coco[1])
    for name in ("left_wrist", "right_ear", "nose"):
        joint, theirs = OPENPOSE.joints.index(name), skeletons.COCO.joints.index(name)
        np.testing.assert_array_equal(ours[1, :, joint], coco[1, :, theirs])


def test_loss_is_half_the_masked_squared_error_of_every_stage():
    rng = np.random.default_rng(0)
    outputs = [rng.normal(size=(2, 4, 5, c)) for c in (19, 38, 19, 38)]
    heatmaps, fields = rng.normal(size=(2, 4, 5, 19)), rng.normal(size=(2, 4, 5, 38))
    mask = (rng.random((2, 4, 5)) < 0.7).astype(np.float32)
    heat, field = part_affinity.loss(outputs, heatmaps, fields, mask)
    for value, target, predictions in (
        (heat, heatmaps, outputs[::2]),
        (field, fields, outputs[1::2]),
    ):
        expected = sum(((p - target) ** 2 * mask[..., None]).sum() for p in predictions) / 2 / 2
        np.testing.assert_allclose(value, expected, rtol=1e-5)
    alone = [outputs[0], outputs[1]]
    plain = part_affinity.loss(alone, heatmaps, fields)
    masked = part_affinity.loss(alone, heatmaps, fields, np.ones((2, 4, 5)))
    np.testing.assert_allclose(plain, masked)
    gradient = jax.grad(lambda p: part_affinity.loss([p, alone[1]], heatmaps, fields, mask)[0])
    ignored = np.asarray(gradient(jnp.asarray(outputs[0])))[mask == 0]
    assert np.all(ignored == 0)


def test_enlargement_is_bicubic_as_in_opencv():
    cv2 = pytest.importorskip("cv2")
    maps = np.random.default_rng(0).normal(size=(1, 5, 7, 3)).astype(np.float32)
    expected = cv2.resize(maps[0], (56, 40), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_allclose(resize_cubic(maps, (40, 56))[0], expected, atol=1e-5)


def test_people_are_recovered_from_their_targets():
    hidden = ("left_ear", "right_eye")
    people = np.stack([person(60, 50, 3.0), person(190, 60, 2.5, hidden)])
    heatmaps, fields = part_affinity.encode_batch(people[None], (256, 256))
    big_heatmaps, big_fields = (resize_cubic(y, (256, 256)) for y in (heatmaps, fields))
    keypoints, scores = part_affinity.decode(np.asarray(big_heatmaps[0]), np.asarray(big_fields[0]))
    order = np.argsort(keypoints[:, 1, 0])
    assert len(scores) == 2
    for person_keypoints, true in zip(keypoints[order], people, strict=True):
        assert np.all((person_keypoints[:, 2] > 0) == (true[:, 2] > 0))
        labeled = true[:, 2] > 0
        assert np.abs(person_keypoints[labeled, :2] - true[labeled, :2]).max() < 4
    assert np.all(scores > 18)


def test_nobody_is_found_in_empty_maps():
    keypoints, scores = part_affinity.decode(np.zeros((16, 16, 19)), np.zeros((16, 16, 38)))
    assert keypoints.shape == (0, 18, 3) and scores.shape == (0,)


def test_peaks_are_strict_and_suppress_from_left_to_right():
    heatmap = np.zeros((20, 30), np.float32)
    heatmap[5, 4], heatmap[5, 9], heatmap[5, 14] = 0.5, 0.9, 0.6  # 5 pixels apart each
    heatmap[15, 20] = heatmap[15, 21] = 0.8  # a plateau is no peak
    heatmap[0, 29] = 0.3  # a corner may be one
    heatmap[18, 2] = 0.09
    # The second is suppressed by the first though it is higher, so it cannot suppress the third.
    expected = [[4, 5, 0.5], [14, 5, 0.6], [29, 0, 0.3]]
    np.testing.assert_allclose(peaks(heatmap), expected, rtol=1e-6)


def test_connections_are_the_best_pairs_that_agree_with_the_field():
    field = np.zeros((20, 40, 2), np.float32)
    field[..., 0] = 0.5
    field[12:] = 0, 1
    a = np.array([[2, 5, 0.9], [2, 15, 0.9]])
    b = np.array([[12, 5, 0.9], [10, 15, 0.9], [38, 5, 0.9]])
    # (0, 0) lies along the field; (1, .) across it; (0, 2) is longer than half of the height.
    assert connections(a, b, field) == [(0, 0, pytest.approx(0.5))]
    far = connections(a[:1], b[2:], field * 3)
    assert far == [(0, 0, pytest.approx(1.5 + 10 / 36 - 1))]
    # Nine of ten points are needed.
    field[5, 5:8] = 0
    assert connections(a[:1], b[:1], field) == []
    assert len(connections(a[:1], b[:1], field, Grouping(agreement=0.5))) == 1
    same = np.array([[3, 3, 1.0]])
    assert connections(same, same, field) == []


@pytest.mark.slow
def test_small_and_weak_people_are_dropped():
    people = np.stack([person(60, 50, 3.0)])
    people[:, 4:, 2] = 0  # nose, neck, right shoulder, right elbow
    heatmaps, fields = (
        np.asarray(resize_cubic(y, (128, 128)))[0]
        for y in part_affinity.encode_batch(people[None], (128, 128))
    )
    keypoints, scores = part_affinity.decode(heatmaps, fields)
    assert len(scores) == 1 and (keypoints[0, :, 2] > 0).sum() == 4
    assert len(part_affinity.decode(heatmaps, fields, Grouping(least_joints=5))[1]) == 0
    assert len(part_affinity.decode(heatmaps, fields, Grouping(least_score=2.0))[1]) == 0


@pytest.mark.parametrize("name", ["associative_embedding", "part_affinity"])
def test_options_are_read_from_settings_by_name(name):
    task, kind = tasks.get(name), getattr(codecs, name).Grouping
    config = default_config(task.SETTINGS, task=name)
    config.eval.detection_threshold = 0.3
    grouping = task.decoder_from_config(config).grouping
    assert grouping == dataclasses.replace(kind(), detection_threshold=0.3)
    settings = dataclasses.asdict(grouping) | {"flip": True}
    assert whole_images.options_from(kind, settings) == grouping
    del settings["detection_threshold"]
    with pytest.raises(KeyError, match="detection_threshold"):
        whole_images.options_from(kind, settings)
