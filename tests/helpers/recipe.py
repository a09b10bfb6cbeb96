"""Weights and images made from a formula, so that goldens store results alone (numpy only)."""

import math
import zlib

import numpy as np


def _wave(count, phase):
    """`count` uniform-looking float64 numbers in [0, 1)."""
    wave = 43758.5453 * np.sin(phase + 12.9898 * (np.arange(count, dtype=np.float64) + 1))
    return wave - np.floor(wave)


def weight(key, shape, gain):
    """One tensor of a PyTorch state_dict, from its name and shape."""
    count = int(np.prod(shape)) if len(shape) else 1
    base = 2 * _wave(count, 2 * math.pi * (zlib.crc32(key.encode()) % 1000) / 1000) - 1
    leaf = key.rsplit(".", 1)[-1]
    if leaf in ("running_mean", "bias"):
        base = 0.1 * base
    elif leaf == "running_var":
        base = 1 + 0.3 * base
    elif len(shape) == 1:
        base = gain * (1 + 0.2 * base)
    else:
        # A bank of kernels has one axis before those of a kernel.
        base = base * math.sqrt(6 / np.prod(shape[-3:] if len(shape) == 5 else shape[1:]))
    return base.reshape(shape).astype(np.float32)


def state_dict(shapes, gain):
    """{key: shape} -> {key: array}; num_batches_tracked becomes an int64 zero."""
    return {
        key: np.zeros(shape, np.int64)
        if key.endswith("num_batches_tracked")
        else weight(key, tuple(shape), gain)
        for key, shape in shapes.items()
    }


def images(batch, height, width):
    """[B,H,W,3] float32, smooth waves that differ from image to image."""
    b, h, w, c = np.meshgrid(*map(np.arange, (batch, height, width, 3)), indexing="ij")
    slow = np.sin(0.05 * h + 0.07 * w + c + 1.3 * b)
    return (slow + 0.5 * np.sin(0.31 * h - 0.23 * w * (c + 1) + 0.7 * b)).astype(np.float32)


def sample_index(count, number=64):
    """Positions of the stored samples in a flattened array of `count` numbers."""
    fraction, _ = np.modf(np.arange(1, number + 1) * 0.6180339887498949)
    return np.floor(fraction * count).astype(np.int64)


def rnd(seed, shape):
    """Uniform-looking float64 numbers in [0, 1)."""
    return _wave(int(np.prod(shape)), 2 * np.pi * seed / 1000).reshape(shape)
