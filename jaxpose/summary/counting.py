"""Counting parameters and multiply-adds on a model's jaxpr.

Three conventions:
  true: multiply-adds of convolutions (1-D ones over channels included), a transposed convolution
    at its input positions; nothing else. Exact integers.
  mmcv: what mmcv's counter prints as "FLOPs", and so the pose papers as "GFLOPs": the above, plus
    one per output element of a bias, two per element of a batch norm, one per element of ReLU and
    ReLU6, one per input element of a pooling. Other activations and additions are free.
  ptflops: what the older counter that LitePose ships prints as "MACs": the true ones, but a
    transposed convolution at its output positions (four times too many at stride 2), plus two per
    element of a batch norm, one per element of any activation, one per input element of a pooling.
    Biases, resizing and additions are free.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxpose import models, ops

CONVENTIONS = ("true", "mmcv", "ptflops")


@dataclasses.dataclass(frozen=True)
class Stage:
    """One row: a module (several, when numbered alike) with its output shape (H, W, C)."""

    name: str
    output: tuple[int, ...]
    params: int
    macs: int
    mmcv: int
    ptflops: int


@dataclasses.dataclass(frozen=True)
class Count:
    """Exact integers for one image. `macs` is the true convention, the others have their name."""

    name: str
    input_size: tuple[int, int]
    num_keypoints: int
    params: int
    macs: int
    mmcv: int
    ptflops: int
    stages: tuple[Stage, ...]


class Operator(NamedTuple):
    """One named operator of the jaxpr, and the module that called it."""

    name: str
    statics: dict[str, Any]
    shapes: tuple[tuple[int, ...], ...]  # of the array arguments
    output: tuple[int, ...]
    path: tuple[str, ...]


def count(
    model: str | nn.Module,
    input_size: tuple[int, int] = (256, 192),
    num_keypoints: int = 17,
    **overrides: Any,
) -> Count:
    """Parameters and multiply-adds of a model for one image.

    Args:
      model: a name of `jaxpose.list_models()` or a built module.
      input_size: (H, W).
      num_keypoints: joints; a built module has its own.
      **overrides: as for `jaxpose.create_model`; with a name only.
    """
    if isinstance(model, nn.Module):
        if overrides:
            raise ValueError("overrides go with a model's name; this model is already built")
        num_keypoints = getattr(model, "num_keypoints", num_keypoints)
    else:
        model = models.create_model(model, num_keypoints, **overrides)
    return _count(model, tuple(input_size), num_keypoints, depth=2)


def stages(
    model: str | nn.Module,
    input_size: tuple[int, int] = (256, 192),
    num_keypoints: int = 17,
    depth: int = 2,
    **overrides: Any,
) -> tuple[Stage, ...]:
    """The rows of `count` by module path cut to `depth` names, in order of execution.

    Repeats that are numbered at the last name shown (`layer2_0`, `layer2_1`) form one row.
    """
    if not isinstance(model, nn.Module):
        model = models.create_model(model, num_keypoints, **overrides)
    return _count(model, tuple(input_size), num_keypoints, depth).stages


def _count(model: nn.Module, input_size: tuple[int, int], num_keypoints: int, depth: int) -> Count:
    variables, outputs, operators = _trace(model, input_size)
    biased, rows = set(), {}
    for keys, leaf in jax.tree_util.tree_leaves_with_path(variables["params"]):
        *path, name = (key.key for key in keys)
        if name == "bias":
            biased.add(tuple(path))
        row = rows.setdefault(_row(path, depth), [0, 0, 0, 0])
        row[0] += math.prod(leaf.shape)
    shape = {_row(path, depth): output for path, output in outputs.items() if len(path) == depth}
    order = {}
    for operator in operators:
        row_name = _row(operator.path, depth)
        order[row_name] = shape.get(row_name, operator.output[1:])
        row = rows.setdefault(row_name, [0, 0, 0, 0])
        macs = multiply_adds(operator)
        row[1] += macs
        row[2] += macs + _mmcv_extra(operator, operator.path in biased)
        row[3] += _ptflops(operator)
    # Parameters that no operator of the eval graph touches still belong in the table.
    names = [*order, *(name for name in rows if name not in order)]
    table = tuple(Stage(name, order.get(name, ()), *rows[name]) for name in names)
    totals = [sum(column) for column in zip(*rows.values(), strict=True)]
    return Count(type(model).__name__, input_size, num_keypoints, *totals, table)


def multiply_adds(operator: Operator) -> int:
    """Multiply-adds of one operator, true convention."""
    match operator.name:
        case "conv" | "depthwise_conv" | "grouped_conv":
            return math.prod(operator.output) * math.prod(operator.shapes[1][:3])
        case "conv_transpose":
            height, width, _, features = operator.shapes[1]
            return math.prod(operator.shapes[0]) * height * width * features
        case "depthwise_conv_transpose":
            return math.prod(operator.shapes[0]) * math.prod(operator.shapes[1][:2])
        case "channel_conv1d":
            return math.prod(operator.shapes[0]) * operator.shapes[1][0]
    return 0


_POOLING = {"max_pool", "avg_pool", "adaptive_avg_pool", "global_avg_pool", "global_max_pool"}


def _mmcv_extra(operator: Operator, biased: bool) -> int:
    """What mmcv's counter adds to the multiply-adds of one operator."""
    if operator.name == "batch_norm":
        return 2 * math.prod(operator.output)
    if operator.name == "activation" and operator.statics["kind"] in ("relu", "relu6"):
        return math.prod(operator.output)
    if operator.name in _POOLING:
        return math.prod(operator.shapes[0])
    return math.prod(operator.output) if biased and multiply_adds(operator) else 0


def _ptflops(operator: Operator) -> int:
    """What the older ptflops charges for one operator."""
    if operator.name in ("conv_transpose", "depthwise_conv_transpose"):
        return math.prod(operator.output) * math.prod(operator.shapes[1][:3])
    if operator.name == "batch_norm":
        return 2 * math.prod(operator.output)
    if operator.name == "activation":
        return math.prod(operator.output)
    if operator.name in _POOLING:
        return math.prod(operator.shapes[0])
    return multiply_adds(operator)


def _row(path: tuple[str, ...] | list[str], depth: int) -> str:
    name = "/".join(path[:depth])
    return re.sub(r"_\d+$", "", name) if len(path) >= depth else name


def _trace(
    model: nn.Module, input_size: tuple[int, int]
) -> tuple[Any, dict[tuple[str, ...], tuple[int, ...]], list[Operator]]:
    """Abstract variables, output shape (H, W, C) of every module by path, operators in order.

    All of them come from one trace, of `model.init` with train=False at batch 1: it runs the
    inference network and makes the variables on the way.
    """
    outputs = {}

    def record(method, args, kwargs, context):
        result = method(*args, **kwargs)
        if context.method_name == "__call__" and hasattr(result, "shape"):
            outputs[context.module.path] = tuple(result.shape[1:])
        return result

    def initialise(key, images):
        with nn.intercept_methods(record):
            return model.init(key, images, train=False)

    images = jax.ShapeDtypeStruct((1, *input_size, 3), jnp.float32)
    jaxpr, variables = jax.make_jaxpr(initialise, return_shape=True)(jax.random.key(0), images)
    return variables, outputs, list(_walk(jaxpr.jaxpr))


def _walk(jaxpr: Any, outer: str = "") -> Iterator[Operator]:
    for equation in jaxpr.eqns:
        scope = "/".join(filter(None, (outer, str(equation.source_info.name_stack))))
        named = ops.parse(str(equation.params.get("name", "")))
        if named is not None:
            shapes = tuple(tuple(v.aval.shape) for v in equation.invars)
            output = tuple(equation.outvars[0].aval.shape)
            # The first name is the root module's class.
            yield Operator(*named, shapes, output, tuple(scope.split("/")[1:]))
            continue
        for value in equation.params.values():
            for inner in value if isinstance(value, (tuple, list)) else (value,):
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    yield from _walk(inner, scope)
