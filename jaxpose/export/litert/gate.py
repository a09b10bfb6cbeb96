"""What the GPU delegate of LiteRT takes, checked before a file is written.

A network with one operator that the delegate refuses is split: parts of it run on the CPU, with
copies between, and the time multiplies. The tables state what the delegate's sources accept
(LiteRT, `gpu_compatibility.cc`, `model_builder.cc` and `operation_selector.cc`): operators, their
versions, ranks and options.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from jaxpose.export.graph import ExportError
from jaxpose.export.litert.program import NO_ACTIVATION, Operator, Program, Value
from jaxpose.export.litert.views import MAX_RANK

ACTIVATIONS = frozenset({NO_ACTIVATION, "RELU", "RELU6", "RELU_N1_TO_1", "TANH"})
# Operators for float values, and the newest version of each that the delegate reads; 1 where it
# does not check, because newer versions are for other types.
VERSIONS = {
    **dict.fromkeys(
        "ABS COS ELU EXP FLOOR GELU LOG LOGISTIC NEG ROUND RSQRT SIGN SIN SQRT SQUARE TANH".split(),
        2,
    ),
    **dict.fromkeys("ADD SUB DIV MAXIMUM MINIMUM POW SQUARED_DIFFERENCE".split(), 2),
    **dict.fromkeys("AVERAGE_POOL_2D MAX_POOL_2D CONCATENATION PAD PADV2 SOFTMAX".split(), 2),
    **dict.fromkeys("RELU RELU6 LEAKY_RELU SLICE".split(), 2),
    **dict.fromkeys("MEAN SUM REDUCE_MAX REDUCE_MIN REDUCE_PROD".split(), 1),
    **dict.fromkeys("DEPTH_TO_SPACE HARD_SWISH PRELU RESHAPE SPLIT SPLIT_V TILE".split(), 1),
    **dict.fromkeys("RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR TRANSPOSE_CONV".split(), 3),
    "BATCH_MATMUL": 1,
    "CONV_2D": 6,
    "DEPTHWISE_CONV_2D": 6,
    "DEQUANTIZE": 3,
    "MUL": 3,
    "SPACE_TO_DEPTH": 2,
    "STRIDED_SLICE": 4,
    "TRANSPOSE": 4,
}
_ONE_OPERAND = frozenset(
    "ABS COS ELU EXP FLOOR GELU HARD_SWISH LOG LOGISTIC NEG RELU RELU6 ROUND RSQRT SIGN SIN SQRT "
    "SQUARE TANH".split()
)
_TWO_OPERANDS = frozenset("ADD SUB MUL DIV MAXIMUM MINIMUM POW SQUARED_DIFFERENCE".split())
_REDUCTIONS = frozenset("MEAN SUM REDUCE_MAX REDUCE_MIN REDUCE_PROD".split())
_NEEDS_RANK_4 = frozenset(
    "AVERAGE_POOL_2D CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE MAX_POOL_2D RESIZE_BILINEAR "
    "RESIZE_NEAREST_NEIGHBOR SPACE_TO_DEPTH TRANSPOSE_CONV".split()
)
_SHOWN = 5  # violations in a message


def check_gpu(program: Program) -> None:
    """Checks that the GPU delegate takes every operator of the program.

    Raises:
      ExportError: it does not; the message names the violations with the modules they are in.
    """
    problems = violations(program)
    if problems:
        shown = "; ".join(problems[:_SHOWN])
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise ExportError(f"the GPU delegate of LiteRT refuses {shown}{more}")


def violations(program: Program) -> list[str]:
    """Every operator and option that the GPU delegate refuses, with its module."""
    # The delegate reads float16 constants through the DEQUANTIZE operators.
    kernels = {x for op in program.operators if op.kind == "DEQUANTIZE" for x in op.outputs}
    return [
        f"{operator.kind} in {operator.module or 'the network'} ({operator.outputs[0].name}): "
        f"{problem}"
        for operator in program.operators
        for problem in _problems(operator, kernels)
    ]


def _problems(operator: Operator, kernels: set[Value]) -> Iterator[str]:
    kind, options = operator.kind, operator.options
    if kind not in VERSIONS:
        yield "not among its operators"
        return
    if operator.version > VERSIONS[kind]:
        yield f"version {operator.version} is newer than {VERSIONS[kind]}"
    runtime = [x for x in operator.inputs if x.data is None and x not in kernels]
    for value in (*runtime, *operator.outputs):
        if not 1 <= len(value.shape) <= MAX_RANK:
            yield f"rank {len(value.shape)}, at most {MAX_RANK} are possible"
        elif len(value.shape) == MAX_RANK and value.shape[0] != 1 and kind != "DEQUANTIZE":
            yield f"batch size {value.shape[0]} of {list(value.shape)}"
    fused = options.get("fusedActivationFunction", NO_ACTIVATION)
    if fused not in ACTIVATIONS or (fused != NO_ACTIVATION and kind == "CONCATENATION"):
        yield f"the fused activation {fused}"
    if kind in _NEEDS_RANK_4:
        yield from _window_problems(operator, runtime)
    elif kind in _ONE_OPERAND:
        if len(operator.inputs) != 1 or len(runtime) != 1:
            yield "needs one operand that is not a constant"
    elif kind in _TWO_OPERANDS:
        yield from _operand_problems(operator, runtime)
    elif kind == "BATCH_MATMUL":
        if len(runtime) != 2 or runtime[0] is runtime[1]:
            yield "needs two operands that are not constants"
    elif kind == "DEQUANTIZE":
        if runtime or operator.inputs[0].dtype != np.float16:
            yield "only of float16 constants"
    elif kind == "CONCATENATION":
        ranks = {len(x.shape) for x in operator.inputs}
        if len(ranks) > 1 or not 0 < options["axis"] < max(ranks):
            yield f"axis {options['axis']} of ranks {sorted(ranks)}"
    else:
        yield from _shape_problems(operator, runtime)


def _window_problems(operator: Operator, runtime: list[Value]) -> Iterator[str]:
    kind, options, output = operator.kind, operator.options, operator.outputs[0]
    if len(runtime) != 1 or len(runtime[0].shape) != 4 or len(output.shape) != 4:
        yield "needs one input of rank 4, and constant weights"
        return
    if kind == "DEPTHWISE_CONV_2D":
        multiplier = options["depthMultiplier"]
        if output.shape[3] != runtime[0].shape[3] * multiplier:
            yield f"{output.shape[3]} channels from {runtime[0].shape[3]} by {multiplier}"
    if kind in ("DEPTH_TO_SPACE", "SPACE_TO_DEPTH") and options["blockSize"] < 2:
        yield f"block size {options['blockSize']}"
    if kind.startswith("RESIZE") and options["alignCorners"] and options["halfPixelCenters"]:
        yield "aligned corners with half-pixel centers"


def _operand_problems(operator: Operator, runtime: list[Value]) -> Iterator[str]:
    kind, shape = operator.kind, operator.outputs[0].shape
    if len(operator.inputs) != 2 or not runtime:
        yield "needs two operands, one of them not a constant"
        return
    if len(runtime) == 1:
        (constant,) = (x for x in operator.inputs if x.data is not None)
        if kind == "ADD" and runtime[0].shape != shape:
            yield f"a constant {list(constant.shape)} larger than the operand"
        if len(constant.shape) == 4 and constant.shape[0] != 1:
            yield f"a constant {list(constant.shape)} with a batch axis"
        return
    first, second = runtime
    if first is second and kind not in ("ADD", "MUL"):
        yield "the same operand twice"
    if len(first.shape) != len(second.shape):
        yield f"operands of ranks {len(first.shape)} and {len(second.shape)}"
    elif kind == "ADD" and first.shape != shape:  # other kinds broadcast both operands
        yield f"the first operand {list(first.shape)} is smaller than the result {list(shape)}"


def _shape_problems(operator: Operator, runtime: list[Value]) -> Iterator[str]:
    kind, options = operator.kind, operator.options
    if len(runtime) != 1:
        yield "needs one input that is not a constant"
        return
    rank = len(runtime[0].shape)
    if kind in _REDUCTIONS and operator.inputs[1].dtype != np.int32:
        yield "axes of another type than int32"
    if kind in ("SLICE", "STRIDED_SLICE") and rank not in (3, 4):
        yield f"rank {rank}, only 3 and 4 are possible"
    if kind == "STRIDED_SLICE":
        steps = operator.inputs[3].data
        if steps is not None and steps.min() < 1:
            yield f"steps {steps.tolist()}"
        masks = [key for key in options if key.endswith("Mask") and options[key]]
        if set(masks) - {"beginMask", "endMask"}:
            yield f"the options {', '.join(masks)}"
    if kind in ("PAD", "PADV2") and operator.inputs[1].shape not in ((3, 2), (4, 2)):
        yield f"rank {rank}, only 3 and 4 are possible"
    if kind == "TRANSPOSE" and rank not in (2, 3, 4):
        yield f"rank {rank}, only 2 to 4 are possible"
