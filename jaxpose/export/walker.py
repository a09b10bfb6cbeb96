"""From a Flax model to the graph of `jaxpose.export.graph`, by walking the jaxpr of the model.

The model is traced once with abstract arrays. Every value is either a constant (a parameter, a
batch statistic or a value computed from these, with its Flax path) or a tensor that depends on the
image. Named operators (`jaxpose.ops`) are recognized by the name of their `jit` and kept whole;
other calls are inlined. Broadcasts are lazy: along broadcast axes, a tensor or constant may have
length 1 where its shape in the jaxpr is larger, because both targets broadcast.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxpose import jax_api, ops
from jaxpose.export.graph import Const, ExportError, Graph, Node, Tensor, drop_unused
from jaxpose.export.layout import BATCH, TO_NCHW, TO_NHWC, from_target, to_target
from jaxpose.export.named import convert
from jaxpose.export.primitives import PRIMITIVES

_BINARY = {
    "add": np.add,
    "add_any": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "max": np.maximum,
    "min": np.minimum,
}
_UNARY = ("neg", "exp", "log", "sqrt", "abs", "tanh", "erf")
_CALLS = (
    "jit",
    "pjit",
    "closed_call",
    "core_call",
    "custom_jvp_call",
    "custom_vjp_call",
    "custom_vjp_call_jaxpr",
    "remat",
    "remat2",
    "checkpoint",
)
_PASS = (
    "copy",
    "copy_p",
    "stop_gradient",
    "optimization_barrier",
    "reduce_precision",
    "sharding_constraint",
)

Value = Tensor | Const


def trace(
    model: nn.Module,
    variables: dict,
    input_size: tuple[int, int],
    decode: Callable[[Any], Any] | None = None,
) -> Graph:
    """The inference graph of `model` for images of `input_size` (H, W), in float32, not folded.

    With `decode`, the graph continues with this function of the outputs, written in jax.

    Raises:
      ExportError: the model uses a primitive or operator that is not supported; the message names
        it and its module.
    """
    if hasattr(model, "dtype"):
        model = model.clone(dtype=jnp.float32)
    leaves, treedef = jax.tree_util.tree_flatten_with_path(variables)
    paths = [tuple(key.key for key in path) for path, _ in leaves]
    arrays = [np.asarray(leaf) for _, leaf in leaves]

    def apply(values, image):
        outputs = model.apply(jax.tree_util.tree_unflatten(treedef, values), image, train=False)
        return decode(outputs) if decode else outputs

    image = jax.ShapeDtypeStruct((BATCH, *input_size, 3), jnp.float32)
    shapes = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in arrays]
    program, output_shapes = jax.make_jaxpr(apply, return_shape=True)(shapes, image)

    walker = _Walker(type(model).__name__)
    source = Tensor("image", (BATCH, 3, *input_size))
    args: list[Value] = [Const(a, p) for a, p in zip(arrays, paths, strict=True)] + [source]
    results = walker.walk(program, args, "")
    outputs = []
    for i, (output, value) in enumerate(zip(jax.tree.leaves(output_shapes), results, strict=True)):
        if isinstance(value, Const):
            raise ExportError(f"output {i} of the model does not depend on the image")
        name = "heatmaps" if i == 0 else f"heatmaps_{i}"
        outputs.append((name, walker.full(value, output.shape, "")))
    return drop_unused(Graph(source, outputs, walker.nodes))


class _Walker:
    """Collects nodes; `walk` evaluates a jaxpr over constants and tensors."""

    def __init__(self, model_name: str):
        self.nodes: list[Node] = []
        self._model_name = model_name
        self._producer: dict[str, Node] = {}
        self._names: dict[str, int] = {}

    # -- making nodes ------------------------------------------------------------------------

    def emit_many(self, op: str, inputs, shapes, module: str, **attrs) -> list[Tensor]:
        outputs = []
        for shape in shapes:
            base = f"{module}/{op}".strip("/").replace("/", ".")
            count = self._names[base] = self._names.get(base, -1) + 1
            outputs.append(Tensor(f"{base}_{count}" if count else base, tuple(map(int, shape))))
        node = Node(op, tuple(inputs), tuple(outputs), attrs, module)
        self.nodes.append(node)
        self._producer.update({out.name: node for out in outputs})
        return outputs

    def emit(self, op: str, inputs, shape, module: str, **attrs) -> Tensor:
        return self.emit_many(op, inputs, [shape], module, **attrs)[0]

    def full(self, x: Tensor, shape: Sequence[int], module: str) -> Tensor:
        """`x` broadcast to `shape`, its shape in the jaxpr."""
        target = to_target(shape)
        return x if x.shape == target else self.emit("expand", [x], target, module)

    def reshape(self, x: Tensor, shape: tuple[int, ...], module: str) -> Tensor:
        """Reshape in the target's axis order, merged with a directly preceding reshape."""
        before = self._producer.get(x.name)
        if before is not None and before.op == "reshape" and isinstance(before.inputs[0], Tensor):
            x = before.inputs[0]
        return x if x.shape == shape else self.emit("reshape", [x], shape, module)

    def transpose(self, x: Tensor, perm: Sequence[int], module: str) -> Tensor:
        """Transpose in the target's axis order; a reshape if only axes of length 1 move."""
        shape = tuple(x.shape[p] for p in perm)
        moving = [p for p in perm if x.shape[p] != 1]
        if moving == sorted(moving):
            return self.reshape(x, shape, module)
        return self.emit("transpose", [x], shape, module, perm=tuple(perm))

    def relayout(self, x: Tensor, perm: Sequence[int], new_shape, module: str) -> Tensor:
        """transpose(perm), then reshape(new_shape), both in the jaxpr's axis order."""
        order = TO_NHWC if len(x.shape) == 4 else tuple(range(len(x.shape)))
        y = self.transpose(x, [order[p] for p in perm], module)
        y = self.reshape(y, tuple(map(int, new_shape)), module)
        return self.transpose(y, TO_NCHW, module) if len(new_shape) == 4 else y

    # -- walking -----------------------------------------------------------------------------

    def walk(self, program, args: Sequence[Value], outer: str) -> list[Value]:
        jaxpr, consts = jax_api.body(program)
        env: dict = dict(zip(jaxpr.constvars, (Const(np.asarray(c)) for c in consts), strict=True))
        env.update(zip(jaxpr.invars, args, strict=True))

        def read(var) -> Value:
            return Const(np.asarray(var.val)) if jax_api.literal(var) else env[var]

        for eqn in jaxpr.eqns:
            module = self._module(outer, jax_api.scope(eqn))
            values = self._equation(eqn, [read(v) for v in eqn.invars], module)
            env.update(zip(eqn.outvars, values, strict=True))
        return [read(v) for v in jaxpr.outvars]

    def _module(self, outer: str, inner: str) -> str:
        path = "/".join(part for part in (outer, inner) if part)
        return path.removeprefix(self._model_name).strip("/") if not outer else path

    def _equation(self, eqn, args: list[Value], module: str) -> list[Value]:
        name = eqn.primitive.name
        shapes = [var.aval.shape for var in eqn.invars]
        if name in _PASS:
            return args
        if name == "broadcast_in_dim":
            return [self._broadcast(eqn, args[0], module)]
        constants = [a for a in args if isinstance(a, Const)]
        constant = len(constants) == len(args)
        if name in _CALLS:
            inner = next(
                eqn.params[key] for key in ("jaxpr", "call_jaxpr", "fun_jaxpr") if key in eqn.params
            )
            named = ops.parse(eqn.params.get("name", ""))
            if named is None:
                return self.walk(inner, args, module)
            if not constant:
                full = [
                    self.full(a, s, module) if isinstance(a, Tensor) else a
                    for a, s in zip(args, shapes, strict=True)
                ]
                return [convert(self.emit, named, full, eqn.outvars[0].aval.shape, module)]
        if constant:
            return _evaluate(eqn, constants)
        if name in _BINARY or name in _UNARY:
            return [self._elementwise(eqn, name, args, module)]
        if name == "convert_element_type":
            if not jnp.issubdtype(eqn.params["new_dtype"], jnp.floating):
                raise ExportError(
                    f"{module}: conversion of a tensor to "
                    f"{eqn.params['new_dtype']} cannot be exported"
                )
            return args
        handler = PRIMITIVES.get(name)
        if handler is None:
            raise ExportError(
                f"cannot export primitive {name!r} in module "
                f"{module or self._model_name!r}: write the model with jaxpose.ops, "
                "or add the primitive to jaxpose.export.primitives"
            )
        full = [
            self.full(a, s, module) if isinstance(a, Tensor) else a
            for a, s in zip(args, shapes, strict=True)
        ]
        results = handler(self, eqn, full, module)
        return results if isinstance(results, list) else [results]

    def _broadcast(self, eqn, x: Value, module: str) -> Value:
        shape, axes = eqn.params["shape"], eqn.params["broadcast_dimensions"]
        sizes = x.shape if isinstance(x, Const) else from_target(x.shape)
        small = [1] * len(shape)
        for i, axis in enumerate(axes):
            small[axis] = sizes[i]
        if isinstance(x, Const):
            return Const(x.array.reshape(small), x.path)
        if axes[:1] != (0,):
            raise ExportError(f"{module}: a broadcast of the batch axis cannot be exported")
        return self.relayout(x, range(len(x.shape)), small, module)

    def _elementwise(self, eqn, name: str, args: list[Value], module: str) -> Tensor:
        if name in _UNARY:
            return self.emit("unary", args, args[0].shape, module, kind=name)
        inputs: list[Value] = []
        for a in args:
            if isinstance(a, Const):
                array = a.array.astype(np.float32)
                array = array.reshape(()) if array.size == 1 else array
                array = array.transpose(TO_NCHW) if array.ndim == 4 else array
                a = Const(array, a.path)
            inputs.append(a)
        kind = name.removesuffix("_any")
        if kind in ("add", "mul", "max", "min") and isinstance(inputs[0], Const):
            inputs.reverse()  # commutative: the tensor first
        shape = np.broadcast_shapes(*(a.shape for a in inputs))
        other = inputs[1]
        if kind == "max" and isinstance(other, Const) and other.shape == () and other.array == 0:
            return self.emit("activation", inputs[:1], shape, module, kind="relu")
        return self.emit("binary", inputs, shape, module, kind=kind)


def _evaluate(eqn, args: list[Const]) -> list[Value]:
    """Evaluates an equation on constants; results take the path of the first argument with one.

    Constants broadcast lazily, so elementwise functions run on the small arrays.
    """
    path = next((a.path for a in args if a.path), ())
    name = eqn.primitive.name
    if name in _BINARY:
        return [Const(np.asarray(_BINARY[name](*(a.array for a in args))), path)]
    if name in _UNARY or name in ("rsqrt", "logistic", "integer_pow", "convert_element_type"):
        arrays = [a.array for a in args]
    else:
        arrays = [
            np.broadcast_to(a.array, v.aval.shape) for a, v in zip(args, eqn.invars, strict=True)
        ]
    operands = [jnp.asarray(a) for a in arrays]
    if name in _CALLS:  # a named operator on constants
        outs = jax_api.evaluate(eqn.params["jaxpr"], *operands)
    else:
        outs = jax_api.apply(eqn, *operands)
    return [Const(np.asarray(o), path) for o in outs]
