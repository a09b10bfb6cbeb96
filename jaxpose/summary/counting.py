"""Counts parameters and multiply-adds in the jaxpr of a model.

The numbers in a paper depend on the tool that counted. The conventions (`CONVENTIONS`):
  true: multiply-adds of convolutions, including 1-D convolutions over channels, of linear layers
    and of products of two activations, as in attention; transposed convolutions at their input
    positions. Nothing else. Exact integers.
  mmcv: "FLOPs" of mmcv's counter, which pose papers print as "GFLOPs": the above, plus one per
    output element of a bias, two per element of a batch norm, one per element of ReLU and ReLU6,
    one per input element of a pooling. Other activations and additions are free.
  mmengine: "FLOPs" of MMEngine's counter, in RTMPose's tables: as true, plus two per element of a
    batch norm and one per input element of a mean over the image. Everything else is free.
  ptflops: "MACs" of the older counter in LitePose's code: as true, but transposed convolutions at
    their output positions (four times too many at stride 2), plus two per element of a batch norm,
    one per element of any activation, one per input element of a pooling. Biases, resizing and
    additions are free.
  hrnet: "GFLOPs" of the summary in HRNet's code: as true, but transposed convolutions at their
    output positions, in units of 2^30. It counts modules per call, so the parameters of a module
    that runs twice (CBAM's shared layers) count twice, and those of a block whose class is called a
    convolution (EfficientNet's MBConv) count once more with the block.
  higher: as hrnet, in units of 1e9, as in HigherHRNet's tables.
  torchstat: the counter in Lite-HRNet's code: convolutions with their biases, two per element of a
    batch norm, one per element of ReLU and ReLU6, one per pixel (of all channels) of a map that a
    fusion enlarges, (H+1)(W+1) per mean or maximum over an image. Transposed and 1-D convolutions
    and other activations are free, and so are functions in the public code: other resizing and
    pooling. If a module applies ReLUs itself, as a residual block does, only the last one counts.
    In units of 2^30.
  torchstat1000: as torchstat, in units of 1000 * 2^20, as in Lite CSW-HRNet's tables.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxpose import jax_api, models, ops


class Convention(NamedTuple):
    """The fields of a `Count` that a convention prints, and its value of 1 G."""

    cost: str
    params: str = "params"
    giga: float = 1e9


CONVENTIONS = {
    "true": Convention("macs"),
    "mmcv": Convention("mmcv"),
    "mmengine": Convention("mmengine"),
    "ptflops": Convention("ptflops"),
    "hrnet": Convention("hrnet", "called_params", 2**30),
    "higher": Convention("hrnet", "called_params"),
    "torchstat": Convention("torchstat", giga=2**30),
    "torchstat1000": Convention("torchstat", giga=1000 * 2**20),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Costs:
    """Exact integers for one image.

    `macs` is the cost in the convention true; other costs are named by their convention.
    `called_params` counts the parameters of a module once per call.
    """

    params: int
    called_params: int
    macs: int
    mmcv: int
    mmengine: int
    ptflops: int
    hrnet: int
    torchstat: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage(Costs):
    """One row: a module, or the modules of a numbered series, with its output shape (H, W, C)."""

    name: str
    output: tuple[int, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Count(Costs):
    """A whole network."""

    name: str
    input_size: tuple[int, int]
    num_keypoints: int
    stages: tuple[Stage, ...]

    def printed(self, convention: str) -> tuple[float, float]:
        """(parameters in millions, cost in G) as printed by papers with this convention."""
        cost, params, giga = CONVENTIONS[convention]
        return getattr(self, params) / 1e6, getattr(self, cost) / giga


class Operator(NamedTuple):
    """A named operator of the jaxpr, with the path of its module."""

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
      model: a name as `jaxpose.create_model` takes it, or a built module.
      input_size: (H, W).
      num_keypoints: K; a built module has its own.
      **overrides: as for `jaxpose.create_model`; only with a name.

    Returns:
      Exact counts at batch size 1.

    >>> result = count("hwl_mobilenetv3", input_size=(256, 192))
    >>> result.params, result.macs
    (3077882, 558997088)
    """
    if isinstance(model, nn.Module):
        if overrides:
            raise ValueError("overrides need the name of a model, not a built module")
        num_keypoints = getattr(model, "num_keypoints", num_keypoints)
        return _count(model, input_size, num_keypoints, depth=2)
    # `jaxpose models` needs the same counts repeatedly, and tracing a large network takes seconds.
    # The constructor is part of the key, because a name can be registered again.
    constructor = models.find(model).constructor
    options = repr(sorted(overrides.items()))
    key = (model, constructor, tuple(input_size), num_keypoints, options)
    if key not in _counted:
        built = models.create_model(model, num_keypoints, **overrides)
        _counted[key] = _count(built, input_size, num_keypoints, depth=2)
    return _counted[key]


_counted: dict[tuple, Count] = {}
# Parameters first; the others are summed over operators.
_NUMBERS = tuple(field.name for field in dataclasses.fields(Costs))


def stages(
    model: str | nn.Module,
    input_size: tuple[int, int] = (256, 192),
    num_keypoints: int = 17,
    depth: int = 2,
    **overrides: Any,
) -> tuple[Stage, ...]:
    """Counts by module path, cut to `depth` names, in order of execution.

    Modules that differ in the number at the end of the path (`layer2_0`, `layer2_1`) share one row.
    """
    if not isinstance(model, nn.Module):
        model = models.create_model(model, num_keypoints, **overrides)
    return _count(model, input_size, num_keypoints, depth).stages


def _count(model: nn.Module, input_size: tuple[int, int], num_keypoints: int, depth: int) -> Count:
    variables, calls, outputs, operators = _trace(model, input_size)
    biased = set()
    rows: dict[str, list[int]] = collections.defaultdict(lambda: [0] * len(_NUMBERS))
    for keys, leaf in jax.tree_util.tree_leaves_with_path(variables["params"]):
        *path, name = (key.key for key in keys)
        if name == "bias":
            biased.add(tuple(path))
        row, size = rows[_row(path, depth)], math.prod(leaf.shape)
        row[0] += size
        row[1] += size * calls[tuple(path)]
    shape = {_row(path, depth): output for path, output in outputs.items() if len(path) == depth}
    order: dict[str, tuple[int, ...]] = {}
    activated: dict[tuple[str, ...], int] = {}
    for operator in operators:
        row_name = _row(operator.path, depth)
        order[row_name] = shape.get(row_name, operator.output[1:])
        macs, has_bias = multiply_adds(operator), operator.path in biased
        torchstat = _torchstat(operator, has_bias)
        if operator.name == "activation" and torchstat:
            earlier, activated[operator.path] = activated.get(operator.path, 0), torchstat
            torchstat -= earlier
        costs = (
            macs,
            macs + _mmcv_extra(operator, has_bias),
            macs + _mmengine_extra(operator),
            _ptflops(operator),
            _at_output(operator),
            torchstat,
        )
        rows[row_name][2:] = map(sum, zip(rows[row_name][2:], costs, strict=True))
    # Parameters that are unused outside training are still in the table.
    names = [*order, *(name for name in rows if name not in order)]
    table = tuple(
        Stage(name=name, output=order.get(name, ()), **dict(zip(_NUMBERS, rows[name], strict=True)))
        for name in names
    )
    totals = [sum(column) for column in zip(*rows.values(), strict=True)]
    height, width = input_size
    return Count(
        name=type(model).__name__,
        input_size=(height, width),
        num_keypoints=num_keypoints,
        stages=table,
        **dict(zip(_NUMBERS, totals, strict=True)),
    )


def multiply_adds(operator: Operator) -> int:
    """Multiply-adds of one operator in the convention true."""
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
        case "linear":
            return math.prod(operator.output) * operator.shapes[1][0]
        case "dynamic_conv":  # as a convolution with the mixed kernel
            return math.prod(operator.output) * math.prod(operator.shapes[2][1:4])
    return 0


_POOLING = {"max_pool", "avg_pool", "adaptive_avg_pool", "global_avg_pool", "global_max_pool"}


def _mmcv_extra(operator: Operator, biased: bool) -> int:
    """Cost that mmcv's counter adds to the multiply-adds of one operator."""
    if operator.name == "batch_norm":
        return 2 * math.prod(operator.output)
    if operator.name == "activation" and operator.statics["kind"] in ("relu", "relu6"):
        return math.prod(operator.output)
    if operator.name in _POOLING:
        return math.prod(operator.shapes[0])
    return math.prod(operator.output) if biased and multiply_adds(operator) else 0


def _mmengine_extra(operator: Operator) -> int:
    """Cost that MMEngine's counter adds to the multiply-adds of one operator."""
    if operator.name == "batch_norm":
        return 2 * math.prod(operator.output)
    return math.prod(operator.shapes[0]) if operator.name == "global_avg_pool" else 0


def _at_output(operator: Operator) -> int:
    """Multiply-adds, with transposed convolutions at their output positions."""
    if operator.name in ("conv_transpose", "depthwise_conv_transpose"):
        return math.prod(operator.output) * math.prod(operator.shapes[1][:3])
    return multiply_adds(operator)


def _ptflops(operator: Operator) -> int:
    """Cost of one operator in the older ptflops."""
    if operator.name == "batch_norm":
        return 2 * math.prod(operator.output)
    if operator.name == "activation":
        return math.prod(operator.output)
    if operator.name in _POOLING:
        return math.prod(operator.shapes[0])
    return _at_output(operator)


def _torchstat(operator: Operator, biased: bool) -> int:
    """Cost of one operator in torchstat."""
    match operator.name:
        case "batch_norm":
            return 2 * math.prod(operator.output)
        case "activation":
            counted = operator.statics["kind"] in ("relu", "relu6")
            return math.prod(operator.output) if counted else 0
        case "resize" if re.search(r"stage\d+_\d+$", "/".join(operator.path)):  # in a fusion
            return math.prod(operator.output[:3])
        case "global_avg_pool" | "global_max_pool":
            batch, height, width, channels = operator.shapes[0]
            return batch * (height + 1) * (width + 1) * channels
        case "conv_transpose" | "depthwise_conv_transpose" | "channel_conv1d":
            return 0
    macs = multiply_adds(operator)
    return macs + math.prod(operator.output) if biased and macs else macs


def _row(path: tuple[str, ...] | list[str], depth: int) -> str:
    name = "/".join(path[:depth])
    return re.sub(r"_\d+$", "", name) if len(path) >= depth else name


# Blocks whose class in the public code has "Conv" in its name.
_SEEN_WHOLE = {"MBConv"}


def _trace(
    model: nn.Module, input_size: tuple[int, int]
) -> tuple[Any, collections.Counter, dict[tuple[str, ...], tuple[int, ...]], list[Operator]]:
    """Traces `model.init` with train=False at batch 1, which also runs the inference network.

    Returns:
      Abstract variables; by module path, how often HRNet's summary counts its parameters; by module
      path, its output shape (H, W, C); all operators.
    """
    calls: collections.Counter[tuple[str, ...]] = collections.Counter()
    blocks: set[tuple[str, ...]] = set()
    outputs: dict[tuple[str, ...], tuple[int, ...]] = {}

    def record(method, args, kwargs, context):
        result = method(*args, **kwargs)
        if context.method_name == "__call__":
            calls[context.module.path] += 1
            if type(context.module).__name__ in _SEEN_WHOLE:
                blocks.add(context.module.path)
            if hasattr(result, "shape"):
                outputs[context.module.path] = tuple(result.shape[1:])
        return result

    def initialize(key, images):
        with nn.intercept_methods(record):
            return model.init(key, images, train=False)

    images = jax.ShapeDtypeStruct((1, *input_size, 3), jnp.float32)
    program, variables = jax.make_jaxpr(initialize, return_shape=True)(jax.random.key(0), images)
    for path in calls:
        calls[path] += sum(path[:n] in blocks for n in range(len(path)))
    return variables, calls, outputs, list(_walk(program))


def _walk(program: Any, outer: str = "") -> Iterator[Operator]:
    for equation in jax_api.equations(program):
        scope = "/".join(filter(None, (outer, jax_api.scope(equation))))
        named = ops.parse(str(equation.params.get("name", "")))
        if named is not None:
            shapes = tuple(tuple(v.aval.shape) for v in equation.invars)
            output = tuple(equation.outvars[0].aval.shape)
            # The first name is the root module's class.
            yield Operator(*named, shapes, output, tuple(scope.split("/")[1:]))
            continue
        plain = _plain_layer(equation, tuple(scope.split("/")[1:]))
        if plain is not None:
            yield plain
        for inner in jax_api.inner_programs(equation):
            yield from _walk(inner, scope)


def _plain_layer(equation: Any, path: tuple[str, ...]) -> Operator | None:
    """A plain convolution or product of matrices as an operator; else None.

    The shape of its weights is that of named operators: [h,w,Cin,features] or [Cin,features]. A
    product of two activations counts as a linear layer whose weights are the second one.
    """
    if equation.primitive.name not in ("conv_general_dilated", "dot_general"):
        return None
    inputs, weights = (tuple(value.aval.shape) for value in equation.invars)
    output = tuple(equation.outvars[0].aval.shape)
    numbers = equation.params["dimension_numbers"]
    if equation.primitive.name == "conv_general_dilated":
        features, channels, *spatial = numbers.rhs_spec
        weights = tuple(weights[axis] for axis in (*spatial, channels, features))
        transposed = max(equation.params["lhs_dilation"]) > 1
        return Operator(
            "conv_transpose" if transposed else "conv", {}, (inputs, weights), output, path
        )
    (_, contracted), _ = numbers
    channels = math.prod(weights[axis] for axis in contracted)
    return Operator("linear", {}, (inputs, (channels, output[-1])), output, path)
