"""Small networks, random weights and both runtimes, for the tests of the exporter."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxpose import export, ops, skeletons, tasks
from jaxpose.config import default_config
from jaxpose.export.source import Source


class Function(nn.Module):
    """A network that is one function of the image; `self.param` for its weights."""

    body: object

    @nn.compact
    def __call__(self, x, train=False):
        return self.body(self, x)


class ConvNorm(nn.Module):
    """A convolution with bias, and a batch norm."""

    features: int

    @nn.compact
    def __call__(self, x):
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (3, 3, 3, self.features))
        bias = self.param("bias", nn.initializers.normal(1.0), (self.features,))
        x = ops.conv(x, kernel, padding=1) + bias
        return norm(self, x)


def weight(module, name, shape, scale=0.5):
    """A random parameter."""
    return module.param(name, nn.initializers.normal(scale), shape)


def norm(module, x, name="bn"):
    """Batch norm with parameters of its own in `module`."""
    channels = (x.shape[-1],)
    scale = module.param(f"{name}_scale", nn.initializers.ones, channels)
    bias = module.param(f"{name}_bias", nn.initializers.zeros, channels)
    mean = module.variable("batch_stats", f"{name}_mean", jnp.zeros, channels)
    var = module.variable("batch_stats", f"{name}_var", jnp.ones, channels)
    return ops.batch_norm(x, scale, bias, mean.value, var.value)


def randomized(variables, seed=0):
    """The variables with moderate batch norms and biases."""
    rng = np.random.default_rng(seed)

    def leaf(path, array):
        name = path[-1].key.rsplit("_", 1)[-1]
        if name == "var":
            return rng.uniform(0.7, 1.4, array.shape).astype(np.float32)
        if name == "scale":  # below 1: else maps grow with depth, and rounding grows with them
            return rng.uniform(0.5, 1.0, array.shape).astype(np.float32)
        if name in ("mean", "bias"):
            return rng.normal(0, 0.1, array.shape).astype(np.float32)
        return np.asarray(array)

    return jax.tree_util.tree_map_with_path(leaf, variables)


def initialized(model, size, seed=0):
    """Random variables of the model's shapes, kernels of variance 1 / fan-in; no compilation."""
    image = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
    shapes = jax.eval_shape(
        lambda key, x: model.init(key, x, train=False), jax.random.key(0), image
    )
    rng = np.random.default_rng(seed)

    def kernel(leaf):
        fan_in = max(np.prod(leaf.shape[:-1]), 1)
        return rng.normal(0, np.sqrt(1 / fan_in), leaf.shape).astype(np.float32)

    return randomized(jax.tree.map(kernel, shapes), seed)


def calibrated(model, x, seed=0):
    """(random variables with which all maps are of order 1, PyTorch's outputs for `x` with them).

    PyTorch measures the batch norms on `x`, and computes without the rewrites of the export graph.
    Differences between programs then mean what they do for a trained network: without batch norms
    that fit, the maps of a deep network vanish or grow with every layer. `x` must be several
    `varied_images`: those of `images` have nearly equal means, and a batch norm that divides by so
    small a deviation amplifies rounding errors.
    """
    import torch

    variables = initialized(model, x.shape[1:3], seed)
    module = export.to_torch(model, variables, x.shape[1:3], fold_bn=False).train()
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.momentum = 1.0  # the statistics of this batch alone
    image = torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
    with torch.no_grad():
        module(image)
        outputs = _channels_last(module.eval()(image))
    state = module.state_dict()
    names = {"mean": "running_mean", "var": "running_var"}

    def leaf(path, array):
        key = ".".join([p.key for p in path[1:-1]] + [names.get(path[-1].key, "")])
        return state[key].numpy() if path[0].key == "batch_stats" else array

    return jax.tree_util.tree_map_with_path(leaf, variables), outputs


def source_of(model, name, task_name, size, settings=None):
    """A network with random weights and COCO's keypoints; `settings` differ from the defaults."""
    task = tasks.get(task_name)
    config = default_config(task.SETTINGS, task=task_name)
    config.update_from_flattened_dict(settings or {})
    variables = initialized(model, size)
    return Source(name, model, variables, skeletons.COCO, size, task, config, trained=False)


def images(size, batch=2, seed=1):
    return np.random.default_rng(seed).normal(size=(batch, *size, 3)).astype(np.float32)


def varied_images(size, batch=16, seed=1):
    """Images that differ in brightness and contrast, as photographs do."""
    rng = np.random.default_rng(seed)
    contrast = rng.uniform(0.2, 1.5, (batch, 1, 1, 3))
    brightness = rng.normal(size=(batch, 1, 1, 3))
    return (images(size, batch, seed) * contrast + brightness).astype(np.float32)


def run_jax(model, variables, x):
    return _forward(model)(variables, x)


@functools.cache
def _forward(model):
    return jax.jit(lambda variables, x: model.apply(variables, x, train=False))


def run_onnx(model, variables, x, path, **options):
    return _run(export.to_onnx, model, variables, x, path, options)


def run_ncnn(model, variables, x, path, **options):
    return _run(export.to_ncnn, model, variables, x, path, options)


def _run(write, model, variables, x, path, options):
    write(model, variables, x.shape[1:3], path, **{"metadata": {"jaxpose": "test"}, **options})
    return export.run_file(path)(x)


def run_torch(model, variables, x, **options):
    import torch

    module = export.to_torch(model, variables, x.shape[1:3], **options)
    with torch.inference_mode():
        out = module(torch.from_numpy(x.transpose(0, 3, 1, 2)))
    return _channels_last(out)


def _channels_last(out):
    outs = out if isinstance(out, tuple) else (out,)
    outs = [np.asarray(o) for o in outs]
    outs = [o.transpose(0, 2, 3, 1) if o.ndim == 4 else o for o in outs]
    return outs[0] if len(outs) == 1 else tuple(outs)
