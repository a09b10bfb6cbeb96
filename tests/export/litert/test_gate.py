"""What the GPU delegate refuses is named with its module before a file is written."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpose import export
from jaxpose.export.litert import check_gpu, translate
from jaxpose.export.litert.gate import violations
from jaxpose.export.litert.program import Program
from tests.helpers.networks import Function, initialized

SHAPE = (1, 4, 6, 8)


def program():
    result = Program()
    image = result.value("image", SHAPE)
    result.inputs.append(("image", image))
    result.module = "backbone/stage1"
    return result, image


def constant(program, shape, dtype=np.float32):
    return program.constant(np.ones(shape, dtype), "constant")


CASES = {
    "RELU_0_TO_1: not among its operators": lambda p, x: p.add("RELU_0_TO_1", [x], SHAPE, "y"),
    "SQUEEZE: not among": lambda p, x: p.add("SQUEEZE", [x], SHAPE[1:], "y"),
    "BROADCAST_TO: not among": lambda p, x: p.add("BROADCAST_TO", [x], SHAPE, "y"),
    "RESHAPE: rank 5, at most 4": lambda p, x: p.add(
        "RESHAPE", [x, p.integers((1, 4, 6, 2, 4))], (1, 4, 6, 2, 4), "y"
    ),
    "RESHAPE: batch size 4": lambda p, x: p.add(
        "RESHAPE", [x, p.integers((4, 1, 6, 8))], (4, 1, 6, 8), "y"
    ),
    "TRANSPOSE_CONV: version 4 is newer than 3": lambda p, x: p.add(
        "TRANSPOSE_CONV", [p.integers(SHAPE), constant(p, (8, 1, 1, 8)), x], SHAPE, "y", 4
    ),
    "CONV_2D: needs one input of rank 4": lambda p, x: p.add("CONV_2D", [x, x], SHAPE, "y"),
    "DEPTHWISE_CONV_2D: 8 channels from 8 by 2": lambda p, x: p.add(
        "DEPTHWISE_CONV_2D", [x, constant(p, (1, 1, 1, 8))], SHAPE, "y", depthMultiplier=2
    ),
    "ADD: the fused activation SIGN_BIT": lambda p, x: p.add(
        "ADD", [x, constant(p, (1,))], SHAPE, "y", fusedActivationFunction="SIGN_BIT"
    ),
    "CONCATENATION: the fused activation RELU": lambda p, x: p.add(
        "CONCATENATION", [x, x], (1, 4, 6, 16), "y", axis=3, fusedActivationFunction="RELU"
    ),
    "CONCATENATION: axis 0": lambda p, x: p.add("CONCATENATION", [x, x], SHAPE, "y", axis=0),
    "SUB: the same operand twice": lambda p, x: p.add("SUB", [x, x], SHAPE, "y"),
    "ADD: a constant .* larger": lambda p, x: p.add(
        "ADD", [x, constant(p, (1, 8, 6, 8))], (1, 8, 6, 8), "y"
    ),
    "EXP: needs one operand": lambda p, x: p.add("EXP", [constant(p, (1,))], (1,), "y"),
    "SLICE: rank 2": lambda p, x: p.add(
        "SLICE", [p.value("flat", (1, 8)), p.integers([0, 0]), p.integers([1, 4])], (1, 4), "y"
    ),
    "STRIDED_SLICE: steps": lambda p, x: p.add(
        "STRIDED_SLICE", [x, *(p.integers([k] * 4) for k in (0, 1, -1))], SHAPE, "y"
    ),
    "SUM: axes of another type": lambda p, x: p.add(
        "SUM", [x, constant(p, (1,))], SHAPE, "y", keepDims=True
    ),
    "RESIZE_BILINEAR: aligned corners": lambda p, x: p.add(
        "RESIZE_BILINEAR", [x, p.integers([4, 6])], SHAPE, "y", 3,
        alignCorners=True, halfPixelCenters=True,
    ),
    "DEPTH_TO_SPACE: block size 1": lambda p, x: p.add(
        "DEPTH_TO_SPACE", [x], SHAPE, "y", blockSize=1
    ),
    "DEQUANTIZE: only of float16": lambda p, x: p.add("DEQUANTIZE", [x], SHAPE, "y"),
}  # fmt: skip


@pytest.mark.parametrize("message", CASES)
def test_refused_operators_are_named_with_their_module(message):
    p, x = program()
    CASES[message](p, x)
    kind, problem = message.split(": ")
    with pytest.raises(export.ExportError, match=rf"{kind} in backbone/stage1 \(y\): {problem}"):
        check_gpu(p)


def test_only_other_operators_than_additions_broadcast_the_first_operand():
    p, x = program()
    gate = p.value("gate", (1, 1, 1, 8))
    p.add("MUL", [gate, x], SHAPE, "y")
    assert violations(p) == []
    p.add("ADD", [gate, x], SHAPE, "z")
    assert "the first operand [1, 1, 1, 8] is smaller" in violations(p)[0]


def test_all_violations_are_counted_in_one_line():
    p, x = program()
    for i in range(8):
        p.add("BROADCAST_TO", [x], SHAPE, f"y{i}")
    assert len(violations(p)) == 8
    with pytest.raises(export.ExportError, match="and 3 more") as error:
        check_gpu(p)
    assert "\n" not in str(error.value)


class Outer(nn.Module):
    body: object

    @nn.compact
    def __call__(self, x, train=False):
        return Function(self.body, name="head")(x)


def refused(body):
    model = Outer(body)
    graph = export.build_graph(model, initialized(model, (4, 6)), (4, 6))
    with pytest.raises(export.ExportError) as error:
        check_gpu(translate(graph))
    return str(error.value)


def test_a_sum_over_five_axes_is_named():
    text = refused(lambda m, x: jnp.sum(x.reshape(*x.shape[:3], 3, 1) * jnp.ones((3, 2)), axis=-1))
    assert "rank 5" in text and "in head" in text


def test_an_operation_without_an_equivalent_is_named():
    import jax

    model = Outer(lambda m, x: jax.lax.erf(x))
    graph = export.build_graph(model, initialized(model, (4, 6)), (4, 6))
    with pytest.raises(export.ExportError, match="head: 'erf'"):
        translate(graph)
