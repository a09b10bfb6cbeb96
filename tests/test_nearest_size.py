"""Whoever refuses a size names the same nearest one; halfway between two, the larger."""

import jax
import numpy as np
import pytest

import jaxpose
from configs import common
from jaxpose import models, tasks
from jaxpose.convert import command
from jaxpose.geometry import nearest_size

NETWORKS = {  # network: recipe, size that it cannot take, nearest that it can
    "hwl_mobilenetv3": (common.get_config, (80, 48), (96, 64)),
    "wlitepose_xs": (common.bottomup, (80, 240), (96, 256)),
    "lightweight_openpose": (common.part_affinity, (84, 60), (88, 64)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_settings_import_and_network_name_the_same_size(name):
    recipe, size, expected = NETWORKS[name]
    info = models.info(name)
    assert nearest_size(size, tasks.get(info.task).INPUT_STEP) == expected
    text = "x".join(map(str, expected))

    config = recipe()
    config.data.root, config.input_size = "somewhere", size
    with pytest.raises(ValueError) as error:
        tasks.validate(config, devices=1)
    assert f"the nearest is {expected}" in str(error.value)

    with pytest.raises(ValueError, match=f"the nearest is {text}"):
        command.input_size("x".join(map(str, size)), info)

    model, images = jaxpose.create_model(name), np.zeros((1, *size, 3), np.float32)
    with pytest.raises(ValueError, match=f"the nearest valid size is {text}"):
        jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
