"""LiteRT programs as .tflite files: flatbuffers in the schema that `ai_edge_litert` ships."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxpose.export.litert.packing import pack
from jaxpose.export.litert.program import Operator, Program, Value
from jaxpose.runtimes import require
from jaxpose.runtimes.litert_file import METADATA

SIGNATURE = "serving_default"

# Names of the option tables that are not the operator's own.
_OPTIONS = {
    "ADD": "AddOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "BATCH_MATMUL": "BatchMatMulOptions",
    "CONCATENATION": "ConcatenationOptions",
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "DEPTH_TO_SPACE": "DepthToSpaceOptions",
    "DIV": "DivOptions",
    "GELU": "GeluOptions",
    "HARD_SWISH": "HardSwishOptions",
    "MAXIMUM": "MaximumMinimumOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "MEAN": "ReducerOptions",
    "MINIMUM": "MaximumMinimumOptions",
    "MUL": "MulOptions",
    "PAD": "PadOptions",
    "PADV2": "PadV2Options",
    "REDUCE_MAX": "ReducerOptions",
    "REDUCE_MIN": "ReducerOptions",
    "RESHAPE": "ReshapeOptions",
    "RESIZE_BILINEAR": "ResizeBilinearOptions",
    "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighborOptions",
    "SLICE": "SliceOptions",
    "SPLIT": "SplitOptions",
    "SPLIT_V": "SplitVOptions",
    "STRIDED_SLICE": "StridedSliceOptions",
    "SUB": "SubOptions",
    "SUM": "ReducerOptions",
    "TILE": "TileOptions",
    "TRANSPOSE": "TransposeOptions",
    "TRANSPOSE_CONV": "TransposeConvOptions",
}


def to_bytes(program: Program, metadata: dict[str, Any], *, names: bool = True) -> bytes:
    """The contents of a .tflite file.

    Args:
      program: the network.
      metadata: JSON values, for the buffer `METADATA`.
      names: store the names of all values; else only those of inputs and outputs.
    """
    require("ai_edge_litert")
    schema = importlib.import_module("ai_edge_litert.schema_py_generated")
    return pack(_Writer(schema).model(program, metadata), names=names)


class _Writer:
    """Fills the schema's objects."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self._buffers = [schema.BufferT()]  # buffer 0 is empty: that of values without data
        self._tensors: list[Any] = []
        self._indices: dict[Value, int] = {}
        self._codes: dict[tuple[str, int], int] = {}
        self._types = {
            np.dtype(np.float32): schema.TensorType.FLOAT32,
            np.dtype(np.float16): schema.TensorType.FLOAT16,
            np.dtype(np.int32): schema.TensorType.INT32,
        }

    def model(self, program: Program, metadata: dict[str, Any]) -> Any:
        schema = self._schema
        graph = schema.SubGraphT()
        graph.name = "main"
        graph.inputs = [self._tensor(value) for _, value in program.inputs]
        graph.operators = [self._operator(operator) for operator in program.operators]
        graph.outputs = [self._tensor(value) for _, value in program.outputs]
        graph.tensors = self._tensors

        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = SIGNATURE, 0
        signature.inputs = [self._named(*pair) for pair in program.inputs]
        signature.outputs = [self._named(*pair) for pair in program.outputs]

        entry = schema.MetadataT()
        entry.name, entry.buffer = METADATA, self._buffer(json.dumps(metadata).encode())

        model = schema.ModelT()
        model.version = 3
        model.description = "jaxpose"
        model.operatorCodes = [self._code(kind, version) for kind, version in self._codes]
        model.subgraphs, model.signatureDefs = [graph], [signature]
        model.metadata, model.buffers = [entry], self._buffers
        return model

    def _buffer(self, data: bytes) -> int:
        self._buffers.append(self._schema.BufferT(data))
        return len(self._buffers) - 1

    def _tensor(self, value: Value) -> int:
        if value not in self._indices:
            tensor = self._schema.TensorT()
            tensor.name, tensor.type = value.name, self._types[value.dtype]
            tensor.shape = _vector(value.shape)
            tensor.buffer = 0 if value.data is None else self._buffer(value.data.tobytes())
            self._indices[value] = len(self._tensors)
            self._tensors.append(tensor)
        return self._indices[value]

    def _named(self, name: str, value: Value) -> Any:
        entry = self._schema.TensorMapT()
        entry.name, entry.tensorIndex = name, self._tensor(value)
        return entry

    def _code(self, kind: str, version: int) -> Any:
        code = self._schema.OperatorCodeT()
        code.builtinCode = getattr(self._schema.BuiltinOperator, kind)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = version
        return code

    def _operator(self, operator: Operator) -> Any:
        schema = self._schema
        result = schema.OperatorT()
        key = (operator.kind, operator.version)
        result.opcodeIndex = self._codes.setdefault(key, len(self._codes))
        result.inputs = _vector([self._tensor(value) for value in operator.inputs])
        result.outputs = _vector([self._tensor(value) for value in operator.outputs])
        name = _OPTIONS.get(operator.kind)
        assert name is not None or not operator.options, operator.kind
        if name is not None:
            options = getattr(schema, f"{name}T")()
            for key_, value in operator.options.items():
                assert hasattr(options, key_), (operator.kind, key_)
                setattr(options, key_, self._option(key_, value))
            result.builtinOptions = options
            result.builtinOptionsType = getattr(schema.BuiltinOptions, name)
        return result

    def _option(self, key: str, value: Any) -> Any:
        if key == "padding":
            return getattr(self._schema.Padding, value)
        if key == "fusedActivationFunction":
            return getattr(self._schema.ActivationFunctionType, value)
        return value


def _vector(numbers: Sequence[int]) -> np.ndarray:
    return np.array(numbers, np.int32)
