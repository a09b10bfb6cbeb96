"""Names of operators, and the choice of their implementation.

Every operator is traced under a ``jax.jit`` whose name is ``op:<name>|<static arguments as
JSON>``. XLA inlines these calls and differentiation passes through them, so they cost nothing. They
make the jaxpr of a model a short list of recognizable equations, which summary and export read
(`parse`).

An operator may have two forms: the native one (XLA's own convolution, pooling, ...), which suits
accelerators, and a fast one for CPU; some have a third one for TPU. ``auto`` leaves the choice to
the lowering (``lax.platform_dependent``); ``fast`` and ``lax`` force the fast and the native form,
for tests and comparisons.
"""

import contextlib
import functools
import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax import lax

PREFIX = "op:"
IMPLEMENTATIONS = ("auto", "fast", "lax")
NAMES = (
    "conv",
    "depthwise_conv",
    "grouped_conv",
    "conv_transpose",
    "depthwise_conv_transpose",
    "batch_norm",
    "batch_norm_train",
    "activation",
    "channel_shuffle",
    "max_pool",
    "avg_pool",
    "adaptive_avg_pool",
    "resize",
    "global_avg_pool",
    "global_max_pool",
    "channel_mean",
    "channel_max",
    "channel_conv1d",
    "dynamic_conv",
    "spatial_softmax",
)


def _checked(name: str) -> str:
    if name not in IMPLEMENTATIONS:
        raise ValueError(f"ops implementation {name!r}: choose one of {', '.join(IMPLEMENTATIONS)}")
    return name


_current = _checked(os.environ.get("JAXPOSE_OPS", "auto"))


def set_implementation(name: str) -> None:
    """Choose the form of every operator traced from now on: ``auto``, ``fast`` or ``lax``.

    The choice is read when an operator is traced; a function that an outer ``jax.jit`` has already
    traced keeps the form it was traced with. The environment variable ``JAXPOSE_OPS`` gives the
    initial value; train.py and eval.py set it to ``config.ops``.
    """
    global _current
    _current = _checked(name)


def get_implementation() -> str:
    """The form of the operators that are traced now."""
    return _current


@contextlib.contextmanager
def implementation(name: str) -> Iterator[None]:
    """`set_implementation` for the body of a ``with`` statement."""
    before = _current
    set_implementation(name)
    try:
        yield
    finally:
        set_implementation(before)


def parse(name: str) -> tuple[str, dict[str, Any]] | None:
    """Decode the name of a jitted call.

    Returns:
      (operator, static arguments), or None for a name that is not an operator's.
    """
    if not name.startswith(PREFIX):
        return None
    op, _, statics = name[len(PREFIX) :].partition("|")
    if op not in NAMES:
        return None
    return op, json.loads(statics)


@functools.cache
def _jitted(body: Callable, name: str) -> Callable:
    parsed = parse(name)
    assert parsed is not None, name
    _, statics = parsed

    def op(*arrays):
        return body(*arrays, **statics)

    op.__name__ = op.__qualname__ = name
    return jax.jit(op)


def call(body: Callable, *arrays: jax.Array, **statics: Any) -> Any:
    """Trace ``body(*arrays, impl=..., **statics)`` under the name of its operator.

    ``body`` is called ``_<operator>``; ``statics`` must survive JSON (numbers, strings, lists).
    """
    op = body.__name__.removeprefix("_")
    statics["impl"] = _current
    name = f"{PREFIX}{op}|{json.dumps(statics, sort_keys=True, separators=(',', ':'))}"
    return _jitted(body, name)(*same_mesh_axes(arrays))


def same_mesh_axes(arrays: tuple[jax.Array, ...]) -> list[jax.Array]:
    """Mark all arguments as varying over the union of the mesh axes that any of them varies over.

    Inside ``jax.shard_map`` a replicated weight meets a sharded activation. JAX inserts this cast
    by itself, except in front of a custom gradient; its transpose is the sum of the weight's
    gradient over the devices.
    """
    operands = [jax.numpy.asarray(a) for a in arrays]
    varying = [jax.typeof(a).manual_axis_type.varying for a in operands]
    union = frozenset().union(*varying)
    return [
        lax.pcast(a, tuple(union - axes), to="varying") if union - axes else a
        for a, axes in zip(operands, varying, strict=True)
    ]


def select(
    impl: str, fast: Callable, native: Callable, *args: jax.Array, tpu: Callable | None = None
) -> Any:
    """Call ``fast`` or ``native``; for ``auto``, fast on CPU, tpu on TPU, and native elsewhere.

    ``tpu`` is None where TPUs use the native form.
    """
    if impl == "lax":
        return native(*args)
    if impl == "fast":
        return fast(*args)
    return lax.platform_dependent(*args, cpu=fast, tpu=tpu or native, default=native)


def gradients_of(function: Callable) -> Callable:
    """JAX's own gradients of a form, as `with_gradient` takes them: (*args, g) -> gradients."""

    def gradients(*args_and_g):
        *args, g = args_and_g
        return jax.vjp(function, *args)[1](g)

    return gradients


def with_gradient(
    impl: str,
    native: Callable,
    fast: Callable | None,
    fast_vjp: Callable,
    tpu: tuple[Callable, Callable] | None = None,
) -> Callable:
    """A function of arrays that runs one of its forms, as `select` does; all support reverse mode.

    ``fast_vjp(*args, g)`` returns the gradients of ``args``; ``fast`` is None where only the
    gradients have two forms. ``tpu`` is a pair of such functions, or None where TPUs use the native
    form. Only the arguments are kept for the backward pass. The platform is chosen once for the
    forward and once for the backward pass, because branches of ``platform_dependent`` cannot carry
    different residuals.
    """
    if impl == "lax":
        return native
    tpu_value, tpu_vjp = tpu or (None, None)

    native_vjp = gradients_of(native)

    @jax.custom_vjp
    def op(*args):
        if fast or tpu:
            return select(impl, fast or native, native, *args, tpu=tpu_value)
        return native(*args)

    def forward(*args):
        return op(*args), args

    def backward(args, g):
        return select(impl, fast_vjp, native_vjp, *args, g, tpu=tpu_vjp)

    op.defvjp(forward, backward)
    return op


def linear(impl: str, native: Callable, tpu: Callable, x: jax.Array) -> jax.Array:
    """A linear function of ``x`` with a form for TPU, where ``impl`` is auto; else ``native``.

    It keeps nothing for the backward pass. JAX's own gradient of a choice by platform keeps which
    branch was taken, and in a scan, an array of that.
    """
    if impl != "auto":
        return native(x)

    def transposed(form):
        def transpose(g):
            like_x, g = same_mesh_axes((jax.numpy.zeros(x.shape, x.dtype), g))
            return jax.vjp(form, like_x)[1](g)[0]

        return transpose

    @jax.custom_vjp
    def op(x):
        return select(impl, native, native, x, tpu=tpu)

    def backward(_, g):
        return (select(impl, transposed(native), transposed(native), g, tpu=transposed(tpu)),)

    op.defvjp(lambda x: (op(x), None), backward)
    return op(x)
