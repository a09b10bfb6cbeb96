"""The export graph as an ONNX model, written with the `onnx` package (no torch).

The layout is NCHW and values are float32. The batch dimension is symbolic, or a fixed number.
Initializers are named by Flax paths.
"""

from __future__ import annotations

import json

import numpy as np

from jaxpose.export import onnx_forms
from jaxpose.export.graph import Const, ExportError, Graph, Node, Tensor
from jaxpose.ops.pool import average_bins

# Opset 14 (ONNX 1.9 of 2021) is the oldest that has every operator used here: HardSwish came last.
# Older files reach more readers: until opset 17 a reduction has its axes as an attribute, and
# Resize has no attribute `axes`; OpenCV and ncnn's converter read only these forms, and compilers
# for edge devices often end at an opset of those years. Later opsets would save no node.
OPSET, IR_VERSION = 14, 7

_BINARY = {"add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "max": "Max", "min": "Min"}
_UNARY = {
    "neg": "Neg",
    "exp": "Exp",
    "log": "Log",
    "sqrt": "Sqrt",
    "abs": "Abs",
    "tanh": "Tanh",
    "erf": "Erf",
}
_ACTIVATION = {
    "relu": ("Relu", {}),
    "hard_swish": ("HardSwish", {}),
    "sigmoid": ("Sigmoid", {}),
    "elu": ("Elu", {"alpha": 1.0}),
}
_RESIZE = {
    "bilinear": {"mode": "linear", "coordinate_transformation_mode": "half_pixel"},
    "bilinear_align_corners": {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
    "nearest": {
        "mode": "nearest",
        "coordinate_transformation_mode": "asymmetric",
        "nearest_mode": "floor",
    },
}


def build(graph: Graph, metadata: dict, batch: int | None = None, *, input_name: str = "image"):
    """The graph as an `onnx.ModelProto`, with `metadata` as JSON values in metadata_props.

    Args:
      graph: the network.
      metadata: JSON values.
      batch: the number of images per call; None leaves it open.
      input_name: name of the input.

    Raises:
      ExportError: an operation has no ONNX equivalent, or the ONNX checker rejects the model.
    """
    import onnx
    from onnx import helper

    graph = onnx_forms.rewrite(graph)
    writer = _Writer(batch)
    for node in graph.nodes:
        writer.write(node)
    info = [
        helper.make_tensor_value_info(
            name, onnx.TensorProto.FLOAT, [batch or "batch", *tensor.shape[1:]]
        )
        for name, tensor in [(input_name, graph.input), *graph.outputs]
    ]
    # Rename the input and output tensors to their public names.
    public = {graph.input.name: input_name} | {tensor.name: name for name, tensor in graph.outputs}
    for proto in writer.nodes:
        for names in (proto.input, proto.output):
            names[:] = [public.get(name, name) for name in names]
    body = helper.make_graph(
        writer.nodes, str(metadata.get("model", "jaxpose")), info[:1], info[1:], writer.initializers
    )
    model = helper.make_model(
        body,
        producer_name="jaxpose",
        producer_version=str(metadata.get("jaxpose", "")),
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    model.ir_version = IR_VERSION
    helper.set_model_props(model, {key: json.dumps(value) for key, value in metadata.items()})
    try:
        onnx.checker.check_model(model, full_check=True)
    except onnx.checker.ValidationError as error:
        raise ExportError(f"the ONNX checker rejects the model: {error}") from error
    return model


class _Writer:
    """Collects node protos and initializers; stores equal constants once."""

    def __init__(self, batch: int | None):
        self.nodes: list = []
        self.initializers: list = []
        self._batch = batch or 0  # in the shape of a Reshape, 0 keeps the size
        self._stored: dict[tuple, str] = {}
        self._taken: set[str] = set()

    def constant(self, array: np.ndarray, name: str, path: str = "") -> str:
        """The name of the initializer with this value, and with this Flax path, if it has one."""
        from onnx import numpy_helper

        key = (path, array.dtype.str, array.shape, array.tobytes())
        if key in self._stored:
            return self._stored[key]
        unique, n = path or name, 1
        while unique in self._taken:
            n += 1
            unique = f"{path or name}_{n}"
        self._taken.add(unique)
        self._stored[key] = unique
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), unique))
        return unique

    def read(self, value: Tensor | Const, node: Node, i: int) -> str:
        if isinstance(value, Tensor):
            return value.name
        array = value.array.astype(np.float32, copy=False)
        return self.constant(
            array, f"{node.outputs[0].name}/constant_{i}", "/".join(value.path[1:])
        )

    def number(self, value: float) -> str:
        return self.constant(np.array(value, np.float32), f"number_{value:g}")

    def add(self, op: str, inputs: list[str], outputs: list[str], **attrs) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(op, inputs, outputs, name=outputs[0], **attrs))

    def write(self, node: Node) -> None:
        inputs = [self.read(x, node, i) for i, x in enumerate(node.inputs)]
        outputs = [out.name for out in node.outputs]
        getattr(self, f"_{node.op}")(node, inputs, outputs, node.attrs)

    def _ints(self, values, out: str, what: str) -> str:
        return self.constant(np.asarray(values, np.int64), f"{out}/{what}")

    # One method per graph operation: (node, input names, output names, attributes).

    def _conv(self, node, x, y, a):
        self.add("Conv", x, y, dilations=a["dilation"], **_window(node, a))

    def _conv_transpose(self, node, x, y, a):
        self.add("ConvTranspose", x, y, **_window(node, a))

    def _matmul(self, node, x, y, a):
        self.add("MatMul", x, y)

    def _batch_norm(self, node, x, y, a):
        self.add("BatchNormalization", x, y, epsilon=a["eps"])

    def _activation(self, node, x, y, a):
        kind, out = a["kind"], y[0]
        if kind in _ACTIVATION:
            op, attrs = _ACTIVATION[kind]
            self.add(op, x, y, **attrs)
        elif kind == "relu6":
            self.add("Clip", [*x, self.number(0), self.number(6)], y)
        elif kind == "unit_clip":
            self.add("Clip", [*x, self.number(0), self.number(1)], y)
        elif kind in ("hard_sigmoid", "hard_sigmoid_v1"):
            # Not the operator HardSigmoid: OpenCV merges it with a following Mul into a wrong one.
            shift, width = (3, 6) if kind == "hard_sigmoid" else (1, 2)
            self.add("Add", [*x, self.number(shift)], [f"{out}/shifted"])
            clipped = [f"{out}/shifted", self.number(0), self.number(width)]
            self.add("Clip", clipped, [f"{out}/clipped"])
            self.add("Mul", [f"{out}/clipped", self.number(1 / width)], y)
        elif kind == "erf_gate":
            self.add("Erf", x, [f"{out}/erf"])
            self.add("Add", [f"{out}/erf", self.number(1)], [f"{out}/shifted"])
            self.add("Mul", [*x, f"{out}/shifted"], y)
        elif kind == "silu":
            self.add("Sigmoid", x, [f"{out}/gate"])
            self.add("Mul", [*x, f"{out}/gate"], y)
        elif kind == "gelu":  # 0.5 x (1 + erf(x / sqrt 2)); the native node came with opset 20
            self.add("Div", [*x, self.number(np.sqrt(2))], [f"{out}/scaled"])
            self.add("Erf", [f"{out}/scaled"], [f"{out}/erf"])
            self.add("Add", [f"{out}/erf", self.number(1)], [f"{out}/shifted"])
            self.add("Mul", [*x, f"{out}/shifted"], [f"{out}/doubled"])
            self.add("Mul", [f"{out}/doubled", self.number(0.5)], y)
        else:
            raise ExportError(f"{node.module}: activation {kind!r} cannot be exported to ONNX")

    def _channel_shuffle(self, node, x, y, a):
        _, c, h, w = node.outputs[0].shape
        g, out = a["groups"], y[0]
        split = self._ints([self._batch, g, c // g, h, w], out, "split")
        join = self._ints([self._batch, c, h, w], out, "join")
        self.add("Reshape", [*x, split], [f"{out}/blocks"])
        self.add("Transpose", [f"{out}/blocks"], [f"{out}/swapped"], perm=[0, 2, 1, 3, 4])
        self.add("Reshape", [f"{out}/swapped", join], y)

    def _max_pool(self, node, x, y, a):
        self.add(
            "MaxPool", x, y, kernel_shape=a["window"], strides=a["stride"], pads=a["padding"] * 2
        )

    def _avg_pool(self, node, x, y, a):
        padding, inside = a["padding"], not a["count_include_pad"]
        if any(padding) and not inside:  # OpenCV ignores count_include_pad
            border = self._ints([0, 0, *padding] * 2, y[0], "border")
            self.add("Pad", [*x, border], [f"{y[0]}/padded"])
            x, padding = [f"{y[0]}/padded"], (0, 0)
        self.add(
            "AveragePool",
            x,
            y,
            kernel_shape=a["window"],
            strides=a["stride"],
            pads=padding * 2,
        )

    def _adaptive_avg_pool(self, node, x, y, a):
        size, out = node.inputs[0].shape[2:], y[0]
        if all(n % bins == 0 for n, bins in zip(size, a["size"], strict=True)):
            window = [n // bins for n, bins in zip(size, a["size"], strict=True)]
            self.add("AveragePool", x, y, kernel_shape=window, strides=window)
            return
        # ONNX has no adaptive pooling; with fixed sizes, it is one matrix product per axis.
        rows, columns = (average_bins(n, bins) for n, bins in zip(size, a["size"], strict=True))
        right = self.constant(np.ascontiguousarray(columns.T), f"{out}/columns")
        self.add("MatMul", [*x, right], [f"{out}/narrow"])
        self.add("MatMul", [self.constant(rows, f"{out}/rows"), f"{out}/narrow"], y)

    def _resize(self, node, x, y, a):
        # Scales are used if they give the exact result, because all importers support them. Few
        # support the attribute `axes` of opset 18, and four sizes would fix the batch size.
        before, after, out = node.inputs[0].shape[2:], a["size"], y[0]
        scales = onnx_forms.scales(before, after, a["method"])
        if scales is not None:
            whole = np.array([1, 1, *scales], np.float32)
            inputs = [*x, "", self.constant(whole, f"{out}/scales")]
        elif self._batch:
            sizes = [self._batch, node.outputs[0].shape[1], *after]
            inputs = [*x, "", "", self._ints(sizes, out, "sizes")]
        else:
            self.add("Shape", x, [f"{out}/shape"])
            ends = [self._ints(v, out, w) for v, w in (([0], "first"), ([2], "end"))]
            self.add("Slice", [f"{out}/shape", *ends], [f"{out}/outer"])
            self.add(
                "Concat", [f"{out}/outer", self._ints(after, out, "size")], [f"{out}/sizes"], axis=0
            )
            inputs = [*x, "", "", f"{out}/sizes"]
        self.add("Resize", inputs, y, **_RESIZE[a["method"]])

    def _global_avg_pool(self, node, x, y, a):
        self.add("GlobalAveragePool", x, y)

    def _global_max_pool(self, node, x, y, a):
        self.add("GlobalMaxPool", x, y)

    def _channel_mean(self, node, x, y, a):
        self.add("ReduceMean", x, y, axes=[1], keepdims=1)

    def _channel_max(self, node, x, y, a):
        self.add("ReduceMax", x, y, axes=[1], keepdims=1)

    def _channel_conv1d(self, node, x, y, a):
        channels, k, out = node.inputs[0].shape[1], node.inputs[1].shape[2], y[0]
        # As an image of one column, because fewer readers have a 1-D convolution.
        column = self._ints([self._batch, 1, channels, 1], out, "column")
        back = self._ints([self._batch, channels, 1, 1], out, "back")
        self.add("Reshape", [x[0], column], [f"{out}/channels"])
        self.add(
            "Conv",
            [f"{out}/channels", x[1]],
            [f"{out}/mixed"],
            kernel_shape=[k, 1],
            pads=[k // 2, 0, k // 2, 0],
        )
        self.add("Reshape", [f"{out}/mixed", back], y)

    def _binary(self, node, x, y, a):
        self.add(_BINARY[a["kind"]], x, y)

    def _unary(self, node, x, y, a):
        self.add(_UNARY[a["kind"]], x, y)

    def _softmax(self, node, x, y, a):
        shape, axes, out = node.outputs[0].shape, a["axes"], y[0]
        if len(axes) == 1:
            self.add("Softmax", x, y, axis=axes[0])
            return
        outer, inner = shape[1 : axes[0]], shape[axes[-1] + 1 :]
        joined = [self._batch, *outer, int(np.prod([shape[i] for i in axes])), *inner]
        back = self._ints([self._batch, *shape[1:]], out, "back")
        self.add("Reshape", [*x, self._ints(joined, out, "joined")], [f"{out}/row"])
        self.add("Softmax", [f"{out}/row"], [f"{out}/softmax"], axis=axes[0])
        self.add("Reshape", [f"{out}/softmax", back], y)

    def _reduce(self, node, x, y, a):
        if a["kind"] == "sum":  # since opset 13 the only reduction whose axes are an input
            self.add("ReduceSum", [*x, self._ints(a["axes"], y[0], "axes")], y, keepdims=1)
        else:
            op = {"max": "ReduceMax", "min": "ReduceMin"}[a["kind"]]
            self.add(op, x, y, axes=a["axes"], keepdims=1)

    def _argmax(self, node, x, y, a):
        self.add("ArgMax", x, [f"{y[0]}/index"], axis=a["axis"], keepdims=1)
        self.add("Cast", [f"{y[0]}/index"], y, to=1)  # to float32

    def _less_equal(self, node, x, y, a):
        self.add("LessOrEqual", x, y)

    def _where(self, node, x, y, a):
        self.add("Where", x, y)

    def _concat(self, node, x, y, a):
        self.add("Concat", x, y, axis=a["axis"])

    def _split(self, node, x, y, a):
        self.add("Split", [*x, self._ints(a["sizes"], y[0], "sizes")], y, axis=a["axis"])

    def _slice(self, node, x, y, a):
        axes = [
            i
            for i, n in enumerate(node.inputs[0].shape)
            if i and (a["starts"][i], a["stops"][i], a["steps"][i]) != (0, n, 1)
        ]
        parts = [self._ints([a[key][i] for i in axes], y[0], key) for key in ("starts", "stops")]
        steps = self._ints([a["steps"][i] for i in axes], y[0], "steps")
        self.add("Slice", [*x, *parts, self._ints(axes, y[0], "axes"), steps], y)

    def _pad(self, node, x, y, a):
        self.add("Pad", [*x, self._ints([*a["before"], *a["after"]], y[0], "border")], y)

    def _reshape(self, node, x, y, a):
        self.add(
            "Reshape", [*x, self._ints([self._batch, *node.outputs[0].shape[1:]], y[0], "shape")], y
        )

    def _expand(self, node, x, y, a):
        self.add("Expand", [*x, self._ints([1, *node.outputs[0].shape[1:]], y[0], "shape")], y)

    def _transpose(self, node, x, y, a):
        self.add("Transpose", x, y, perm=a["perm"])


def _window(node: Node, attributes: dict) -> dict:
    """Attributes of a convolution, ordinary or transposed."""
    return {
        "kernel_shape": node.inputs[1].shape[2:],
        "strides": attributes["stride"],
        "pads": attributes["padding"] * 2,
        "group": attributes["groups"],
    }
