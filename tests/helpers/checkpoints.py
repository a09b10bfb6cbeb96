"""Weights for the tests of their conversion: shapes, PyTorch files, and comparison."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpose import models


@functools.cache
def abstract(name, num_keypoints=17, **options):
    """The variables of a network as shapes; nothing is computed."""
    network = models.create_model(name, num_keypoints, **options)
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    return jax.eval_shape(lambda x: network.init(jax.random.key(0), x, train=False), image)


def save_torch(content, file, **options):
    """Writes a dict with numpy arrays as a PyTorch file with tensors; skips without torch."""
    torch = pytest.importorskip("torch")

    def tensors(value):
        if isinstance(value, dict):
            return {key: tensors(child) for key, child in value.items()}
        return torch.from_numpy(np.array(value)) if isinstance(value, np.ndarray) else value

    torch.save(tensors(content), file, **options)


def assert_equal(arrays, expected):
    """Two dicts have the same keys and, to the bit, the same arrays."""
    assert sorted(arrays) == sorted(expected)
    for key, value in expected.items():
        np.testing.assert_array_equal(arrays[key], value, err_msg=key)
