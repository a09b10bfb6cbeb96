"""Targets and aggregation of the bottom-up codec against numpy references. All H != W."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pycocotools import mask

from jaxpose.codecs import associative_embedding
from jaxpose.skeletons import COCO, CROWDPOSE


def _encode_numpy(keypoints, size, sigma, max_people):
    """Pixel by pixel, in plain Python, as the conventions say."""
    height, width = size
    people, joints, _ = np.shape(keypoints)
    maps = np.zeros((height, width, joints), np.float32)
    slots = np.zeros((max_people, joints, 3), np.int64)
    reach = int(3 * sigma + 1)
    for n in range(people):
        for k in range(joints):
            x, y, labeled = keypoints[n][k]
            if not labeled > 0:
                continue
            px, py = int(x), int(y)
            if not (0 <= px < width and 0 <= py < height):
                continue
            if n < max_people:
                slots[n, k] = px, py, 1
            for row in range(max(0, py - reach), min(height, py + reach + 1)):
                for column in range(max(0, px - reach), min(width, px + reach + 1)):
                    squared = (column - px) ** 2 + (row - py) ** 2
                    value = math.exp(-squared / (2 * sigma**2))
                    maps[row, column, k] = max(maps[row, column, k], value)
    return maps, slots


@pytest.mark.slow
@pytest.mark.parametrize("sigma, people, joints", [(2, 5, 17), (1, 12, 14), (3, 1, 4)])
def test_encode_equals_numpy_on_random_people(sigma, people, joints):
    random = np.random.default_rng(sigma)
    size = (40, 28)
    keypoints = random.uniform((-6, -6, 0), (34, 46, 2), (people, joints, 3))
    keypoints[..., 2] = np.floor(keypoints[..., 2] * 1.4)
    expected, expected_slots = _encode_numpy(keypoints.astype(np.float32), size, sigma, 7)
    maps, slots = associative_embedding.encode(keypoints, size, sigma=sigma, max_people=7)
    np.testing.assert_allclose(maps, expected, atol=2e-7)
    np.testing.assert_array_equal(slots, expected_slots)
    assert maps.dtype == jnp.float32 and slots.dtype == jnp.int32
    np.testing.assert_array_equal(np.asarray(maps) == 0, expected == 0)


def test_encode_truncates_toward_zero_and_cuts_the_gaussian():
    keypoints = np.zeros((1, 5, 3))
    keypoints[0] = [(-0.9, 3.99, 1), (-1.0, 3, 1), (19.99, 29.99, 2), (20, 3, 1), (10.7, 15.2, 1)]
    maps, slots = associative_embedding.encode(keypoints, (30, 20))
    np.testing.assert_array_equal(
        slots[0], [(0, 3, 1), (0, 0, 0), (19, 29, 1), (0, 0, 0), (10, 15, 1)]
    )
    assert slots.shape == (30, 5, 3) and not slots[1:].any()
    np.testing.assert_array_equal(maps.max((0, 1)), [1, 0, 1, 0, 1])
    middle = np.asarray(maps[..., 4])
    assert middle[15, 10] == 1 and middle[15 - 7, 10 + 7] > 0
    np.testing.assert_allclose(middle[15 - 7, 10 + 7], math.exp(-98 / 8), rtol=1e-5)
    assert not middle[:8].any() and not middle[23:].any()
    assert not middle[:, :3].any() and not middle[:, 18:].any()


@pytest.mark.slow
def test_encode_without_people_and_with_too_many():
    maps, slots = associative_embedding.encode(np.zeros((0, 17, 3)), (8, 12))
    assert maps.shape == (8, 12, 17) and slots.shape == (30, 17, 3)
    assert not maps.any() and not slots.any()
    row = np.array([[[3 * n, 4, 1]] for n in range(4)])  # four people of one keypoint
    maps, slots = associative_embedding.encode(row, (8, 12), max_people=2)
    np.testing.assert_array_equal(slots[:, 0], [(0, 4, 1), (3, 4, 1)])
    np.testing.assert_array_equal(maps[4, [0, 3, 6, 9], 0], 1)


def test_encode_batch_mirrors_at_the_resolution_of_the_maps():
    random = np.random.default_rng(4)
    size, batch = (96, 64), 4  # of the input
    unmirrored = random.uniform((-4, -4, 0), (68, 100, 2), (batch, 3, 5, 3))
    unmirrored[..., 2] = np.floor(unmirrored[..., 2])
    unmirrored[..., 0] = np.round(unmirrored[..., 0] * 8) / 8  # exact in float32
    mirrored = np.array([False, True, True, False])
    keypoints = unmirrored.copy()
    keypoints[mirrored, ..., 0] = size[1] - 1 - keypoints[mirrored, ..., 0]
    for stride in (4, 2):
        heatmap_size = size[0] // stride, size[1] // stride
        encode = jax.jit(associative_embedding.encode_batch, static_argnums=(2, 3, 4))
        maps, slots = encode(keypoints, mirrored, size, heatmap_size, 2)
        for i in range(batch):
            # Scaled to the map's resolution first, then mirrored there.
            points = unmirrored[i].astype(np.float32)
            points[..., :2] /= stride
            if mirrored[i]:
                points[..., 0] = heatmap_size[1] - points[..., 0] - 1
            expected, expected_slots = _encode_numpy(points, heatmap_size, 2, 3)
            np.testing.assert_array_equal(slots[i], expected_slots)
            np.testing.assert_allclose(maps[i], expected, atol=2e-7)


def test_unlabeled_keypoints_may_have_any_value_and_targets_carry_no_gradient():
    keypoints = np.full((1, 2, 3, 3), np.nan, np.float32)
    keypoints[..., 2] = 0
    keypoints[0, 1, 2] = 9, 5, 1

    def total(scale):
        maps, _ = associative_embedding.encode_batch(keypoints * scale, [False], (32, 48), (16, 24))
        return (maps * scale).sum()

    value, gradient = jax.jit(jax.value_and_grad(total))(jnp.float32(1))
    expected, _ = _encode_numpy([[(4.5, 2.5, 1)]], (16, 24), 2, 1)
    np.testing.assert_allclose([value, gradient], expected.sum(), rtol=1e-6)


def test_ignore_mask():
    square = [[2, 3, 6, 3, 6, 8, 2, 8]]
    runs = np.zeros((12, 10), np.uint8, order="F")
    runs[5:9, 7:10] = 1
    counts = [7 * 12 + 5, 4, 8, 4, 8, 4, 3]
    compressed = mask.encode(runs)
    compressed["counts"] = compressed["counts"].decode()
    annotations = [
        {"iscrowd": 0, "num_keypoints": 0, "keypoints": [0] * 51, "segmentation": square},
        {"iscrowd": 1, "num_keypoints": 0, "segmentation": {"size": [12, 10], "counts": counts}},
        {"iscrowd": 0, "num_keypoints": 3, "segmentation": [[0, 0, 9, 0, 9, 2, 0, 2]]},
        {"iscrowd": 0, "num_keypoints": 0},  # as in CrowdPose: no segmentation
    ]
    result = associative_embedding.ignore_mask(annotations, (12, 10))
    expected = np.ones((12, 10))
    expected[3:8, 2:6] = 0
    expected[5:9, 7:10] = 0
    np.testing.assert_array_equal(result, expected)
    annotations[1]["segmentation"] = compressed
    np.testing.assert_array_equal(
        associative_embedding.ignore_mask(annotations, (12, 10)), expected
    )
    assert associative_embedding.ignore_mask([], (3, 4)).shape == (3, 4)
    with pytest.raises(ValueError, match="size"):
        associative_embedding.ignore_mask(annotations, (12, 11))


def _resize_numpy(maps, size):
    """Bilinear with half-pixel centers, sample by sample, [h, w, C]."""
    height, width, channels = maps.shape
    out = np.zeros((*size, channels))
    for i in range(size[0]):
        for j in range(size[1]):
            y = min(max((i + 0.5) * height / size[0] - 0.5, 0), height - 1)
            x = min(max((j + 0.5) * width / size[1] - 0.5, 0), width - 1)
            y0, x0 = int(y), int(x)
            y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
            top = maps[y0, x0] * (1 - x + x0) + maps[y0, x1] * (x - x0)
            bottom = maps[y1, x0] * (1 - x + x0) + maps[y1, x1] * (x - x0)
            out[i, j] = top * (1 - y + y0) + bottom * (y - y0)
    return out


@pytest.mark.parametrize("flip", [True, False])
def test_aggregate_equals_the_definition(flip):
    random = np.random.default_rng(5)
    joints, size = 14, (16, 24)
    low, low_mirrored = random.standard_normal((2, 2, 4, 6, 2 * joints)).astype(np.float32)
    high, high_mirrored = random.standard_normal((2, 2, 8, 12, joints)).astype(np.float32)
    order = CROWDPOSE.flip_indices
    mirrored = (low_mirrored, high_mirrored) if flip else None
    aggregate = jax.jit(lambda *maps: associative_embedding.aggregate(*maps, order, size))
    heatmaps, tags = aggregate((low, high), mirrored)
    assert heatmaps.shape == (2, 16, 24, joints) and tags.shape == (2, 16, 24, joints, 1 + flip)

    def one_pass(low, high):
        up = _resize_numpy(low, (8, 12))
        return (up[..., :joints] + high) / 2, up[..., joints:]

    for i in range(2):
        heat, tag = one_pass(low[i], high[i])
        tag = [tag]
        if flip:
            flipped, flipped_tag = one_pass(low_mirrored[i], high_mirrored[i])
            heat = (heat + flipped[:, ::-1][..., order]) / 2
            tag.append(flipped_tag[:, ::-1][..., order])
        np.testing.assert_allclose(heatmaps[i], _resize_numpy(heat, size), atol=2e-6)
        for t in range(1 + flip):
            np.testing.assert_allclose(tags[i, ..., t], _resize_numpy(tag[t], size), atol=2e-6)


def test_combine_scales():
    one = np.random.default_rng(6).random((3, 1, 4, 6, 2)).astype(np.float32)
    tags = np.ones((1, 4, 6, 2, 1), np.float32)
    heatmaps, kept = associative_embedding.combine_scales(
        [(one[0], None), (one[1], tags), (one[2], None)]
    )
    np.testing.assert_allclose(heatmaps, one.mean(0), rtol=1e-6)
    np.testing.assert_array_equal(kept, tags)
    for wrong in ([(one[0], tags), (one[1], tags)], [(one[0], None)], []):
        with pytest.raises(ValueError, match="exactly one scale must have tags"):
            associative_embedding.combine_scales(wrong)


def test_aggregate_rejects_other_channels():
    low, high = np.zeros((1, 4, 6, 34)), np.zeros((1, 8, 12, 17))
    with pytest.raises(ValueError, match=r"output 1 .* expected \[B, h, w, 17\]"):
        associative_embedding.aggregate((low, low), None, COCO.flip_indices, (16, 24))
    with pytest.raises(ValueError, match=r"output 0 .* expected \[B, h, w, 28\]"):
        associative_embedding.aggregate((low, high), None, CROWDPOSE.flip_indices, (16, 24))
