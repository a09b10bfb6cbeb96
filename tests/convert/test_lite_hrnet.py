"""Public checkpoints of Lite-HRNet, Dite-HRNet and their kind to variables and back."""

import json
import lzma

import jax
import numpy as np
import pytest

from jaxpose import convert
from tests.helpers import recipe
from tests.helpers.checkpoints import abstract, assert_equal

NAMES = (
    "lite_hrnet_18",
    "lite_hrnet_30",
    "naive_lite_hrnet_18",
    "wider_naive_lite_hrnet_18",
    "dite_hrnet_18",
    "dite_hrnet_30",
    "lite_csw_hrnet_18",
)


@pytest.fixture(scope="module")
def shapes(golden):
    """Model -> {key: shape} of its public checkpoint."""
    return json.loads(lzma.open(golden / "torch_keys_lite_hrnet.json.xz").read())


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_round_trip_keeps_every_key_and_bit(name, shapes):
    state = recipe.state_dict(shapes[name], 0.5)
    back = convert.to_torch_state_dict(name, convert.from_torch(name, state))
    # mmpose 1.x calls the head `head`, the released files call it `keypoint_head`.
    wanted = {key.replace("keypoint_head.", "head."): value for key, value in state.items()}
    assert_equal(back, wanted)


@pytest.mark.slow
def test_both_names_of_the_head_without_counters(shapes):
    name = "lite_csw_hrnet_18"
    state = recipe.state_dict(shapes[name], 0.5)
    newer = {
        key.replace("keypoint_head.", "head."): value
        for key, value in state.items()
        if not key.endswith("num_batches_tracked")
    }
    expected = convert.from_torch(name, state)
    jax.tree.map(np.testing.assert_array_equal, convert.from_torch(name, newer), expected)
    assert jax.tree.structure(expected) == jax.tree.structure(abstract(name))


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{"shared": False}, {"weighting": "single"}, {"pooling": "avg"}],
    ids=lambda options: "".join(options),
)
def test_round_trip_of_the_ablations(options):
    name = "lite_csw_hrnet_18"
    variables = jax.tree.map(
        lambda leaf: np.arange(np.prod(leaf.shape), dtype=np.float32).reshape(leaf.shape),
        abstract(name, **options),
    )
    state = convert.to_torch_state_dict(name, variables)
    again = convert.from_torch(name, state, **options)
    jax.tree.map(np.testing.assert_array_equal, again, variables)


@pytest.mark.slow
@pytest.mark.parametrize(
    "key",
    [
        "backbone.stage2.0.layers.0.dcm.conv_mask.3.weight",  # which no output depends on
        "backbone.stage0.0.fuse_layers.1.0.0.2.weight",
    ],
)
def test_a_missing_key_is_named(key, shapes):
    state = recipe.state_dict(shapes["dite_hrnet_18"], 0.5)
    assert state.pop(key) is not None
    with pytest.raises(ValueError, match=f"missing '{key}'"):
        convert.from_torch("dite_hrnet_18", state)


@pytest.mark.slow
def test_a_kernel_of_another_length_is_named(shapes):
    state = recipe.state_dict(shapes["lite_csw_hrnet_18"], 0.5)
    with pytest.raises(
        ValueError, match=r"channel.conv.weight' has shape \[1, 1, 3\].*\[1, 1, 7\]"
    ):
        convert.from_torch("lite_csw_hrnet_18", state, gamma=1, b=2)
