"""Codecs pixel by pixel, in plain Python, as the conventions say."""

import math

import numpy as np


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
