"""What jaxpose takes of JAX without a promise: first to fail when a release takes it away."""

import importlib
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.test_imports import CHANGING, ROOT, imports

HERE = "jaxpose/jax_api.py"
WEIGHTS = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture(name="api")
def _api():
    """The module, imported late: a name that JAX lacks is then the failure of its own test."""
    return importlib.import_module("jaxpose.jax_api")


@pytest.mark.parametrize("name", sorted(filter(CHANGING.match, imports(ROOT / HERE))))
def test_jax_has_what_no_stable_interface_offers(name):
    module, _, attribute = name.rpartition(".")
    try:
        found = hasattr(importlib.import_module(module), attribute)
    except ImportError:
        found = False
    assert found, f"JAX {jax.__version__} has no {name}: find its successor for {HERE}"


@pytest.mark.parametrize("way", ["make_jaxpr", "trace"])
def test_programs_consist_of_what_they_did(api, way):
    def function(x):
        return jax.jit(jnp.sin)(x) @ WEIGHTS + 1.0

    make = jax.make_jaxpr(function) if way == "make_jaxpr" else jax.jit(function).trace
    program = make(jnp.ones((4, 2)))
    program = program if way == "make_jaxpr" else program.jaxpr
    body, constants = api.body(program)
    needed = {body: ("constvars", "invars", "eqns", "outvars")}
    needed |= {e: ("primitive", "params", "invars", "outvars", "source_info") for e in body.eqns}
    for thing, names in needed.items():
        for name in names:
            assert hasattr(thing, name), (
                f"JAX {jax.__version__}: no {type(thing).__name__}.{name}, which {HERE} and "
                "jaxpose/export/walker.py read"
            )
    assert len(constants) == len(body.constvars)
    assert len(body.invars) == len(body.outvars) == 1


@jax.custom_vjp
def doubled(x):
    return 2 * x


doubled.defvjp(lambda x: (2 * x, None), lambda _, g: (2 * g,))


def every_kind(x, unused):
    """Constants, literals, calls, derivatives of their own, several outputs, unused results."""
    _ = jnp.tanh(unused) @ unused.T
    largest, where = jax.lax.top_k(jax.jit(jnp.sin)(x) @ WEIGHTS, 2)
    looped, steps = jax.lax.scan(lambda c, w: (c + w.sum(), c * w[0]), 0.5, WEIGHTS)
    chosen = jax.lax.cond(x[0, 0] > 0, jnp.cos, jnp.negative, largest)
    return {
        "input": x,
        "number": 3.0,
        "outputs": (jax.nn.relu(largest) - 1, where, doubled(chosen), looped, steps),
    }


def test_evaluation_gives_what_the_function_does(api):
    x = jax.random.normal(jax.random.key(0), (4, 2))
    unused = jax.ShapeDtypeStruct((3, 2), jnp.float32)
    program, structure = jax.make_jaxpr(every_kind, return_shape=True)(x, unused)
    wanted = every_kind(x, jnp.ones((3, 2)))
    for function in (api.evaluate, jax.jit(api.evaluate, static_argnums=(0, 2))):
        found = jax.tree.unflatten(jax.tree.structure(structure), function(program, x, unused))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), found, wanted)


def test_evaluation_holds_no_array_longer_than_needed(api, monkeypatch):
    def chain(x):
        for number in range(20):
            x = x * number - 1
        return x

    program = jax.make_jaxpr(chain)(jnp.ones(3))
    apply, counts = api.apply, []

    def counting(*args):
        counts.append(len(jax.live_arrays()))
        return apply(*args)

    monkeypatch.setattr(api, "apply", counting)
    api.evaluate(program, jnp.ones(3))
    assert len(counts) == 40
    assert max(counts) - counts[0] <= 2


def test_inner_programs_are_found_and_named_by_their_scope(api):
    def function(x):
        with jax.named_scope("outer"), jax.named_scope("inner"):
            x = jax.jit(jnp.sin)(x)
        x, _ = jax.lax.scan(lambda c, _: (jnp.cos(c), None), x, length=3)
        return jax.lax.cond(x > 0, jnp.tanh, jnp.exp, x)

    found = {}
    for equation in api.equations(jax.make_jaxpr(function)(0.5)):
        for inner in api.inner_programs(equation):
            found |= {e.primitive.name: api.scope(equation) for e in api.equations(inner)}
    assert found.pop("sin") == "outer/inner"
    assert found == {"cos": "", "tanh": "", "exp": ""}


@pytest.mark.parametrize(
    "name, args, options",
    [
        ("process_allgather", (np.arange(3),), {"tiled": True}),
        ("sync_global_devices", ("a name",), {}),
        ("forget_compilation_cache", (), {}),
    ],
)
def test_functions_are_called_as_they_were(api, name, args, options):
    """tests/training/test_hosts.py runs them on several hosts."""
    try:
        inspect.signature(getattr(api, name)).bind(*args, **options)
    except TypeError as error:
        pytest.fail(f"JAX {jax.__version__}: {HERE}: {name}: {error}")


def test_another_compilation_cache_is_used_once_the_first_is_forgotten(api, tmp_path):
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    try:
        for number in range(2):
            folder = tmp_path / str(number)
            for name, value in zip(names, (str(folder), 0), strict=True):
                jax.config.update(name, value)
            api.forget_compilation_cache()
            jax.jit(lambda x, number=number: jnp.sin(x) + number)(jnp.ones(3)).block_until_ready()
            assert any(folder.iterdir())
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
        api.forget_compilation_cache()
