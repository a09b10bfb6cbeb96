"""Networks with options of the papers' texts as ONNX files: the same numbers."""

import jax
import numpy as np
import pytest

import jaxpose
from jaxpose import export, ops
from jaxpose.export.source import untrained
from tests.helpers.networks import images, initialized, run_jax

SIZE = (64, 64)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, options",
    [
        ("hwl_mobilenetv3", {"inner_relu": False}),
        ("lite_csw_hrnet_18", {"stage4_blocks": 1}),
        ("wlitepose_xs", {"topology": "text", "light_width": 32, "light_groups": 4}),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_onnx_file_of_an_option(name, options, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    model = jaxpose.create_model(name, **options)
    variables = initialized(model, SIZE)
    x = images(SIZE, batch=2)
    with ops.implementation("lax"):  # compiles sooner; what is exported is the same
        expected = jax.tree.leaves(run_jax(model, variables, x))
    path = tmp_path / "m.onnx"
    export.to_onnx(model, variables, SIZE, path, metadata=untrained(name, SIZE).metadata())
    outputs = jax.tree.leaves(export.run_file(path)(x))
    for ours, theirs in zip(outputs, expected, strict=True):
        scale = np.abs(np.asarray(theirs)).max()
        np.testing.assert_allclose(ours, theirs, atol=1e-4 * scale)
