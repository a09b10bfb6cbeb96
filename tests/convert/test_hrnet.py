"""Public checkpoints of HRNet, Small HRNet and HigherHRNet, in either naming."""

import gzip
import json

import jax
import numpy as np
import pytest

from jaxpose import convert
from jaxpose.convert import command
from tests.helpers import recipe
from tests.helpers.checkpoints import abstract, assert_equal


@pytest.fixture(scope="module")
def shapes(golden):
    """Model -> {key: shape} of its public checkpoint."""
    return json.loads(gzip.decompress((golden / "torch_keys_hrnet.json.gz").read_bytes()))


def mmpose(key):
    """The key in mmpose's files."""
    head = key.startswith(("final_layer", "deconv_layers"))
    return f"{'keypoint_head' if head else 'backbone'}.{key}"


@pytest.mark.slow
@pytest.mark.parametrize("name,keys", [("hrnet_w32", 1_754), ("higher_hrnet_w32", 1_810)])
def test_every_key_of_the_public_checkpoint_is_placed(name, keys, shapes):
    # Values do not matter here, and these networks are large: every array is one number repeated.
    state = {key: np.broadcast_to(np.float32(0), shape) for key, shape in shapes[name].items()}
    assert len(state) == keys
    variables = convert.from_torch(name, state)
    back = convert.to_torch_state_dict(name, variables)
    assert {key: list(value.shape) for key, value in back.items()} == shapes[name]
    assert command.count_keypoints(name, state) == 17


@pytest.mark.slow
def test_round_trip_keeps_every_bit_in_both_namings(shapes):
    name = "small_hrnet_w16"
    state = recipe.state_dict(shapes[name], 0.5)
    variables = convert.from_torch(name, state)
    assert jax.tree.map(lambda leaf: leaf.shape, variables) == jax.tree.map(
        lambda leaf: leaf.shape, abstract(name)
    )
    back = convert.to_torch_state_dict(name, variables)
    assert_equal(back, state)
    other = {mmpose(key): v for key, v in state.items() if "num_batches" not in key}
    jax.tree.map(np.testing.assert_array_equal, convert.from_torch(name, other), variables)
    newer = {key.replace("keypoint_head.", "head."): value for key, value in other.items()}
    jax.tree.map(np.testing.assert_array_equal, convert.from_torch(name, newer), variables)
    assert command.count_keypoints(name, other) == 17


def test_wrappers_come_off(shapes):
    name = "small_hrnet_w16"
    state = {f"module.1.{key}": np.zeros(shape) for key, shape in shapes[name].items()}
    convert.from_torch(name, state)
    state["conv1.weight"] = state["module.1.conv1.weight"]
    with pytest.raises(ValueError, match="has 'conv1.weight' under two prefixes"):
        convert.from_torch(name, state)


@pytest.mark.parametrize(
    "key,message",
    [
        ("stage4.0.fuse_layers.0.3.0.weight", "missing 'stage4.0.fuse_layers.0.3.0.weight'"),
        ("final_layer.bias", "missing 'final_layer.bias'"),
    ],
)
def test_a_missing_key_is_named(key, message, shapes):
    state = {k: np.zeros(shape) for k, shape in shapes["small_hrnet_w16"].items() if k != key}
    with pytest.raises(ValueError, match=message):
        convert.from_torch("small_hrnet_w16", state)


def test_a_wrong_width_is_named(shapes):
    state = {key: np.zeros(shape) for key, shape in shapes["small_hrnet_w16"].items()}
    state["stage2.0.branches.1.0.conv1.weight"] = np.zeros((16, 16, 3, 3))
    with pytest.raises(ValueError, match=r"branches.1.0.conv1.weight' has shape \[16, 16, 3, 3\]"):
        convert.from_torch("small_hrnet_w16", state)


def test_el_hrnet_has_no_public_checkpoint():
    with pytest.raises(
        ValueError, match="el_hrnet_w32: this model has no public PyTorch checkpoint"
    ):
        convert.from_torch("el_hrnet_w32", {})
