"""Operators in the form that every ONNX reader takes: the same numbers, also in OpenCV."""

from collections import Counter

import jax.numpy as jnp
import numpy as np
import pytest

from jaxpose import export, ops
from jaxpose.export import onnx_builder
from tests.helpers.networks import Function, images, initialized, run_torch, weight
from tests.helpers.readers import READERS

SIZE = (12, 16)


def lifted(m, x, channels=8, name="lift"):
    return ops.conv(x, weight(m, name, (1, 1, x.shape[-1], channels)))


def squeeze(m, x, kind):
    """Squeeze and excitation, which OpenCV reads wrongly with the operator HardSigmoid."""
    x = lifted(m, x)
    gate = lifted(m, ops.global_avg_pool(x), 8, "gate") + weight(m, "bias", (8,))
    return x * ops.activation(gate, kind=kind)


def two_readers(m, x, kind):
    x = lifted(m, x)
    return x * ops.activation(x, kind=kind)


def bordered(m, x, after):
    """A padded convolution; EfficientNet's has less padding before than after."""
    x = jnp.pad(lifted(m, x), ((0, 0), (0, after), (1, 1 + after), (0, 0)))
    kernel = weight(m, "dw", (3, 3, 1, 8))
    return ops.depthwise_conv(x, kernel, stride=2, padding=(1, 0))


def gelu(m, x, last=True):
    x = ops.activation(lifted(m, x) + weight(m, "bias", (8,)), kind="gelu")
    if not last:
        return x
    return ops.conv(x, weight(m, "w", (3, 3, 8, 5)), padding=1) + weight(m, "b", (5,))


def shared_numbers(m, x):
    return ops.activation(ops.activation(x, kind="relu6") * 0.25, kind="relu6") * 0.25 + 6


CASES = {
    "hard_sigmoid": (lambda m, x: squeeze(m, x, "hard_sigmoid"), "Clip", 0),
    "hard_sigmoid_v1": (lambda m, x: squeeze(m, x, "hard_sigmoid_v1"), "Clip", 0),
    "hard_sigmoid_apart": (lambda m, x: two_readers(m, x, "hard_sigmoid"), "Add Clip Mul", 0),
    "hard_sigmoid_v1_apart": (lambda m, x: two_readers(m, x, "hard_sigmoid_v1"), "Add Clip Mul", 0),
    "border": (lambda m, x: bordered(m, x, 0), "", 0),
    "uneven_border": (lambda m, x: bordered(m, x, 1), "Pad", 0),
    "gelu": (gelu, "Erf Add Mul", 0),
    "gelu_at_the_end": (lambda m, x: gelu(m, x, False), "Div Erf Add Mul Mul", 0),
    "shared_numbers": (shared_numbers, "Clip Clip Mul Mul Add", 3),
}


@pytest.mark.parametrize("case", CASES)
def test_the_form_and_what_readers_make_of_it(case, tmp_path):
    for package in ("onnx", "onnxruntime", "torch"):
        pytest.importorskip(package)
    import onnx

    body, form, numbers = CASES[case]
    model = Function(body)
    variables, x = initialized(model, SIZE), 4 * images(SIZE)
    path = tmp_path / "m.onnx"
    export.to_onnx(model, variables, SIZE, path, metadata={"jaxpose": "test"})
    proto = onnx.load(path)
    kinds = Counter(node.op_type for node in proto.graph.node)
    gates = Counter({"Mul": 1}) if case.startswith("hard_sigmoid") else Counter()
    rest = Counter({kind: kinds[kind] for kind in ("Conv", "GlobalAveragePool") if kinds[kind]})
    assert kinds == Counter(form.split()) + gates + rest

    expected = run_torch(model, variables, x, fold_bn=False).transpose(0, 3, 1, 2)
    for reader in ("onnxruntime", "opencv_classic", "opencv_new"):
        run = READERS[reader](path, (1, 3, *SIZE), ["heatmaps"])
        for image, whole in zip(x.transpose(0, 3, 1, 2), expected, strict=True):
            (actual,) = run(np.ascontiguousarray(image[None]))
            np.testing.assert_allclose(actual[0], whole, rtol=1e-4, atol=1e-5)

    used = {name for node in proto.graph.node for name in node.input}
    stored = [initializer.name for initializer in proto.graph.initializer]
    assert set(stored) <= used and len(set(stored)) == len(stored)
    if numbers:
        assert len(stored) == numbers
    assert proto.opset_import[0].version == onnx_builder.OPSET == 14
    assert proto.ir_version == onnx_builder.IR_VERSION == 7
