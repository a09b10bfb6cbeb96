"""Models of the LiteRT schema as flatbuffers in which equal parts are stored once.

The schema's own classes store the shape of each tensor, the options of each operator and the zero
points of each kernel again. In a flatbuffer, several tables may refer to the same part.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from jaxpose.runtimes import require
from jaxpose.runtimes.litert_file import IDENTIFIER, contents

_ALIGNMENT = 16  # of the data of constants; runtimes read them in place


def read(content: bytes) -> Any:
    """The model in a file, with the data of all buffers."""
    schema = importlib.import_module("ai_edge_litert.schema_py_generated")
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    for buffer in model.buffers:
        data = contents(content, buffer)
        buffer.data = None if data is None else bytes(data)
    return model


def pack(model: Any, *, names: bool = True) -> bytes:
    """The contents of a .tflite file.

    Args:
      model: a `ModelT` of the schema; the data of its buffers are bytes. Vectors that are numpy
        arrays are stored once if they are equal. Parts of `model` are replaced.
      names: store the names of all values; else only those of inputs and outputs.
    """
    require("ai_edge_litert")
    schema = importlib.import_module("ai_edge_litert.schema_py_generated")
    base: Any = require("flatbuffers").Builder

    vectors: dict[tuple[str, bytes], int] = {}

    class Builder(base):
        """Stores equal arrays of numbers once."""

        def CreateNumpyVector(self, x: np.ndarray) -> int:
            key = (x.dtype.str, x.tobytes())
            if key not in vectors:
                vectors[key] = super().CreateNumpyVector(x)
            return vectors[key]

    model.buffers = [_Buffer(schema, buffer.data) for buffer in model.buffers]
    options: dict[tuple[str, str], _Options] = {}
    for graph in model.subgraphs:
        for operator in graph.operators:
            own = operator.builtinOptions
            if own is not None:
                key = (type(own).__name__, repr(sorted(vars(own).items())))
                operator.builtinOptions = options.setdefault(key, _Options(own))
        public = {*graph.inputs, *graph.outputs}
        for i, tensor in enumerate(graph.tensors):
            if not names and i not in public:
                tensor.name = None
            if tensor.quantization is not None and tensor.quantization.scale is None:
                tensor.quantization = None  # an empty table
    size = sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None)
    builder = Builder(size + (1 << 16))
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


class _Options:
    """Options that are packed once, for all operators that refer to them."""

    def __init__(self, options: Any) -> None:
        self._options = options
        self._offset: int | None = None

    def Pack(self, builder: Any) -> int:
        """Called by the schema's classes: appends the table once and returns its offset."""
        if self._offset is None:
            self._offset = self._options.Pack(builder)
        return self._offset


class _Buffer:
    """A buffer of the model, aligned as the schema demands; the schema's own class does not."""

    def __init__(self, schema: Any, data: bytes | None) -> None:
        self._schema, self.data = schema, data

    def Pack(self, builder: Any) -> int:
        """Called by the schema's classes: appends the buffer and returns its offset."""
        vector = None
        if self.data is not None:
            builder.StartVector(1, len(self.data), _ALIGNMENT)
            builder.head -= len(self.data)
            builder.Bytes[builder.head : builder.head + len(self.data)] = self.data
            vector = builder.EndVector()
        self._schema.BufferStart(builder)
        if vector is not None:
            self._schema.BufferAddData(builder, vector)
        return self._schema.BufferEnd(builder)
