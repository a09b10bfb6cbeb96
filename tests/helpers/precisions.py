"""A network with two outputs whose weights fill its files, for the tests of reduced precision."""

import numpy as np

from jaxpose import geometry, ops
from tests.helpers.networks import weight

SIZE = (64, 64)
METADATA = {"jaxpose": "test", "task": "topdown", "outputs": [{"name": "maps"}, {"name": "tags"}]}


def both(m, x):
    """Two outputs; the second is computed from the first."""
    x = ops.conv(x, weight(m, "stem", (4, 4, 3, 64), 0.1), stride=4)
    x = ops.activation(x, kind="relu")
    x = ops.conv(x, weight(m, "middle", (3, 3, 64, 64), 0.05), padding=1)
    x = ops.activation(x, kind="hard_swish")
    return x, ops.conv(x, weight(m, "head", (1, 1, 64, 17), 0.1))


def heatmaps(m, x):
    """The second output of `both` alone."""
    return both(m, x)[1]


def crops(count=8):
    return np.random.default_rng(0).integers(0, 256, (count, *SIZE, 3), np.uint8)


def normalized(count):
    return np.asarray(geometry.normalize(crops(count)))


def errors(ours, theirs):
    """Of each output, the largest difference as a fraction of the largest value."""
    return [np.abs(a - b).max() / np.abs(b).max() for a, b in zip(ours, theirs, strict=True)]
