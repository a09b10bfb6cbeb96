"""The layers, blobs and weights of an ncnn network while they are written.

A blob has one reader. The layer Split copies one that has several.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxpose.export.graph import Const, ExportError, Graph, Node, Tensor
from jaxpose.runtimes.ncnn_file import FLOAT16, MAGIC

INPUT = "image"  # name of the blob

_DIMENSIONS = {1: (0,), 2: (1, 0), 3: (2, 1, 0), 4: (2, 11, 1, 0)}  # ids of c, d, h, w by rank

Parameters = dict[int, Any]  # numbers, or sequences of numbers


class Program:
    """Collects lines of the .param file and bytes of the .bin file.

    Subclasses have one method per graph operation, `_<op>(node, attributes)`, which ends with a
    call of `layer`.
    """

    def __init__(self, graph: Graph, half: bool):
        self.weights = bytearray()
        self._half, self._module = half, ""
        self._lines: list[str] = []
        self._blobs = 0
        self._taken: set[str] = {INPUT, *(name for name, _ in graph.outputs)}
        # By tensor name: how often nodes read it, the outputs that it is, and the blobs that have
        # not been read yet.
        self._reads: dict[str, int] = defaultdict(int)
        self._public: dict[str, list[str]] = defaultdict(list)
        self._copies: dict[str, list[str]] = {}
        for name, tensor in graph.outputs:
            self._public[tensor.name].append(name)
        for node in graph.nodes:
            for value in node.inputs:
                if isinstance(value, Tensor):
                    self._reads[value.name] += 1

        size = dict(zip(_DIMENSIONS[3], graph.input.shape[1:], strict=True))
        self._line("Input", INPUT, [], [INPUT], size)
        self._distribute(graph.input, INPUT)
        for node in graph.nodes:
            self._module = node.module or "the model"
            for value in (*node.inputs, *node.outputs):
                if isinstance(value, Tensor) and not 2 <= len(value.shape) <= 5:
                    raise self.error(
                        f"{node.op} of rank {len(value.shape)}: ncnn has one to four axes besides "
                        "the batch"
                    )
            if not hasattr(self, f"_{node.op}"):
                raise self.error(f"ncnn has no operation for {node.op!r}")
            getattr(self, f"_{node.op}")(node, node.attrs)

    def text(self) -> str:
        """The .param file."""
        return "\n".join([MAGIC, f"{len(self._lines)} {self._blobs}", *self._lines, ""])

    # -- layers and blobs --------------------------------------------------------------------

    def error(self, message: str) -> ExportError:
        """An error that names the module of the current node."""
        return ExportError(f"{self._module}: {message}; it cannot be exported to ncnn")

    def _unique(self, name: str) -> str:
        """A name that the parser of ncnn reads: no spaces, at most 255 characters."""
        base = re.sub(r"\s", "_", name)[-200:]
        unique, n = base, 1
        while unique in self._taken:
            n += 1
            unique = f"{base}:{n}"
        self._taken.add(unique)
        return unique

    def _line(self, kind: str, name: str, inputs: list[str], outputs: list[str], p: Parameters):
        words = [f"{kind:<22}", f"{name:<30}", str(len(inputs)), str(len(outputs))]
        pairs = [_parameter(key, value) for key, value in sorted(p.items())]
        self._lines.append(" ".join([*words, *inputs, *outputs, *pairs]))
        self._blobs += len(outputs)

    def _distribute(self, tensor: Tensor, blob: str) -> None:
        """Gives every reader of `tensor`, which `blob` holds, a blob of its own."""
        public = [name for name in self._public[tensor.name] if name != blob]
        count = self._reads[tensor.name]
        if count == 1 and not public:
            self._copies[tensor.name] = [blob]
        elif count + len(public):
            copies = [self._unique(f"{blob}:{i}") for i in range(count)]
            self._copies[tensor.name] = copies.copy()
            self._line("Split", self._unique(f"{blob}:split"), [blob], [*copies, *public], {})

    def layer(
        self, kind: str, inputs: list[str], outputs: Sequence[Tensor], p: Parameters | None = None
    ) -> None:
        """Writes the last layer of a node, which makes its outputs."""
        blobs = []
        for tensor in outputs:
            public = self._public[tensor.name]
            alone = len(public) == 1 and not self._reads[tensor.name]
            blobs.append(public[0] if alone else self._unique(tensor.name))
        self._line(kind, blobs[0], inputs, blobs, p or {})
        for tensor, blob in zip(outputs, blobs, strict=True):
            self._distribute(tensor, blob)

    def between(self, kind: str, inputs: list[str], node: Node, p: Parameters) -> str:
        """Writes a layer before the last one of a node; returns its blob."""
        blob = self._unique(f"{node.outputs[0].name}/{kind.lower()}")
        self._line(kind, blob, inputs, [blob], p)
        return blob

    def read(self, value: Tensor | Const, rank: int = 4) -> str:
        """The blob of an input; that of a constant is made here, with `rank` axes and the batch."""
        if isinstance(value, Tensor):
            return self._copies[value.name].pop(0)
        shape = (1,) * (rank - value.array.ndim) + value.shape
        if shape[0] != 1:
            raise self.error("a constant that differs over the batch")
        blob = self._unique("/".join(value.path[1:]) or "constant")
        self._line("MemoryData", blob, [], [blob], dimensions(shape))
        self.floats(value.array)
        return blob

    def floats(self, array: np.ndarray) -> None:
        """Appends values in float32."""
        self.weights += np.ascontiguousarray(array, "<f4").tobytes()

    def kernel(self, array: np.ndarray) -> None:
        """Appends a kernel: a word for its type, and the values, padded to 4 bytes."""
        if not self._half:
            self.weights += np.uint32(0).tobytes()
            self.floats(array)
            return
        largest = float(np.abs(array).max(initial=0))
        if largest > float(np.finfo(np.float16).max):
            raise self.error(f"a weight of {largest:g} is beyond the range of float16")
        data = np.ascontiguousarray(array, "<f2").tobytes()
        self.weights += np.array(FLOAT16, "<u4").tobytes() + data + b"\0" * (-len(data) % 4)


def dimensions(shape: Sequence[int]) -> Parameters:
    """The parameters that give a blob the shape, which has a batch axis."""
    return dict(zip(_DIMENSIONS[len(shape) - 1], map(int, shape[1:]), strict=True))


def _parameter(key: int, value) -> str:
    if isinstance(value, (list, tuple)):
        return f"-{23300 + key}={len(value)},{','.join(map(_number, value))}"
    return f"{key}={_number(value)}"


def _number(value: int | float) -> str:
    """ncnn takes a number for an integer if it has neither a point nor an exponent."""
    if not isinstance(value, float):
        return str(int(value))
    # It does not read "-inf", with which the maximum of a softmax begins.
    return f"{min(max(value, -3e38), 3e38):.8e}"
