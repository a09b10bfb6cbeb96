"""The export graph as a `torch.fx.GraphModule` of ordinary `torch.nn` modules.

Keys of the state_dict follow the Flax paths: `backbone/layer1/conv/kernel` becomes
`backbone.layer1.conv.weight`. The result depends neither on this package nor on JAX. With batch
norms kept (`fold_bn=False` in `jaxpose.export.to_torch`), the module can be trained.
"""

from __future__ import annotations

import numpy as np

from jaxpose.export.graph import Const, ExportError, Graph, Node, Tensor

_LEAF_NAMES = {
    "kernel": "weight",
    "transposed_kernel": "weight",
    "scale": "weight",
    "mean": "running_mean",
    "var": "running_var",
}


def build(graph: Graph):
    """A `torch.fx.GraphModule` in eval mode: image [B,3,H,W] -> heatmaps, or a tuple of outputs."""
    import torch

    builder = _Builder(graph)
    module = torch.fx.GraphModule(builder.root, builder.graph, class_name="JaxposeModel")
    module.graph.lint()
    return module.eval()


class _Builder:
    """Builds a module tree and an fx graph from the nodes."""

    def __init__(self, graph: Graph):
        import torch

        self.torch = torch
        self.F = torch.nn.functional
        self.root = torch.nn.Module()
        self.graph = torch.fx.Graph()
        self._placed: dict[tuple, str] = {}
        self._values: dict[str, object] = {graph.input.name: self.graph.placeholder("image")}
        for node in graph.nodes:
            self._write(node)
        outputs = tuple(self._values[tensor.name] for _, tensor in graph.outputs)
        self.graph.output(outputs[0] if len(outputs) == 1 else outputs)

    # -- the module tree ---------------------------------------------------------------------

    def _place(self, path: tuple[str, ...], value, key: tuple) -> str:
        """Adds a module or a parameter to the tree, once per `key`, and returns its path."""
        if key in self._placed:
            return self._placed[key]
        # Names of attributes of torch modules (half, type, ...) get an underscore.
        reserved = self.torch.nn.Module
        path = tuple(f"{name}_" if hasattr(reserved, name) else name for name in path)
        owner = self.root
        for name in path[:-1]:
            if name not in owner._modules:
                owner.add_module(name, self.torch.nn.Module())
            owner = owner._modules[name]
        name, n = path[-1], 1
        while hasattr(owner, name):
            n += 1
            name = f"{path[-1]}_{n}"
        if isinstance(value, self.torch.nn.Parameter):
            owner.register_parameter(name, value)
        elif isinstance(value, self.torch.Tensor):
            owner.register_buffer(name, value)
        else:
            owner.add_module(name, value)
        self._placed[key] = ".".join((*path[:-1], name))
        return self._placed[key]

    def _module(self, node: Node, module, x):
        """Sets the weights of `module`, adds it at the path of the first constant, and calls it."""
        consts = [c for c in node.inputs if isinstance(c, Const)]
        path = consts[0].path[1:-1] or ("", *node.outputs[0].name.split("."))[1:]
        names = ("weight", "bias", "running_mean", "running_var")
        state = dict(zip(names, (self._tensor(c.array) for c in consts), strict=False))
        module.load_state_dict(state, strict=False)
        key = (node.op, *(id(c.array) for c in consts), str(node.attrs))
        target = self._place(path, module, key)
        return self.graph.call_module(target, (x,))

    def _tensor(self, array: np.ndarray):
        return self.torch.from_numpy(np.array(array, np.float32, order="C"))

    def _operand(self, value: Tensor | Const, node: Node):
        if isinstance(value, Tensor):
            return self._values[value.name]
        if value.shape == () and not value.path:
            return float(value.array)
        tensor = self._tensor(value.array)
        if value.path:
            leaf = _LEAF_NAMES.get(value.path[-1], value.path[-1])
            path = (*value.path[1:-1], leaf)
            if value.path[0] == "params":
                tensor = self.torch.nn.Parameter(tensor)
        else:
            path = (*node.outputs[0].name.split(".")[:-1], "constant")
        return self.graph.get_attr(self._place(path, tensor, (id(value.array),)))

    # -- the nodes ---------------------------------------------------------------------------

    def _write(self, node: Node) -> None:
        x = self._values[node.inputs[0].name] if isinstance(node.inputs[0], Tensor) else None
        result = getattr(self, f"_{node.op}")(node, x, node.attrs)
        if len(node.outputs) == 1 and node.op != "split":
            result = (result,)
        for tensor, value in zip(node.outputs, result, strict=True):
            self._values[tensor.name] = value

    def _call(self, function, *args, **kwargs):
        return self.graph.call_function(function, args, kwargs)

    def _method(self, name: str, *args):
        return self.graph.call_method(name, args)

    # One method per graph operation: (node, first input, attributes).

    def _conv(self, node, x, a):
        kernel = node.inputs[1].shape
        return self._module(
            node,
            self.torch.nn.Conv2d(
                kernel[1] * a["groups"],
                kernel[0],
                kernel[2:],
                a["stride"],
                a["padding"],
                a["dilation"],
                a["groups"],
                bias=len(node.inputs) == 3,
            ),
            x,
        )

    def _conv_transpose(self, node, x, a):
        kernel = node.inputs[1].shape
        return self._module(
            node,
            self.torch.nn.ConvTranspose2d(
                kernel[0],
                kernel[1] * a["groups"],
                kernel[2:],
                a["stride"],
                a["padding"],
                groups=a["groups"],
                bias=len(node.inputs) == 3,
            ),
            x,
        )

    def _linear(self, node, x, a):
        features, channels = node.inputs[1].shape
        return self._module(node, self.torch.nn.Linear(channels, features, bias=False), x)

    def _matmul(self, node, x, a):
        return self._call(self.torch.matmul, x, self._operand(node.inputs[1], node))

    def _batch_norm(self, node, x, a):
        channels = node.outputs[0].shape[1]
        return self._module(node, self.torch.nn.BatchNorm2d(channels, a["eps"], momentum=0.1), x)

    def _activation(self, node, x, a):
        kind = a["kind"]
        functions = {
            "relu": self.F.relu,
            "relu6": self.F.relu6,
            "hard_swish": self.F.hardswish,
            "hard_sigmoid": self.F.hardsigmoid,
            "sigmoid": self.torch.sigmoid,
            "silu": self.F.silu,
            "gelu": self.F.gelu,
            "elu": self.F.elu,
        }
        if kind in functions:
            return self._call(functions[kind], x)
        if kind == "hard_sigmoid_v1":
            half = self._call(self.torch.mul, self._call(self.torch.add, x, 1.0), 0.5)
            return self._call(self.torch.clamp, half, 0.0, 1.0)
        raise ExportError(f"{node.module}: activation {kind!r} cannot be exported to torch")

    def _channel_shuffle(self, node, x, a):
        _, c, h, w = node.outputs[0].shape
        blocks = self._method("reshape", x, -1, a["groups"], c // a["groups"], h, w)
        return self._method("reshape", self._method("transpose", blocks, 1, 2), -1, c, h, w)

    def _max_pool(self, node, x, a):
        return self._call(self.F.max_pool2d, x, a["window"], a["stride"], a["padding"])

    def _avg_pool(self, node, x, a):
        return self._call(
            self.F.avg_pool2d,
            x,
            a["window"],
            a["stride"],
            a["padding"],
            count_include_pad=a["count_include_pad"],
        )

    def _adaptive_avg_pool(self, node, x, a):
        return self._call(self.F.adaptive_avg_pool2d, x, a["size"])

    def _resize(self, node, x, a):
        if a["method"] == "nearest":
            return self._call(self.F.interpolate, x, a["size"], mode="nearest")
        return self._call(
            self.F.interpolate,
            x,
            a["size"],
            mode="bilinear",
            align_corners=a["method"] == "bilinear_align_corners",
        )

    def _global_avg_pool(self, node, x, a):
        return self._call(self.F.adaptive_avg_pool2d, x, (1, 1))

    def _global_max_pool(self, node, x, a):
        return self._call(self.torch.amax, x, (2, 3), True)

    def _channel_mean(self, node, x, a):
        return self._call(self.torch.mean, x, 1, True)

    def _channel_max(self, node, x, a):
        return self._call(self.torch.amax, x, 1, True)

    def _channel_conv1d(self, node, x, a):
        channels, k = node.inputs[0].shape[1], node.inputs[1].shape[2]
        row = self._method("reshape", x, -1, 1, channels)
        conv = self.torch.nn.Conv1d(1, 1, k, padding=k // 2, bias=False)
        return self._method("reshape", self._module(node, conv, row), -1, channels, 1, 1)

    def _binary(self, node, x, a):
        left, right = (self._operand(v, node) for v in node.inputs)
        kind = a["kind"]
        if kind in ("max", "min") and isinstance(right, float):
            return self._call(self.torch.clamp, left, **{"min" if kind == "max" else "max": right})
        functions = {
            "add": self.torch.add,
            "sub": self.torch.sub,
            "mul": self.torch.mul,
            "div": self.torch.div,
            "max": self.torch.maximum,
            "min": self.torch.minimum,
        }
        if isinstance(left, float):  # only sub and div can have a number on the left
            if kind == "sub":
                return self._call(self.torch.rsub, right, left)
            return self._call(self.torch.mul, self._call(self.torch.reciprocal, right), left)
        return self._call(functions[kind], left, right)

    def _unary(self, node, x, a):
        return self._call(getattr(self.torch, a["kind"]), x)

    def _reduce(self, node, x, a):
        function = {"sum": self.torch.sum, "max": self.torch.amax, "min": self.torch.amin}
        return self._call(function[a["kind"]], x, list(a["axes"]), True)

    def _argmax(self, node, x, a):
        return self._method("float", self._call(self.torch.argmax, x, a["axis"], True))

    def _less_equal(self, node, x, a):
        return self._call(self.torch.le, *(self._operand(v, node) for v in node.inputs))

    def _where(self, node, x, a):
        return self._call(self.torch.where, *(self._operand(v, node) for v in node.inputs))

    def _concat(self, node, x, a):
        return self._call(self.torch.cat, [self._operand(v, node) for v in node.inputs], a["axis"])

    def _split(self, node, x, a):
        import operator

        parts = self._call(self.torch.split, x, list(a["sizes"]), a["axis"])
        return [self._call(operator.getitem, parts, i) for i in range(len(a["sizes"]))]

    def _slice(self, node, x, a):
        import operator

        index = tuple(
            slice(None) if i == 0 else slice(*bounds)
            for i, bounds in enumerate(zip(a["starts"], a["stops"], a["steps"], strict=True))
        )
        return self._call(operator.getitem, x, index)

    def _pad(self, node, x, a):
        # torch expects the last axis first.
        border = [n for both in zip(a["before"], a["after"], strict=True) for n in both[::-1]]
        return self._call(self.F.pad, x, tuple(border[:1:-1]))

    def _reshape(self, node, x, a):
        return self._method("reshape", x, -1, *node.outputs[0].shape[1:])

    def _expand(self, node, x, a):
        return self._method("expand", x, -1, *node.outputs[0].shape[1:])

    def _transpose(self, node, x, a):
        return self._method("permute", x, *a["perm"])
