"""Estimates of parts of networks."""

import jax
import jax.numpy as jnp
import pytest

from jaxpose.plan import operators, parts
from jaxpose.plan.topology import find_target


@pytest.mark.parametrize(
    "unknown", ["pool_3", "conv:128x64x48x72:3:1", "depthwise_conv:128x64x48:3:1"]
)
def test_an_unknown_part_is_an_error(unknown, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["parts", "pool_2", operators.OPERATORS[-1], unknown])
    with pytest.raises(SystemExit):
        parts.main()
    error = capsys.readouterr().err
    assert f"{unknown}: choose from pool_2, pool_8" in error
    assert "or write depthwise_conv:128x128x96x16:3:1" in error


def test_the_operators_of_the_table_are_written_as_the_command_takes_them():
    assert all(operators.WRITTEN.fullmatch(operator) for operator in operators.OPERATORS)


@pytest.mark.parametrize("part", parts.PARTS)
def test_parts_keep_the_sizes_of_a_network(part):
    function, shapes = parts.PARTS[part]
    images = [jax.ShapeDtypeStruct((2, *shape), jnp.bfloat16) for shape in shapes]
    weights = ()
    if part in parts._WITH_WEIGHTS:
        function, weights = function(*images)
    results = jax.tree.leaves(jax.eval_shape(function, *weights, *images))
    size = (parts.ROWS, parts.COLUMNS)
    expected = {
        "pool_2": {(size[0] // 2, size[1] // 2)},
        "pool_8": {(size[0] // 8, size[1] // 8)},
        "lite_blocks": {size, (size[0] // 2, size[1] // 2)},
        "csw_blocks": {size, (size[0] // 2, size[1] // 2)},
        "global_avg_pool": {(1, 1)},
        "light_residuals": {(224, 224)},
        "channel_exchange": {(112, 112), (56, 56), (28, 28), (14, 14)},
    }
    assert {x.shape[1:3] for x in results if x.ndim == 4} == expected.get(part, {size})


@pytest.mark.slow
def test_the_estimate_of_pooling_for_a_tpu():
    pytest.importorskip("libtpu")
    name, cycles, bound, traffic, _, _ = parts.row(find_target("v5e:1x1"), "pool_2", 128).split()
    # Read and written once, in both passes: one image of 64x48 and one of 32x24, of 20 channels.
    assert (name, traffic) == ("pool_2", f"{2 * 128 * 20 * (64 * 48 + 32 * 24) * 2 / 1e6:.1f}")
    assert float(bound) < float(cycles) < 4 * float(bound)
