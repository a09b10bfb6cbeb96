"""float32 ONNX models in float16 or int8, by the tools that ONNX Runtime ships.

Inputs and outputs stay float32, under their names, and any number of images per call stays open.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jaxpose.export.graph import ExportError
from jaxpose.runtimes import require

LARGEST_HALF = float(np.finfo(np.float16).max)


def convert(model: Any, precision: str, images: np.ndarray | None = None) -> Any:
    """The `onnx.ModelProto` of a float32 model in another precision.

    Args:
      model: an `onnx.ModelProto` that `onnx_builder.build` made.
      precision: "fp16", for weights and activations in float16; or "int8-static", for weights in
        int8 with one scale per output channel, and activations in uint8, between pairs of
        QuantizeLinear and DequantizeLinear.
      images: normalized float32 [N, H, W, 3]; for "int8-static", which derives the ranges of the
        activations from them.

    Raises:
      ExportError: a weight is beyond the range of float16.
    """
    if precision == "fp16":
        return _half(model)
    assert precision == "int8-static" and images is not None
    return _static(model, images)


def _half(model: Any) -> Any:
    from onnx import numpy_helper

    for weight in model.graph.initializer:
        largest = float(np.abs(numpy_helper.to_array(weight)).max(initial=0))
        if largest > LARGEST_HALF:  # the converter would clip it
            raise ExportError(
                f"{weight.name}: a weight of {largest:g} is beyond the range of float16"
            )
    tool = require("onnxruntime.transformers.float16")
    result = tool.convert_float_to_float16(model, keep_io_types=True)
    # The tool appends the conversion of the image, where ONNX wants it before the first reader.
    require("onnxruntime.quantization.onnx_model").ONNXModel(result).topological_sort()
    return result


def _static(model: Any, images: np.ndarray) -> Any:
    import onnx

    quantization = require("onnxruntime.quantization")
    image = model.graph.input[0]
    batch = image.type.tensor_type.shape.dim[0].dim_value or 1
    with tempfile.TemporaryDirectory() as folder, _quiet():
        path = Path(folder) / "model.onnx"
        quantization.quantize_static(
            model,
            path,
            _Reader(image.name, images.transpose(0, 3, 1, 2), batch),
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        result = onnx.load(path)
    # The tool adds a property of its own, whose value is not JSON.
    del result.metadata_props[:]
    result.metadata_props.extend(model.metadata_props)
    return result


class _Reader:
    """Gives images [N, 3, H, W] as the input `name`, in groups of `batch`.

    The last group repeats its last image.
    """

    def __init__(self, name: str, images: np.ndarray, batch: int) -> None:
        self._name = name
        self._groups = (images[first : first + batch] for first in range(0, len(images), batch))
        self._batch = batch

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Called by ONNX Runtime; None after the last group."""
        group = next(self._groups, None)
        if group is None:
            return None
        more = np.repeat(group[-1:], self._batch - len(group), axis=0)
        return {self._name: np.ascontiguousarray(np.concatenate([group, more]))}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Leaves out the advice to fold batch norms first: no file of ours has any to fold."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
