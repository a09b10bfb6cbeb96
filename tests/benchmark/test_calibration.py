"""Random weights that fit their batch norms."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxpose import geometry, images
from jaxpose.benchmark.calibration import calibrated
from jaxpose.export import source
from tests.helpers import tiny_files


@pytest.fixture
def network(register):
    register("tiny_pose", tiny_files.Tiny, "topdown", (64, 64))
    return calibrated(source.untrained("tiny_pose"))


@pytest.mark.slow
def test_the_statistics_are_those_of_the_batch(network):
    """In a step of training nothing changes but by the momentum, and outputs are of order 1."""
    x = geometry.normalize(images.draw_samples((64, 64), 4, seed=1))
    variables = network.variables
    _, changed = network.model.apply(variables, x, train=True, mutable=["batch_stats"])
    for old, new in zip(
        jax.tree.leaves(variables["batch_stats"]), jax.tree.leaves(changed), strict=True
    ):
        np.testing.assert_allclose(new, old, rtol=1e-3, atol=1e-4)
    outputs = np.asarray(network.model.apply(variables, x, train=False))
    assert 0.2 < outputs.std() < 5
    untrained = source.untrained("tiny_pose")
    assert np.std(untrained.model.apply(untrained.variables, x, train=False)) < outputs.std()


@pytest.mark.slow
def test_the_seed_decides(network):
    again = calibrated(source.untrained("tiny_pose"))
    other = calibrated(source.untrained("tiny_pose"), seed=1)
    leaves = [jax.tree.leaves(s.variables) for s in (network, again, other)]
    assert all(np.array_equal(a, b) for a, b in zip(*leaves[:2], strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(*leaves[1:], strict=True))


def test_a_network_without_batch_norm(network):
    params = {"params": network.variables["params"]}
    bare = calibrated(dataclasses.replace(network, variables=params), seed=2)
    assert set(bare.variables) == {"params"}
