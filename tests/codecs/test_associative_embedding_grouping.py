"""Grouping against a golden file, a literal reference on random scenes, and special cases."""

import json

import jax
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from jaxpose.codecs import associative_embedding
from jaxpose.codecs.associative_embedding import grouping, refinement
from jaxpose.skeletons import COCO
from jaxpose.tasks.whole_images import scenes

ORDER = (0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16)


def _golden_maps(keypoints):
    """Three people and a spurious blob."""
    y, x = np.mgrid[:64, :96].astype(np.float32)
    heat = np.zeros((64, 96, keypoints), np.float32)
    tags = np.zeros((64, 96, keypoints, 2), np.float32)
    tags[..., 0], tags[..., 1] = (x * 0.001)[:, :, None], (y * 0.001)[:, :, None]

    def blob(k, cx, cy, peak, tag):
        gaussian = peak * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * 1.5**2))
        heat[..., k] = np.maximum(heat[..., k], gaussian)
        tags[..., k, :][gaussian > 0.02] = tag

    for n in range(3):
        for k in range(keypoints):
            if (3 * k + n) % 7 != 0:
                cx, cy = 10.13 + 28 * n + 4 * (k % 4) + 0.03 * k, 6.07 + 3.1 * k + 0.2 * n
                tag = 2 * (n - 1) + 0.01 * k, 2 * (n - 1) - 0.02 * k
                blob(k, cx, cy, 0.9 - 0.1 * n - 0.02 * k, tag)
    blob(5, 90.2, 30.3, 0.3, (9, 9))
    return heat, tags


def test_golden(golden):
    case = json.loads((golden / "associative_embedding.json").read_text())
    keypoints, scores = associative_embedding.decode(*_golden_maps(17), **case["options"])
    np.testing.assert_allclose(keypoints, case["keypoints"], atol=1e-6)
    np.testing.assert_allclose(scores, case["scores"], atol=1e-7)
    keypoints, scores = associative_embedding.decode(*_golden_maps(14))
    assert keypoints.shape == (4, 14, 3)
    np.testing.assert_allclose(scores, case["scores_14_joints"], atol=1e-6)


def _decode_numpy(heat, tags, max_people, detection, near, window, adjust, refine):
    """The reference's procedure, step by step, with its kinds of containers."""
    height, width, keypoints = heat.shape
    reach = window // 2
    padded = np.pad(heat, ((reach, reach), (reach, reach), (0, 0)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (window, window), axis=(0, 1))
    peaks = np.where(heat == windows.max((-2, -1)), heat, 0)

    people, tag_lists = {}, {}  # key -> [K, 3 + T], key -> tags
    for j in ORDER[:keypoints] if keypoints >= 13 else range(keypoints):
        flat = peaks[..., j].ravel()
        top = np.argsort(-flat, kind="stable")[:max_people]
        top = [i for i in top if float(flat[i]) > detection]
        if not top:
            continue
        candidates = [np.array([i % width, i // width, flat[i], *tags[i // width, i % width, j]])
                 for i in top]  # fmt: skip
        own_tags = [tags[i // width, i % width, j] for i in top]
        keys = list(people)[:max_people]
        assigned = {}
        if keys:
            means = np.array([np.mean(tag_lists[key], axis=0) for key in keys])
            distance = np.array(
                [[np.linalg.norm(f[3:] - mean) for mean in means] for f in candidates]
            )
            cost = np.round(distance) * 100 - np.array([[f[2]] for f in candidates])
            if len(candidates) > len(keys):
                more = np.full((len(candidates), len(candidates) - len(keys)), 1e10)
                cost = np.concatenate([cost, more], axis=1)
            assigned = dict(zip(*linear_sum_assignment(cost), strict=True))
        for a, (keypoint, tag) in enumerate(zip(candidates, own_tags, strict=True)):
            g = assigned.get(a, len(keys))
            if g < len(keys) and distance[a, g] < near:
                people[keys[g]][j] = keypoint
                tag_lists[keys[g]].append(tag)
            else:
                people.setdefault(float(tag[0]), np.zeros((keypoints, 3 + tags.shape[-1])))[j] = (
                    keypoint
                )
                tag_lists[float(tag[0])] = [tag]

    def shifted(x, y, j):
        row, column = heat[y, :, j], heat[:, x, j]
        right = row[min(x + 1, width - 1)] > row[max(x - 1, 0)]
        down = column[min(y + 1, height - 1)] > column[max(y - 1, 0)]
        return x + (0.25 if right else -0.25) + 0.5, y + (0.25 if down else -0.25) + 0.5

    result, scores = [], []
    for person in people.values():
        scores.append(np.float32(person[:, 2]).mean())
        places = person[:, :2].astype(int)
        present = person[:, 2] > 0
        out = person[:, :3].astype(np.float32)
        if adjust:
            for j in np.flatnonzero(present):
                out[j, :2] = shifted(*places[j], j)
        if refine:
            mean = np.mean(
                [tags[places[j][1], places[j][0], j] for j in np.flatnonzero(present)], 0
            )
            for j in np.flatnonzero(~present):
                away = np.sqrt(np.square(tags[:, :, j] - mean).sum(-1))
                y, x = divmod(int(np.argmax(heat[..., j] - np.round(away))), width)
                if heat[y, x, j] > 0:
                    out[j] = *shifted(x, y, j), heat[y, x, j]
        result.append(out)
    return np.array(result).reshape(-1, keypoints, 3), np.array(scores, np.float32)


def _assert_same(heat, tags, options):
    expected, expected_scores = _decode_numpy(heat, tags, *options)
    keypoints, scores = associative_embedding.decode(heat, tags, *options)
    assert keypoints.dtype == scores.dtype == np.float32
    np.testing.assert_array_equal(keypoints, expected)
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-6)
    return len(scores)


# Kinds of scenes: few and many people, one and two tag components, smooth maps, plateaus with equal
# tags (ties, equal keys), a background of exactly 0, maps of pure noise, sides that no square
# divides, fewer candidates than peaks.
SCENES = {
    "smooth": dict(size=(48, 64), keypoints=17, components=2, people=(0, 6)),
    "crowded": dict(size=(48, 64), keypoints=14, components=2, people=(25, 40), steps=(0, 16)),
    "one tag": dict(size=(37, 50), keypoints=13, components=1, people=(1, 8), steps=(32, 0)),
    "steps": dict(size=(37, 50), keypoints=5, components=2, people=(3, 9), steps=(8, 2), noise=0),
    "clean": dict(size=(37, 50), keypoints=5, components=1, people=(2, 7), noise=0, cut=True),
    "noise": dict(size=(37, 50), keypoints=5, components=2, people=(0, 2), noise=0.4),
    "few": dict(size=(48, 64), keypoints=5, components=2, people=(5, 12), max_people=4),
}


def _scene(random, size, keypoints, components, people, steps=(0, 0), noise=0.01, cut=False):
    """Gaussians of random sizes with noisy tags; `steps` round heat and tags to 1 / step."""
    y, x = np.mgrid[: size[0], : size[1]]
    heat = noise * random.standard_normal((*size, keypoints))
    tags = 0.3 * random.standard_normal((*size, keypoints, components))
    if noise == 0:
        tags[:] = 0
    for _ in range(random.integers(*people)):
        person, center = 2.5 * random.standard_normal(components), random.uniform((0, 0), size)
        for k in np.flatnonzero(random.random(keypoints) < 0.75):
            cy, cx = center + random.normal(0, 8, 2)
            squared = ((x - cx) ** 2 + (y - cy) ** 2) / random.uniform(1.5, 3) ** 2
            blob = random.uniform(0.05, 1) * np.exp(-squared / 2) * (squared < 9 if cut else 1)
            heat[..., k] = np.maximum(heat[..., k], blob)
            tags[squared < 5, k] = person + random.normal(0, 0.2, components)
    for maps, step in ((heat, steps[0]), (tags, steps[1])):
        if step:
            maps[:] = np.round(maps * step) / step
    return heat.astype(np.float32), tags.astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("kind", SCENES)
def test_equals_the_reference_on_random_scenes(kind):
    recipe = dict(SCENES[kind])
    max_people = recipe.pop("max_people", 30)
    random = np.random.default_rng(sorted(SCENES).index(kind))
    people = 0
    for _ in range(8 if kind in ("crowded", "noise") else 36):
        options = max_people, 0.1, 1.0, 5, bool(random.random() < 0.8), True
        people += _assert_same(*_scene(random, **recipe), options)
    assert people


def test_equals_the_reference_with_other_options():
    random = np.random.default_rng(7)
    for options in ((30, 0.3, 0.7, 3, True, False), (2, 0.05, 2.0, 7, False, True)):
        for _ in range(4):
            heat, tags = _scene(random, (24, 40), 6, 2, (2, 6))
            _assert_same(heat, tags, options)


def _maps(keypoints, components=1, size=(16, 24), background=0.0):
    return (
        np.full((*size, keypoints), background, np.float32),
        np.zeros((*size, keypoints, components), np.float32),
    )


def _put(maps, keypoint, x, y, heat, tag):
    maps[0][y, x, keypoint], maps[1][y, x, keypoint] = heat, tag


def test_nobody():
    keypoints, scores = associative_embedding.decode(*_maps(17, 2))
    assert keypoints.shape == (0, 17, 3) and scores.shape == (0,)
    maps = _maps(17)
    _put(maps, 0, 5, 5, 0.09, 1)
    assert len(associative_embedding.decode(*maps)[1]) == 0


def test_detection_threshold_is_strict_in_double_precision():
    maps = _maps(2)
    _put(maps, 0, 5, 5, 0.5, 1)
    _put(maps, 1, 9, 9, np.nextafter(np.float32(0.5), np.float32(1)), 7)
    keypoints, _ = associative_embedding.decode(*maps, detection_threshold=0.5, refine=False)
    np.testing.assert_array_equal(keypoints[:, :, 2] > 0, [[False, True]])
    _put(maps, 0, 5, 5, 0.1, 1)  # float32 0.1 is more than 0.1
    assert len(associative_embedding.decode(*maps, refine=False)[1]) == 2


def test_equal_neighbors_are_two_candidates_and_ties_move_back():
    maps = _maps(1)
    _put(maps, 0, 8, 5, 0.5, 1)
    _put(maps, 0, 9, 5, 0.5, 4)
    keypoints, scores = associative_embedding.decode(*maps)
    # Left one: rises to the right; up and down are equal. Right one: the other way round.
    np.testing.assert_array_equal(keypoints[:, 0], [(8.75, 5.25, 0.5), (9.25, 5.25, 0.5)])
    np.testing.assert_array_equal(scores, [0.5, 0.5])
    raw, _ = associative_embedding.decode(*maps, adjust=False)
    np.testing.assert_array_equal(raw[:, 0, :2], [(8, 5), (9, 5)])


def test_neighbors_are_clamped_to_the_border():
    maps = _maps(1)
    _put(maps, 0, 0, 15, 0.5, 1)
    _put(maps, 0, 1, 15, 0.3, 1)
    _put(maps, 0, 23, 0, 0.4, 9)
    keypoints, _ = associative_embedding.decode(*maps)
    # x: 0.3 against the pixel itself, 0.5; so left. At the right border the pixel itself is higher.
    np.testing.assert_array_equal(keypoints[:, 0, :2], [(0.25, 15.75), (23.75, 0.25)])


def test_equal_keys_share_a_group_that_starts_again():
    maps = _maps(2, 2)
    _put(maps, 0, 3, 3, 0.9, (1, 0))
    _put(maps, 0, 15, 3, 0.8, (1, 5))  # the same first component: takes the group over
    _put(maps, 1, 3, 12, 0.7, (1, 0))  # far from (1, 5): starts a group; the key is taken again
    keypoints, _ = associative_embedding.decode(*maps, refine=False)
    np.testing.assert_allclose(keypoints[..., 2], [[0.8, 0.7]])
    np.testing.assert_allclose(keypoints[..., 0], [[15.25, 3.25]])


def test_a_group_taken_over_may_gain_a_member_at_the_same_keypoint():
    maps = _maps(3, 2)
    _put(maps, 0, 3, 3, 0.9, (1, 0))
    _put(maps, 1, 3, 9, 0.8, (1, 5))  # starts a group under key 1, which resets the group ...
    _put(maps, 1, 15, 9, 0.7, (1, 0.2))  # ... and this one, which joins it, comes after
    _put(maps, 2, 9, 3, 0.6, (1, 2.6))  # the mean of both
    expected, _ = _decode_numpy(*maps, 30, 0.1, 1.0, 5, True, False)
    keypoints, _ = associative_embedding.decode(*maps, refine=False)
    np.testing.assert_array_equal(keypoints, expected)
    np.testing.assert_allclose(keypoints[..., 2], [[0.9, 0.7, 0.6]])


def test_rounded_distance_decides_the_match_and_the_plain_one_the_threshold():
    maps = _maps(2)
    _put(maps, 0, 3, 3, 0.9, 0)
    _put(maps, 0, 15, 3, 0.8, 1.3)
    _put(maps, 1, 3, 12, 0.5, 0.99)  # 0.99 from the first, 0.31 from the second
    keypoints, _ = associative_embedding.decode(*maps, refine=False)
    np.testing.assert_allclose(keypoints[..., 2], [[0.9, 0], [0.8, 0.5]])
    for tag, joined in ((-0.99, True), (-1.0, False)):
        maps[1][12, 3, 1] = tag
        keypoints, _ = associative_embedding.decode(*maps, refine=False)
        assert len(keypoints) == (2 if joined else 3)


def test_higher_candidates_are_matched_first_at_equal_rounded_distance():
    maps = _maps(2)
    _put(maps, 0, 3, 3, 0.9, 0)
    _put(maps, 1, 3, 12, 0.4, 0.1)
    _put(maps, 1, 15, 12, 0.6, 0.4)  # farther, but higher: both distances round to 0
    keypoints, _ = associative_embedding.decode(*maps, refine=False)
    np.testing.assert_allclose(keypoints[..., 2], [[0.9, 0.6], [0, 0.4]])


def test_more_groups_than_max_people_are_returned_but_only_the_first_are_matched():
    maps = _maps(3, size=(16, 64))
    for k in range(2):
        for n in range(2):
            _put(maps, k, 5 + 12 * n + 24 * k, 8, 0.9 - 0.1 * n, 10 * (2 * k + n))
    for n in range(2):  # near groups 3 and 4, which are beyond max_people
        _put(maps, 2, 50 + 8 * n, 8, 0.5, 20 + 10 * n + 0.2)
    keypoints, scores = associative_embedding.decode(*maps, max_people=2, refine=False)
    assert len(scores) == 6
    keypoints, scores = associative_embedding.decode(*maps, max_people=4, refine=False)
    assert len(scores) == 4
    np.testing.assert_allclose(scores, [0.9 / 3, 0.8 / 3, 1.4 / 3, 1.3 / 3], rtol=1e-6)


def test_score_is_that_before_missing_keypoints_are_filled_in():
    maps = _maps(4, 2, background=-0.5)
    _put(maps, 0, 3, 3, 0.8, (2, 2))
    _put(maps, 1, 9, 9, 0.05, (2.3, 2.3))  # below the threshold, but near: fills
    _put(maps, 1, 20, 3, 0.04, (2, 2))
    _put(maps, 2, 9, 9, 0.9, (8, 8))  # another person's; far: heat - 8, less than the background
    maps[1][..., 2, :] += 2 * (maps[1][..., 2, :] == 0)  # background as near as can be
    keypoints, scores = associative_embedding.decode(*maps)
    np.testing.assert_allclose(scores, [0.2, 0.225], rtol=1e-6)
    np.testing.assert_allclose(keypoints[0, 1], (9.25, 9.25, 0.05))
    assert not keypoints[0, 2].any(), "heat is not above 0 where the score is greatest"
    assert not keypoints[0, 3].any()
    plain, _ = associative_embedding.decode(*maps, refine=False)
    assert not plain[0, 1].any()
    raw, _ = associative_embedding.decode(*maps, adjust=False)  # filling in has its own offset
    np.testing.assert_allclose(raw[0, 1], (9.25, 9.25, 0.05))


def test_filling_in_takes_the_first_of_equal_pixels():
    for height, width in ((40, 72), (33, 50)):
        maps = _maps(2, size=(height, width), background=0.01)
        _put(maps, 0, 3, 3, 0.8, 0.2)
        for x, y in ((40, 30), (20, 31), (45, 12), (30, 12), (31, 12)):
            _put(maps, 1, x, y, 0.06, 0.3)
        keypoints, _ = associative_embedding.decode(*maps)
        np.testing.assert_allclose(keypoints[0, 1], (30.75, 12.25, 0.06))
        maps[0][..., 1] = 0.06
        keypoints, _ = associative_embedding.decode(*maps)
        np.testing.assert_allclose(keypoints[0, 1], (0.25, 0.25, 0.06))


def test_maps_that_are_not_finite_are_rejected():
    maps = _maps(2)
    _put(maps, 0, 3, 3, 0.8, np.nan)
    with pytest.raises(ValueError, match="tags of keypoint 0 are not finite"):
        associative_embedding.decode(*maps)
    _put(maps, 0, 3, 3, 0.8, 0)
    _put(maps, 1, 3, 3, np.nan, 0)
    with pytest.raises(ValueError, match="maps of keypoint 1 are not finite"):
        associative_embedding.decode(*maps)


def test_options_are_checked():
    for wrong in (dict(max_people=0), dict(detection_threshold=-0.1), dict(nms_kernel=4)):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            associative_embedding.Grouping(**wrong)


def test_keypoint_order_of_other_skeletons():
    assert grouping.keypoint_order(17) == list(ORDER)
    assert grouping.keypoint_order(14) == list(ORDER[:14])
    for count in (1, 5, 12, 16, 20):
        assert sorted(grouping.keypoint_order(count)) == list(range(count))


@pytest.mark.slow
def test_bounds_hold():
    random = np.random.default_rng(8)
    heat, tags = random.random((1, 37, 50, 3)), random.standard_normal((1, 37, 50, 3, 2))
    candidates = jax.jit(associative_embedding.candidates, static_argnums=2)
    peaks = candidates(heat, tags, associative_embedding.Grouping())
    assert candidates(heat, tags, associative_embedding.Grouping(refine=False)).bounds == ()
    for side, bounds in zip((16, 8, 4), peaks.bounds, strict=True):
        assert bounds.heat.shape == (1, -(-37 // side), -(-50 // side), 3)
        for i, j in np.ndindex(bounds.heat.shape[1:3]):
            square = np.s_[0, i * side : (i + 1) * side, j * side : (j + 1) * side]
            inside = heat[square].astype("f").max((0, 1)), tags[square].astype("f")
            np.testing.assert_array_equal(bounds.heat[0, i, j], inside[0])
            np.testing.assert_array_equal(bounds.tag_low[0, i, j], inside[1].min((0, 1)))
            np.testing.assert_array_equal(bounds.tag_high[0, i, j], inside[1].max((0, 1)))


@pytest.mark.slow
def test_a_batch_of_network_outputs_is_grouped_image_by_image():
    """Ten people through aggregation, candidates and grouping, with missing keypoints filled in."""
    size, options = (128, 192), associative_embedding.Grouping()
    scene = scenes.draw(10, size, missing=0.3)

    @jax.jit
    def on_device(outputs, mirrored):
        heatmaps, tags = associative_embedding.aggregate(outputs, mirrored, COCO.flip_indices, size)
        return associative_embedding.candidates(heatmaps, tags, options), heatmaps, tags

    def after_an_empty_one(outputs):
        return [np.concatenate([np.zeros_like(maps), maps]) for maps in outputs]

    batch = map(after_an_empty_one, (scene.outputs, scene.mirrored))
    peaks, heatmaps, tags = jax.device_get(on_device(*batch))
    first = jax.tree.map(lambda array: array[0], peaks)
    assert len(associative_embedding.group(first, heatmaps[0], tags[0], options)[1]) == 0
    second = jax.tree.map(lambda array: array[1], peaks)
    keypoints, scores = associative_embedding.group(second, heatmaps[1], tags[1], options)
    assert (scores > 0.2).sum() == 10
    expected, expected_scores = _decode_numpy(heatmaps[1], tags[1], 30, 0.1, 1.0, 5, True, True)
    np.testing.assert_array_equal(keypoints, expected)
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-6)


def test_whole_maps_are_read_where_bounds_rule_out_little(monkeypatch):
    random = np.random.default_rng(9)
    heat = random.random((48, 64, 2)).astype(np.float32) * 0.3
    tags = random.standard_normal((48, 64, 2, 2)).astype(np.float32)
    calls = []
    scan = refinement._scan
    monkeypatch.setattr(refinement, "_scan", lambda *maps: calls.append(1) or scan(*maps))
    _assert_same(heat, tags, (30, 0.2, 1.0, 5, True, True))
    assert calls
