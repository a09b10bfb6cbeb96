"""The export graph as the two files of an ncnn network, written with numpy alone.

The .param file lists layers, one per line, and the .bin file holds their weights in the same order
(ncnn: docs/developer-guide/param-and-model-file-structure.md and operators.md). Blobs have no batch
axis, so a file takes one image at a time: [B,C,H,W] is a blob of width W, height H and C channels.
A blob has one reader; the layer Split copies one that has several.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from jaxpose.export.graph import Const, ExportError, Graph, Node, Tensor
from jaxpose.ncnn_file import FLOAT16, MAGIC

INPUT = "image"  # name of the blob

_DIMENSIONS = {1: (0,), 2: (1, 0), 3: (2, 1, 0), 4: (2, 11, 1, 0)}  # ids of c, d, h, w by rank
_BINARY = {"add": 0, "sub": 1, "mul": 2, "div": 3, "max": 4, "min": 5}
_REVERSED = {"sub": 7, "div": 8}  # scalar - x, scalar / x
_UNARY = {"abs": 0, "neg": 1, "sqrt": 5, "exp": 7, "log": 8, "tanh": 16}
_REDUCTION = {"sum": 0, "mean": 3, "max": 4, "min": 5}
_ACTIVATION: dict[str, tuple[str, dict]] = {
    "relu": ("ReLU", {}),
    "relu6": ("Clip", {0: 0.0, 1: 6.0}),
    "hard_swish": ("HardSwish", {0: 1 / 6, 1: 0.5}),
    "hard_sigmoid": ("HardSigmoid", {0: 1 / 6, 1: 0.5}),
    "hard_sigmoid_v1": ("HardSigmoid", {0: 0.5, 1: 0.5}),
    "sigmoid": ("Sigmoid", {}),
    "silu": ("Swish", {}),
    "gelu": ("GELU", {0: 0}),
    "elu": ("ELU", {0: 1.0}),
}
# Activations that a convolution computes itself: its parameters 9 (kind) and 10 (arguments).
_FUSED: dict[str, dict] = {
    "relu": {9: 1},
    "relu6": {9: 3, 10: (0.0, 6.0)},
    "sigmoid": {9: 4},
    "hard_swish": {9: 6, 10: (1 / 6, 0.5)},
}
# Permute's order types: the old axes, from the new innermost axis to the outermost.
_ORDERS = {
    1: "W",
    2: "WH HW",
    3: "WHC HWC WCH CWH HCW CHW",
    4: "WHDC HWDC WDHC DWHC HDWC DHWC WHCD HWCD WCHD CWHD HCWD CHWD "
    "WDCH DWCH WCDH CWDH DCWH CDWH HDCW DHCW HCDW CHDW DCHW CDHW",
}
_AXES = {1: "W", 2: "HW", 3: "CHW", 4: "CDHW"}

Parameters = dict[int, "int | float | Sequence[int] | Sequence[float]"]


def build(graph: Graph, precision: str = "fp32") -> tuple[str, bytes]:
    """The text of the .param file and the bytes of the .bin file.

    The input is the blob "image"; the outputs have the names in `graph.outputs`.

    Args:
      graph: the network.
      precision: "fp32", or "fp16" for kernels in half precision; biases stay in float32.

    Raises:
      ExportError: an operation that ncnn does not have, or a kernel beyond the range of float16;
        the message names its module.
    """
    writer = _Writer(graph, half=precision == "fp16")
    return writer.text(), bytes(writer.weights)


def _fuse_activations(graph: Graph) -> Graph:
    """Moves activations into the convolutions whose results nothing else reads."""
    readers = defaultdict(list)
    for node in graph.nodes:
        for value in node.inputs:
            if isinstance(value, Tensor):
                readers[value.name].append(node)
    public = {tensor.name for _, tensor in graph.outputs}
    nodes, done = [], set()
    for node in graph.nodes:
        name = node.outputs[0].name
        if name in done:
            continue
        if node.op in ("conv", "conv_transpose") and name not in public:
            (reader, *others) = readers[name] or [None]
            if reader is not None and not others and reader.op == "activation":
                kind = reader.attrs["kind"]
                if kind in _FUSED:
                    attrs = {**node.attrs, "activation": kind}
                    node = replace(node, outputs=reader.outputs, attrs=attrs)
                    done.add(reader.outputs[0].name)
        nodes.append(node)
    return replace(graph, nodes=nodes)


class _Writer:
    """Collects layers and weights; one method per graph operation."""

    def __init__(self, graph: Graph, half: bool):
        graph = _fuse_activations(graph)
        self.weights = bytearray()
        self._half, self._module = half, ""
        self._lines: list[str] = []
        self._blobs = 0
        self._taken: set[str] = {INPUT, *(name for name, _ in graph.outputs)}
        # Tensor name -> the blobs of its readers, in their order, and the outputs that it is.
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
                    raise self._error(
                        f"{node.op} of rank {len(value.shape)}: ncnn has one to four axes besides "
                        "the batch"
                    )
            getattr(self, f"_{node.op}")(node, node.attrs)

    def text(self) -> str:
        """The .param file."""
        return "\n".join([MAGIC, f"{len(self._lines)} {self._blobs}", *self._lines, ""])

    # -- layers and blobs --------------------------------------------------------------------

    def _error(self, message: str) -> ExportError:
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

    def _layer(
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

    def _between(self, kind: str, inputs: list[str], node: Node, p: Parameters) -> str:
        """Writes a layer before the last one of a node; returns its blob."""
        blob = self._unique(f"{node.outputs[0].name}/{kind.lower()}")
        self._line(kind, blob, inputs, [blob], p)
        return blob

    def _read(self, value: Tensor | Const, rank: int = 4) -> str:
        """The blob of an input; that of a constant is made here, with `rank` axes and the batch."""
        if isinstance(value, Tensor):
            return self._copies[value.name].pop(0)
        shape = (1,) * (rank - value.array.ndim) + value.shape
        if shape[0] != 1:
            raise self._error("a constant that differs over the batch")
        blob = self._unique("/".join(value.path[1:]) or "constant")
        self._line("MemoryData", blob, [], [blob], _dimensions(shape))
        self._floats(value.array)
        return blob

    def _floats(self, array: np.ndarray) -> None:
        self.weights += np.ascontiguousarray(array, "<f4").tobytes()

    def _kernel(self, array: np.ndarray) -> None:
        """Appends a kernel: a word for its type, and the values, padded to 4 bytes."""
        if not self._half:
            self.weights += np.uint32(0).tobytes()
            self._floats(array)
            return
        largest = float(np.abs(array).max(initial=0))
        if largest > float(np.finfo(np.float16).max):
            raise self._error(f"a weight of {largest:g} is beyond the range of float16")
        data = np.ascontiguousarray(array, "<f2").tobytes()
        self.weights += np.array(FLOAT16, "<u4").tobytes() + data + b"\0" * (-len(data) % 4)

    # -- one method per graph operation: (node, its attributes) --------------------------------

    def _conv(self, node, a):
        self._convolution("Convolution", node, a, _array(node.inputs[1]))

    def _conv_transpose(self, node, a):
        kernel, groups = _array(node.inputs[1]), a["groups"]
        by_group = kernel.reshape(groups, -1, *kernel.shape[1:])
        self._convolution("Deconvolution", node, a, by_group.swapaxes(1, 2))  # outputs first

    def _convolution(self, kind, node, a, kernel):
        groups, bias = a["groups"], node.inputs[2:]
        p = {0: node.outputs[0].shape[1], 5: len(bias), 6: kernel.size}
        p |= dict(zip((11, 1), kernel.shape[-2:], strict=True))
        p |= dict(zip((12, 2), a.get("dilation", (1, 1)), strict=True))
        p |= dict(zip((13, 3), a["stride"], strict=True))
        p |= dict(zip((14, 4), a["padding"], strict=True))
        p |= _FUSED[a["activation"]] if "activation" in a else {}
        if groups > 1:
            kind, p[7] = f"{kind}DepthWise", groups
        self._kernel(kernel)
        for value in bias:
            self._floats(_array(value))
        self._layer(kind, [self._read(node.inputs[0])], node.outputs, p)

    def _batch_norm(self, node, a):
        scale, shift, mean, variance = map(_array, node.inputs[1:])
        for array in (scale, mean, variance, shift):
            self._floats(array)
        p = {0: scale.size, 1: float(a["eps"])}
        self._layer("BatchNorm", [self._read(node.inputs[0])], node.outputs, p)

    def _activation(self, node, a):
        if a["kind"] not in _ACTIVATION:
            raise self._error(f"activation {a['kind']!r}")
        kind, p = _ACTIVATION[a["kind"]]
        self._layer(kind, [self._read(node.inputs[0])], node.outputs, p)

    def _channel_shuffle(self, node, a):
        p = {0: a["groups"]}
        self._layer("ShuffleChannel", [self._read(node.inputs[0])], node.outputs, p)

    def _pool(self, node, kind, window, stride, padding, count_include_pad=False):
        p = {0: kind, 5: 1, 6: int(count_include_pad)}  # 5: windows inside the padded image only
        for keys, values in (((11, 1), window), ((12, 2), stride), ((13, 3), padding)):
            p |= dict(zip(keys, values, strict=True))
        self._layer("Pooling", [self._read(node.inputs[0])], node.outputs, p)

    def _max_pool(self, node, a):
        self._pool(node, 0, a["window"], a["stride"], a["padding"])

    def _avg_pool(self, node, a):
        self._pool(node, 1, a["window"], a["stride"], a["padding"], a["count_include_pad"])

    def _adaptive_avg_pool(self, node, a):
        size, bins = node.inputs[0].shape[2:], a["size"]
        if all(n % m == 0 for n, m in zip(size, bins, strict=True)):
            window = tuple(n // m for n, m in zip(size, bins, strict=True))
            self._pool(node, 1, window, window, (0, 0))
            return
        p = {0: 1, 7: 1, 8: bins[1], 18: bins[0]}
        self._layer("Pooling", [self._read(node.inputs[0])], node.outputs, p)

    def _global_pool(self, node, kind):
        # Pooling returns one axis; later layers need [C,1,1].
        pooled = self._between("Pooling", [self._read(node.inputs[0])], node, {0: kind, 4: 1})
        self._layer("Reshape", [pooled], node.outputs, _dimensions(node.outputs[0].shape))

    def _global_avg_pool(self, node, a):
        self._global_pool(node, 1)

    def _global_max_pool(self, node, a):
        self._global_pool(node, 0)

    def _resize(self, node, a):
        method, (height, width) = a["method"], a["size"]
        p = {0: 1 if method == "nearest" else 2, 3: height, 4: width}
        p[6] = int(method == "bilinear_align_corners")
        self._layer("Interp", [self._read(node.inputs[0])], node.outputs, p)

    def _reduction(self, node, kind, axes):
        # 5: axes are counted as below, and not as in old versions, from the batch.
        p = {0: _REDUCTION[kind], 1: 0, 3: tuple(axis - 1 for axis in axes), 4: 1, 5: 1}
        self._layer("Reduction", [self._read(node.inputs[0])], node.outputs, p)

    def _reduce(self, node, a):
        self._reduction(node, a["kind"], a["axes"])

    def _channel_mean(self, node, a):
        self._reduction(node, "mean", (1,))

    def _channel_max(self, node, a):
        self._reduction(node, "max", (1,))

    def _channel_conv1d(self, node, a):
        channels, kernel = node.inputs[0].shape[1], _array(node.inputs[1])
        row = self._between(
            "Reshape", [self._read(node.inputs[0])], node, {0: channels, 1: 1, 2: 1}
        )
        p = {0: 1, 1: kernel.size, 11: 1, 4: kernel.size // 2, 14: 0, 5: 0, 6: kernel.size}
        self._kernel(kernel)
        mixed = self._between("Convolution", [row], node, p)
        self._layer("Reshape", [mixed], node.outputs, _dimensions(node.outputs[0].shape))

    def _binary(self, node, a):
        left, right = node.inputs
        kind, rank = a["kind"], len(node.outputs[0].shape)
        if isinstance(right, Const) and right.array.size == 1:
            p = {0: _BINARY[kind], 1: 1, 2: float(right.array.item())}
            self._layer("BinaryOp", [self._read(left)], node.outputs, p)
        elif isinstance(left, Const) and left.array.size == 1:
            p = {0: _REVERSED.get(kind, _BINARY[kind]), 1: 1, 2: float(left.array.item())}
            self._layer("BinaryOp", [self._read(right)], node.outputs, p)
        else:
            inputs = [self._read(value, rank) for value in node.inputs]
            self._layer("BinaryOp", inputs, node.outputs, {0: _BINARY[kind]})

    def _unary(self, node, a):
        inputs = [self._read(node.inputs[0])]
        if a["kind"] == "erf":
            self._layer("Erf", inputs, node.outputs)
        else:
            self._layer("UnaryOp", inputs, node.outputs, {0: _UNARY[a["kind"]]})

    def _concat(self, node, a):
        inputs = [self._read(value) for value in node.inputs]
        self._layer("Concat", inputs, node.outputs, {0: a["axis"] - 1})

    def _split(self, node, a):
        p = {0: a["sizes"], 1: a["axis"] - 1}
        self._layer("Slice", [self._read(node.inputs[0])], node.outputs, p)

    def _slice(self, node, a):
        shape, steps = node.inputs[0].shape, a["steps"]
        cut = [i for i, n in enumerate(shape) if i and (a["starts"][i], a["stops"][i]) != (0, n)]
        p = {9: [a["starts"][i] for i in cut], 10: [a["stops"][i] for i in cut]}
        p[11] = [axis - 1 for axis in cut]
        blob = self._read(node.inputs[0])
        if set(steps) == {1}:
            self._layer("Crop", [blob], node.outputs, p)
        elif len(shape) == 4 and steps[1] == 1:
            if cut:
                blob = self._between("Crop", [blob], node, p)
            # Crop has no steps: a maximum over single pixels does.
            p = {0: 0, 11: 1, 1: 1, 12: steps[2], 2: steps[3], 5: 1}
            self._layer("Pooling", [blob], node.outputs, p)
        else:
            raise self._error(f"a slice with steps {list(steps[1:])}")

    def _pad(self, node, a):
        if len(a["before"]) != 4:
            raise self._error(f"padding of rank {len(a['before'])}")
        p = {4: 0, 5: 0.0}
        for keys, axis in (((7, 8), 1), ((0, 1), 2), ((2, 3), 3)):
            p |= dict(zip(keys, (a["before"][axis], a["after"][axis]), strict=True))
        self._layer("Padding", [self._read(node.inputs[0])], node.outputs, p)

    def _reshape(self, node, a):
        p = _dimensions(node.outputs[0].shape)
        self._layer("Reshape", [self._read(node.inputs[0])], node.outputs, p)

    def _transpose(self, node, a):
        axes = _AXES[len(a["perm"]) - 1]
        order = "".join(axes[axis - 1] for axis in reversed(a["perm"][1:]))
        p = {0: _ORDERS[len(axes)].split().index(order)}
        self._layer("Permute", [self._read(node.inputs[0])], node.outputs, p)

    def _expand(self, node, a):
        before, after = node.inputs[0].shape, node.outputs[0].shape
        grown = [i for i, (n, m) in enumerate(zip(before, after, strict=True)) if i and n != m]
        blob = self._read(node.inputs[0])
        for axis in grown[:-1]:
            blob = self._between("Tile", [blob], node, {0: axis - 1, 1: after[axis]})
        self._layer("Tile", [blob], node.outputs, {0: grown[-1] - 1, 1: after[grown[-1]]})


def _array(value: Tensor | Const) -> np.ndarray:
    assert isinstance(value, Const), value
    return value.array


def _dimensions(shape: Sequence[int]) -> Parameters:
    """The parameters that give a blob the shape, which has a batch axis."""
    return dict(zip(_DIMENSIONS[len(shape) - 1], map(int, shape[1:]), strict=True))


def _parameter(key: int, value) -> str:
    if isinstance(value, (list, tuple)):
        return f"-{23300 + key}={len(value)},{','.join(map(_number, value))}"
    return f"{key}={_number(value)}"


def _number(value: int | float) -> str:
    """ncnn takes a number for an integer if it has neither a point nor an exponent."""
    return f"{value:.8e}" if isinstance(value, float) else str(int(value))
