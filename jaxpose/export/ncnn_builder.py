"""The export graph as the two files of an ncnn network, written with numpy alone.

The .param file lists layers, one per line, and the .bin file holds their weights in the same order
(ncnn: docs/developer-guide/param-and-model-file-structure.md and operators.md). Blobs have no batch
axis, so a file takes one image at a time: [B,C,H,W] is a blob of width W, height H and C channels.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np

from jaxpose.export.graph import Const, Graph, Tensor
from jaxpose.export.ncnn_program import Parameters, Program, dimensions

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
    program = _Operations(_fuse_activations(graph), half=precision == "fp16")
    return program.text(), bytes(program.weights)


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
            reader = readers[name][0] if len(readers[name]) == 1 else node
            if reader.op == "activation" and reader.attrs["kind"] in _FUSED:
                attrs = {**node.attrs, "activation": reader.attrs["kind"]}
                node = replace(node, outputs=reader.outputs, attrs=attrs)
                done.add(reader.outputs[0].name)
        nodes.append(node)
    return replace(graph, nodes=nodes)


class _Operations(Program):
    """One method per graph operation: (node, its attributes)."""

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
        self.kernel(kernel)
        for value in bias:
            self.floats(_array(value))
        self.layer(kind, [self.read(node.inputs[0])], node.outputs, p)

    def _linear(self, node, a):
        weight = _array(node.inputs[1])
        self.kernel(weight)
        p = {0: len(weight), 1: 0, 2: weight.size}
        self.layer("InnerProduct", [self.read(node.inputs[0])], node.outputs, p)

    def _matmul(self, node, a):
        self.layer("MatMul", [self.read(value) for value in node.inputs], node.outputs)

    def _batch_norm(self, node, a):
        scale, shift, mean, variance = map(_array, node.inputs[1:])
        for array in (scale, mean, variance, shift):
            self.floats(array)
        p = {0: scale.size, 1: float(a["eps"])}
        self.layer("BatchNorm", [self.read(node.inputs[0])], node.outputs, p)

    def _activation(self, node, a):
        if a["kind"] not in _ACTIVATION:
            raise self.error(f"activation {a['kind']!r}")
        kind, p = _ACTIVATION[a["kind"]]
        self.layer(kind, [self.read(node.inputs[0])], node.outputs, p)

    def _channel_shuffle(self, node, a):
        p = {0: a["groups"]}
        self.layer("ShuffleChannel", [self.read(node.inputs[0])], node.outputs, p)

    def _pool(self, node, kind, window, stride, padding, count_include_pad=False):
        p = {0: kind, 5: 1, 6: int(count_include_pad)}  # 5: windows inside the padded image only
        for keys, values in (((11, 1), window), ((12, 2), stride), ((13, 3), padding)):
            p |= dict(zip(keys, values, strict=True))
        self.layer("Pooling", [self.read(node.inputs[0])], node.outputs, p)

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
        self.layer("Pooling", [self.read(node.inputs[0])], node.outputs, p)

    def _global_pool(self, node, kind):
        # Pooling returns one axis; later layers need [C,1,1].
        pooled = self.between("Pooling", [self.read(node.inputs[0])], node, {0: kind, 4: 1})
        self.layer("Reshape", [pooled], node.outputs, dimensions(node.outputs[0].shape))

    def _global_avg_pool(self, node, a):
        self._global_pool(node, 1)

    def _global_max_pool(self, node, a):
        self._global_pool(node, 0)

    def _resize(self, node, a):
        method, (height, width) = a["method"], a["size"]
        p = {0: 1 if method == "nearest" else 2, 3: height, 4: width}
        p[6] = int(method == "bilinear_align_corners")
        self.layer("Interp", [self.read(node.inputs[0])], node.outputs, p)

    def _reduction(self, node, kind, axes):
        # 5: axes are counted as below, and not as in old versions, from the batch.
        p = {0: _REDUCTION[kind], 1: 0, 3: tuple(axis - 1 for axis in axes), 4: 1, 5: 1}
        self.layer("Reduction", [self.read(node.inputs[0])], node.outputs, p)

    def _reduce(self, node, a):
        self._reduction(node, a["kind"], a["axes"])

    def _channel_mean(self, node, a):
        self._reduction(node, "mean", (1,))

    def _channel_max(self, node, a):
        self._reduction(node, "max", (1,))

    def _channel_conv1d(self, node, a):
        channels, kernel = node.inputs[0].shape[1], _array(node.inputs[1])
        row = self.between("Reshape", [self.read(node.inputs[0])], node, {0: channels, 1: 1, 2: 1})
        p = {0: 1, 1: kernel.size, 11: 1, 4: kernel.size // 2, 14: 0, 5: 0, 6: kernel.size}
        self.kernel(kernel)
        mixed = self.between("Convolution", [row], node, p)
        self.layer("Reshape", [mixed], node.outputs, dimensions(node.outputs[0].shape))

    def _binary(self, node, a):
        left, right = node.inputs
        kind, rank = a["kind"], len(node.outputs[0].shape)
        if isinstance(right, Const) and right.array.size == 1:
            p = {0: _BINARY[kind], 1: 1, 2: float(right.array.item())}
            self.layer("BinaryOp", [self.read(left)], node.outputs, p)
        elif isinstance(left, Const) and left.array.size == 1:
            p = {0: _REVERSED.get(kind, _BINARY[kind]), 1: 1, 2: float(left.array.item())}
            self.layer("BinaryOp", [self.read(right)], node.outputs, p)
        else:
            inputs = [self.read(value, rank) for value in node.inputs]
            self.layer("BinaryOp", inputs, node.outputs, {0: _BINARY[kind]})

    def _unary(self, node, a):
        inputs = [self.read(node.inputs[0])]
        if a["kind"] == "erf":
            self.layer("Erf", inputs, node.outputs)
        else:
            self.layer("UnaryOp", inputs, node.outputs, {0: _UNARY[a["kind"]]})

    def _concat(self, node, a):
        inputs = [self.read(value) for value in node.inputs]
        self.layer("Concat", inputs, node.outputs, {0: a["axis"] - 1})

    def _split(self, node, a):
        p = {0: a["sizes"], 1: a["axis"] - 1}
        self.layer("Slice", [self.read(node.inputs[0])], node.outputs, p)

    def _slice(self, node, a):
        shape, steps = node.inputs[0].shape, a["steps"]
        cut = [i for i, n in enumerate(shape) if i and (a["starts"][i], a["stops"][i]) != (0, n)]
        p: Parameters = {9: [a["starts"][i] for i in cut], 10: [a["stops"][i] for i in cut]}
        p[11] = [axis - 1 for axis in cut]
        blob = self.read(node.inputs[0])
        if set(steps) == {1}:
            self.layer("Crop", [blob], node.outputs, p)
        elif len(shape) == 4 and steps[1] == 1:
            if cut:
                blob = self.between("Crop", [blob], node, p)
            # Crop has no steps: a maximum over single pixels does.
            p = {0: 0, 11: 1, 1: 1, 12: steps[2], 2: steps[3], 5: 1}
            self.layer("Pooling", [blob], node.outputs, p)
        else:
            raise self.error(f"a slice with steps {list(steps[1:])}")

    def _pad(self, node, a):
        if len(a["before"]) != 4:
            raise self.error(f"padding of rank {len(a['before'])}")
        p = {4: 0, 5: 0.0}
        for keys, axis in (((7, 8), 1), ((0, 1), 2), ((2, 3), 3)):
            p |= dict(zip(keys, (a["before"][axis], a["after"][axis]), strict=True))
        self.layer("Padding", [self.read(node.inputs[0])], node.outputs, p)

    def _reshape(self, node, a):
        p = dimensions(node.outputs[0].shape)
        self.layer("Reshape", [self.read(node.inputs[0])], node.outputs, p)

    def _transpose(self, node, a):
        axes = _AXES[len(a["perm"]) - 1]
        order = "".join(axes[axis - 1] for axis in reversed(a["perm"][1:]))
        p = {0: _ORDERS[len(axes)].split().index(order)}
        self.layer("Permute", [self.read(node.inputs[0])], node.outputs, p)

    def _expand(self, node, a):
        before, after = node.inputs[0].shape, node.outputs[0].shape
        grown = [i for i, (n, m) in enumerate(zip(before, after, strict=True)) if i and n != m]
        blob = self.read(node.inputs[0])
        for axis in grown[:-1]:
            blob = self.between("Tile", [blob], node, {0: axis - 1, 1: after[axis]})
        self.layer("Tile", [blob], node.outputs, {0: grown[-1] - 1, 1: after[grown[-1]]})


def _array(value: Tensor | Const) -> np.ndarray:
    assert isinstance(value, Const), value
    return value.array
