"""Training with config.dtype=bfloat16: activations alone are bfloat16, for every task."""

import jax
import jax.numpy as jnp
import pytest

from jaxpose import tasks
from jaxpose.mesh import make_mesh
from jaxpose.plan.step import batch_shapes
from jaxpose.training.setup import make_setup
from tests.helpers import tiny_runs

HERE = "tests.helpers.tiny_runs"
NETWORKS = [
    (tiny_runs.config, f"{HERE}:TinyHeatmaps"),
    (tiny_runs.crowd_config, f"{HERE}:TinyPose"),
    pytest.param(tiny_runs.config, "hwl_mobilenetv3", marks=pytest.mark.slow),
    pytest.param(tiny_runs.crowd_config, "wlitepose_xs", marks=pytest.mark.slow),
    pytest.param(tiny_runs.fields_config, "lightweight_openpose", marks=pytest.mark.slow),
]


def equations(jaxpr):
    """All equations, those of inner functions included."""
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else [value]:
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    yield from equations(inner)


def dtypes(tree):
    return {str(x.dtype) for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)}


@pytest.mark.parametrize("make,model", NETWORKS)
def test_all_but_activations_is_float32(make, model, tmp_path):
    config = make(tmp_path, model=model, dtype="bfloat16", ema_decay=0.9)
    tasks.validate(config, devices=1)
    setup = make_setup(config, 17, 10.0, 100)
    batch = {key: jax.ShapeDtypeStruct(*shape) for key, shape in batch_shapes(setup, 17).items()}
    before = setup.shapes
    after, metrics = jax.eval_shape(setup.make_step(make_mesh(jax.devices()[:1])), before, batch)
    for name in ("params", "batch_stats", "opt_state", "ema", "window"):
        assert dtypes(getattr(after, name)) == {"float32"}, name
    assert jax.tree.map(lambda x: x.dtype, after) == jax.tree.map(lambda x: x.dtype, before)
    assert dtypes(metrics) == {"float32"}

    loss = setup.objective.loss
    inputs = (before.params, before.batch_stats, batch, jax.eval_shape(lambda: jax.random.key(0)))
    results = jax.eval_shape(jax.value_and_grad(loss, has_aux=True), *inputs)
    assert dtypes(results) == {"float32"}  # loss, its terms, statistics and gradients
    outputs: dict[str, set[str]] = {}
    for equation in equations(jax.make_jaxpr(loss)(*inputs).jaxpr):
        for output in equation.outvars:
            outputs.setdefault(equation.primitive.name, set()).add(str(output.aval.dtype))
    assert "bfloat16" in outputs["conv_general_dilated"]
    # Statistics of batch norm, global pooling and the loss add in float32.
    assert "float32" in outputs["reduce_sum"]
    sums = {"reduce_sum", "reduce_window_sum", "cumsum", "dot_general"}
    assert [name for name in sums if "bfloat16" in outputs.get(name, ())] == []
