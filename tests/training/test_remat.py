"""config.remat: the step is the same, and the network's blocks are computed again."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from jaxpose.layers import BatchNorm, Conv, ConvNormAct, repeat
from jaxpose.mesh import make_mesh
from jaxpose.plan.step import batch_shapes
from jaxpose.training.setup import make_setup
from tests.helpers import tiny_runs


class Repeated(tiny_runs.TinyHeatmaps):
    """A strided convolution and three equal blocks."""

    @nn.compact
    def __call__(self, x, train: bool = False):
        x = Conv(8, 3, 4, name="first")(x)
        block = ConvNormAct(8, 3, act="relu", conv=Conv, norm=BatchNorm, parent=None)
        x = repeat(self, block, ("block_0", "block_1", "block_2"), x, train)
        return Conv(self.num_keypoints, name="final")(x)


def setup_of(folder, model, remat):
    config = tiny_runs.config(folder, model=model, remat=remat)
    return make_setup(config, 17, 10.0, 100)


def test_the_step_is_the_same(tmp_path):
    results, convolutions = [], []
    for remat in (False, True):
        random = np.random.default_rng(0)
        setup = setup_of(tmp_path, f"{__name__}:Repeated", remat)
        batch = {
            name: random.uniform(1, 60, shape).astype(dtype)
            for name, (shape, dtype) in batch_shapes(setup, 17).items()
        }
        state = setup.create_state(0)
        step = setup.make_step(make_mesh(jax.devices()[:1]))
        convolutions.append(str(jax.make_jaxpr(step)(state, batch)).count("op:conv|"))
        results.append(step(state, batch))
    assert convolutions[1] == convolutions[0] + 1  # that of the block of the scan
    assert results[1][1]["finite"] and results[1][1]["grad_norm"] > 0
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), *results)


def test_a_network_without_repeated_blocks_is_refused(tmp_path):
    with pytest.raises(ValueError, match="the network has no repeated blocks"):
        _ = setup_of(tmp_path, "tests.helpers.tiny_runs:TinyHeatmaps", True).shapes
