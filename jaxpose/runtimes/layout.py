"""Networks of other layouts and batch sizes as functions of NHWC images.

A `Call` takes float32 images and returns the outputs of the network, one or more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Call = Callable[[np.ndarray], Sequence[Any]]


def channels_last(run: Call) -> Call:
    """The function `run` of NCHW images as one of NHWC images; so are its outputs of rank 4."""

    def outputs_of(images):
        image = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        outputs = map(np.asarray, run(image))
        return [out.transpose(0, 2, 3, 1) if out.ndim == 4 else out for out in outputs]

    return outputs_of


def in_batches(run: Call, size: int) -> Call:
    """`run`, which takes exactly `size` images, for any number of images.

    The last group is filled up with copies of the last image.
    """

    def outputs_of(images):
        missing = -len(images) % size
        filled = np.concatenate([images, np.repeat(images[-1:], missing, axis=0)])
        parts = [run(filled[i : i + size]) for i in range(0, len(filled), size)]
        return [np.concatenate(outputs)[: len(images)] for outputs in zip(*parts, strict=True)]

    return outputs_of
