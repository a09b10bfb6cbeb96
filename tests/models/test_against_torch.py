"""Baselines against plain PyTorch functions that read the public keys."""

import gzip
import json

import jax
import numpy as np
import pytest

import jaxpose
from jaxpose import convert
from tests.helpers import recipe

torch = pytest.importorskip("torch")
F = torch.nn.functional


class Net:
    """Functions that take their weights from a state_dict by key."""

    def __init__(self, state):
        self.state = {key: torch.tensor(value) for key, value in state.items()}

    def conv(self, x, key, stride=1):
        weight, bias = self.state[f"{key}.weight"], self.state.get(f"{key}.bias")
        groups = x.shape[1] // weight.shape[1]
        return F.conv2d(x, weight, bias, stride, weight.shape[2] // 2, groups=groups)

    def norm(self, x, key):
        names = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(self.state[f"{key}.{name}"] for name in names), eps=1e-5)

    def module(self, x, key, act, stride=1):
        return act(self.norm(self.conv(x, f"{key}.conv", stride), f"{key}.bn"))

    def head(self, x):
        for i in (0, 3, 6):
            x = F.conv_transpose2d(
                x, self.state[f"head.deconv_layers.{i}.weight"], stride=2, padding=1
            )
            x = F.relu(self.norm(x, f"head.deconv_layers.{i + 1}"))
        return self.conv(x, "head.final_layer")


def linear(x):
    return x


def mobilenetv2(net, x):
    x = net.module(x, "backbone.conv1", F.relu6, 2)
    for layer, (repeats, stride) in enumerate(
        [(1, 1), (2, 2), (3, 2), (4, 2), (3, 1), (3, 2), (1, 1)], 1
    ):
        for i in range(repeats):
            key, y, n, s = f"backbone.layer{layer}.{i}.conv", x, 0, stride if i == 0 else 1
            if layer > 1:
                y, n = net.module(y, f"{key}.0", F.relu6), 1
            y = net.module(y, f"{key}.{n}", F.relu6, s)
            y = net.module(y, f"{key}.{n + 1}", linear)
            x = x + y if s == 1 and x.shape == y.shape else y
    return net.head(net.module(x, "backbone.conv2", F.relu6))


def mobilenetv3(net, x):
    x = net.module(x, "backbone.conv1", F.hardswish, 2)
    for layer in range(1, 16):
        act = F.relu if layer < 7 else F.hardswish
        stride = 2 if layer in (2, 4, 7, 14) else 1
        key = f"backbone.layer{layer}"
        y = net.module(x, f"{key}.expand_conv", act)
        y = net.module(y, f"{key}.depthwise_conv", act, stride)
        if f"{key}.se.conv1.conv.weight" in net.state:
            c = F.relu(net.conv(y.mean((2, 3), keepdim=True), f"{key}.se.conv1.conv"))
            y = y * F.hardsigmoid(net.conv(c, f"{key}.se.conv2.conv"))
        y = net.module(y, f"{key}.linear_conv", linear)
        x = x + y if stride == 1 and x.shape == y.shape else y
    return net.head(net.module(x, "backbone.conv2", F.hardswish))


def shufflenetv2(net, x):
    x = F.max_pool2d(net.module(x, "backbone.conv1", F.relu, 2), 3, 2, 1)
    for stage, repeats in enumerate((4, 8, 4)):
        for i in range(repeats):
            key, stride = f"backbone.layers.{stage}.{i}", 2 if i == 0 else 1
            first, second = (x, x) if i == 0 else x.chunk(2, dim=1)
            if i == 0:
                first = net.module(first, f"{key}.branch1.0", linear, 2)
                first = net.module(first, f"{key}.branch1.1", F.relu)
            second = net.module(second, f"{key}.branch2.0", F.relu)
            second = net.module(second, f"{key}.branch2.1", linear, stride)
            second = net.module(second, f"{key}.branch2.2", F.relu)
            x = F.channel_shuffle(torch.cat([first, second], 1), 2)
    return net.head(net.module(x, "backbone.layers.3", F.relu))


def resnet50(net, x):
    x = F.relu(net.norm(net.conv(x, "backbone.conv1", 2), "backbone.bn1"))
    x = F.max_pool2d(x, 3, 2, 1)
    for layer, blocks in enumerate((3, 4, 6, 3), 1):
        for i in range(blocks):
            key, stride = f"backbone.layer{layer}.{i}", 2 if layer > 1 and i == 0 else 1
            y = F.relu(net.norm(net.conv(x, f"{key}.conv1"), f"{key}.bn1"))
            y = F.relu(net.norm(net.conv(y, f"{key}.conv2", stride), f"{key}.bn2"))
            y = net.norm(net.conv(y, f"{key}.conv3"), f"{key}.bn3")
            if i == 0:
                x = net.norm(net.conv(x, f"{key}.downsample.0", stride), f"{key}.downsample.1")
            x = F.relu(x + y)
    return net.head(x)


def litepose(net, x):
    def block(x, key, act, stride=1, first=0):
        return act(net.norm(net.conv(x, f"{key}.{first}", stride), f"{key}.{first + 1}"))

    def deconv(x, key):
        return F.conv_transpose2d(x, net.state[f"{key}.weight"], stride=2, padding=1)

    def separable(x, key):
        return net.conv(block(x, f"{key}.conv", F.relu), f"{key}.conv.3")

    x = block(block(x, "first.0", F.relu6, 2), "first.1", F.relu6)
    maps = [block(x, "first", linear, first=2)]
    for stage, (repeats, stride) in enumerate([(6, 2), (8, 2), (10, 2), (10, 1)]):
        x = maps[-1]
        for i in range(repeats):
            key, s = f"stage.{stage}.{i}", stride if i == 0 else 1
            y = block(x, f"{key}.inv", F.relu6)
            y = block(y, f"{key}.depth_conv", F.relu6, s)
            y = block(y, f"{key}.point_conv", linear)
            x = x + y if s == 1 and x.shape == y.shape else y
        maps.append(x)
    half, quarter, eighth, sixteenth, x = maps
    heads = []
    for i, (raw, same) in enumerate([(sixteenth, None), (eighth, quarter), (quarter, half)]):
        x = deconv(x, f"deconv_refined.{i}") + deconv(raw, f"deconv_raw.{i}")
        x = F.relu(net.norm(x, f"deconv_bnrelu.{i}.0"))
        if same is not None:
            refined = separable(x, f"final_refined.{i - 1}")
            heads.append(refined + separable(same, f"final_raw.{i - 1}"))
    return heads


@pytest.mark.parametrize("network", [mobilenetv2, mobilenetv3, shufflenetv2, resnet50])
@pytest.mark.slow
def test_whole_network_equals_torch(network, golden):
    name = f"simplebaseline_{network.__name__}"
    keys = json.loads(gzip.decompress((golden / "torch_keys_simplebaseline.json.gz").read_bytes()))
    state = recipe.state_dict(keys[name], 0.9)
    images = recipe.images(1, 64, 96)
    with torch.no_grad():
        expected = network(Net(state), torch.tensor(images).permute(0, 3, 1, 2))
    expected = expected.permute(0, 2, 3, 1).numpy()
    model, variables = jaxpose.create_model(name), convert.from_torch(name, state)
    heatmaps = jax.jit(lambda v, x: model.apply(v, x, train=False))(variables, images)
    assert np.abs(heatmaps - expected).max() / expected.std() < 1e-3


@pytest.mark.slow
def test_whole_litepose_equals_torch(golden):
    keys = json.loads(gzip.decompress((golden / "torch_keys_litepose.json.gz").read_bytes()))
    state = recipe.state_dict(keys["litepose_xs"], 0.9)
    images = recipe.images(2, 64, 96)
    with torch.no_grad():
        expected = litepose(Net(state), torch.tensor(images).permute(0, 3, 1, 2))
    model = jaxpose.create_model("litepose_xs", 14)
    variables = convert.from_torch("litepose_xs", state, 14)
    with jaxpose.ops.implementation("lax"):  # compiles faster
        outputs = jax.jit(lambda v, x: model.apply(v, x, train=False))(variables, images)
    for ours, theirs in zip(outputs, expected, strict=True):
        theirs = theirs.permute(0, 2, 3, 1).numpy()
        assert ours.shape == theirs.shape
        assert np.abs(theirs[0] - theirs[1]).max() > theirs.std()  # both images count
        assert np.abs(ours - theirs).max() / theirs.std() < 1e-3
