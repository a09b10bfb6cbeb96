"""Codecs pixel by pixel, in plain Python, as the conventions say."""

import math

import cv2
import numpy as np

from jaxpose.skeletons import COCO
from tests.helpers import recipe


def encode(keypoints, visible, input_size, heatmap_size, sigma, udp=False):
    """Heatmaps [h, w, K] and weights [K] of one person; as `codecs.topdown.encode`."""
    (height, width), radius = heatmap_size, 3 * sigma
    maps = np.zeros((height, width, len(keypoints)), np.float32)
    weights = np.array(visible, np.float32)
    for k, (x, y) in enumerate(np.asarray(keypoints, np.float64)):
        if udp:
            qx = x * (width - 1) / (input_size[1] - 1)
            qy = y * (height - 1) / (input_size[0] - 1)
        else:
            qx, qy = x / (input_size[1] / width), y / (input_size[0] / height)
        mx, my = int(qx + 0.5), int(qy + 0.5)  # toward zero
        if not udp:
            qx, qy = mx, my
        if mx - radius >= width or mx + radius + 1 < 0:
            weights[k] = 0
        if my - radius >= height or my + radius + 1 < 0:
            weights[k] = 0
        if weights[k] == 0:
            continue
        for i in range(max(0, mx - radius), min(width, mx + radius + 1)):
            for j in range(max(0, my - radius), min(height, my + radius + 1)):
                maps[j, i, k] = math.exp(-((i - qx) ** 2 + (j - qy) ** 2) / (2 * sigma**2))
    return maps, weights


def gaussians(centers, size, sigma=2.0):
    """Heatmaps [1, h, w, N] of `size`, one Gaussian of height 1 each."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    return np.stack(
        [np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2)) for x, y in centers], -1
    ).astype(np.float32)[None]


def blurred(heatmap, kernel):
    """A heatmap [h, w] after OpenCV's blur, zero outside, with the maximum that it had before."""
    border = (kernel - 1) // 2
    padded = np.pad(heatmap, border)
    smooth = cv2.GaussianBlur(padded, (kernel, kernel), 0)[border:-border, border:-border]
    return smooth * heatmap.max() / smooth.max()


def mirrored(keypoints, width):
    """COCO keypoints [17, 2] in the mirror image."""
    keypoints = np.array(keypoints, np.float32)[COCO.flip_indices]
    keypoints[:, 0] = width - 1 - keypoints[:, 0]
    return keypoints


def assert_stored(maps, weights, case, atol):
    """Heatmaps [h, w, K] and weights [K] are those of a golden file."""
    maps = np.asarray(maps)
    assert maps.shape[:2] == tuple(case["heatmap"])
    np.testing.assert_array_equal(weights, case["weight"])
    np.testing.assert_allclose(maps.sum((0, 1)), case["sum_per_joint"], rtol=2e-6, atol=atol)
    samples = maps.ravel()[recipe.sample_index(maps.size, len(case["samples"]))]
    np.testing.assert_allclose(samples, case["samples"], atol=1e-6)
    for k, peak in enumerate(case["peak_yx"]):
        if peak is not None:
            assert list(np.unravel_index(maps[..., k].argmax(), maps.shape[:2])) == peak
