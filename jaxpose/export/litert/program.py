"""A network as a list of LiteRT operators, before it is written as a file.

Rank-4 values are NHWC, and the batch size is 1. Names and options of operators are those of the
TFLite schema. Nothing here needs the `ai_edge_litert` package.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jaxpose.export.layout import TO_NHWC

NO_ACTIVATION = "NONE"
# Operators whose option `fusedActivationFunction` all runtimes follow. CONCATENATION has the option
# too, but the CPU's kernel ignores it. In TRANSPOSE_CONV, it needs a version of the operator that
# the GPU delegate does not have.
FUSES_ACTIVATION = frozenset(
    "CONV_2D DEPTHWISE_CONV_2D ADD SUB MUL DIV MAX_POOL_2D AVERAGE_POOL_2D".split()
)


@dataclass(eq=False)
class Value:
    """A tensor. `data` is its value if it is a constant: float32, float16 or int32."""

    name: str
    shape: tuple[int, ...]
    data: np.ndarray | None = None

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.float32) if self.data is None else self.data.dtype


@dataclass(eq=False)
class Operator:
    """One operator; `module` is the path of the Flax module that it belongs to."""

    kind: str
    inputs: list[Value]
    outputs: list[Value]
    options: dict[str, Any] = field(default_factory=dict)
    version: int = 1
    module: str = ""


class Program:
    """Collects operators and constants.

    Args:
      half: store the kernels of convolutions as float16; a DEQUANTIZE operator, which runtimes
        evaluate once when they load the file, makes them float32.

    Attributes:
      operators: in execution order.
      inputs, outputs: (name, value) pairs.
      module: path of the module whose operators are being added.
    """

    def __init__(self, *, half: bool = False) -> None:
        self.operators: list[Operator] = []
        self.inputs: list[tuple[str, Value]] = []
        self.outputs: list[tuple[str, Value]] = []
        self.module = ""
        self._half = half
        self._constants: dict[tuple, Value] = {}
        self._dequantized: dict[Value, Value] = {}
        self._names: Counter[str] = Counter()
        self._producer: dict[Value, Operator] = {}

    def value(self, name: str, shape: Sequence[int]) -> Value:
        """A new value; its name gets a number if it is taken."""
        return Value(self._unique(name), tuple(int(n) for n in shape))

    def constant(self, array: np.ndarray, name: str) -> Value:
        """A constant of float32 or int32; equal arrays are stored once."""
        array = np.ascontiguousarray(array)
        digest = hashlib.sha256(array.tobytes()).digest()
        key = (digest, array.shape, array.dtype.str)
        if key not in self._constants:
            self._constants[key] = Value(self._unique(name), array.shape, array)
        return self._constants[key]

    def integers(self, values: Any) -> Value:
        """A constant of int32: a shape, axes or the like."""
        return self.constant(np.asarray(values, np.int32), "integers")

    def kernel(self, array: np.ndarray, name: str) -> Value:
        """The kernel of a convolution, stored in the precision of the file."""
        array = np.asarray(array, np.float32)
        if not self._half:
            return self.constant(array, name)
        stored = self.constant(array.astype(np.float16), "float16")
        if stored not in self._dequantized:
            result = self.add("DEQUANTIZE", [stored], array.shape, name, version=3)
            self._dequantized[stored] = result
        return self._dequantized[stored]

    def add(
        self,
        kind: str,
        inputs: Sequence[Value],
        shape: Sequence[int],
        name: str,
        version: int = 1,
        **options: Any,
    ) -> Value:
        """Adds an operator with one output and returns the output."""
        return self.add_many(kind, inputs, [self.value(name, shape)], version, **options)[0]

    def add_many(
        self,
        kind: str,
        inputs: Sequence[Value],
        outputs: list[Value],
        version: int = 1,
        **options: Any,
    ) -> list[Value]:
        """Adds an operator with several outputs and returns them."""
        operator = Operator(kind, list(inputs), outputs, options, version, self.module)
        self.operators.append(operator)
        self._producer.update({output: operator for output in outputs})
        return outputs

    def producer(self, value: Value) -> Operator | None:
        """The operator that writes `value`; None for inputs and constants."""
        return self._producer.get(value)

    def fuse(self, value: Value, activation: str) -> bool:
        """Makes the operator that writes `value` apply an activation; False if it cannot."""
        operator = self.producer(value)
        if operator is None or operator.kind not in FUSES_ACTIVATION:
            return False
        if operator.options.get("fusedActivationFunction", NO_ACTIVATION) != NO_ACTIVATION:
            return False
        operator.options["fusedActivationFunction"] = activation
        return True

    def reshape(self, x: Value, shape: Sequence[int], name: str) -> Value:
        """`x` with another shape; `x` itself if it has the shape."""
        shape = tuple(int(n) for n in shape)
        if x.shape == shape:
            return x
        return self.add("RESHAPE", [x, self.integers(shape)], shape, name, newShape=list(shape))

    def copy_outputs(self) -> None:
        """Makes outputs that operators read too copies of the values that are read."""
        read = {value for operator in self.operators for value in operator.inputs}
        for place, (name, value) in enumerate(self.outputs):
            if value in read:
                inputs, shape = [value, self.integers(value.shape)], list(value.shape)
                copy = self.add("RESHAPE", inputs, shape, f"{value.name}/copy", newShape=shape)
                self.outputs[place] = (name, copy)

    def _unique(self, name: str) -> str:
        self._names[name] += 1
        count = self._names[name]
        return name if count == 1 else self._unique(f"{name}_{count}")


def physical(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape of the export graph (rank 4: NCHW) for one image, in the order of this program."""
    shape = (1, *(int(n) for n in shape[1:]))
    return tuple(shape[a] for a in TO_NHWC) if len(shape) == 4 else shape


def physical_axis(axis: int, rank: int) -> int:
    """An axis of the export graph in the order of this program."""
    return TO_NHWC.index(axis) if rank == 4 else axis
