"""The dense high-resolution networks against plain PyTorch functions on the public keys.

What is run has few channels and modules; the functions read the network's structure off its keys.
"""

from functools import partial

import jax
import numpy as np
import pytest

from jaxpose import convert, ops
from jaxpose.models import hrnet
from jaxpose.models.el_hrnet import LABasicBlock
from jaxpose.models.higher_hrnet import HigherHRNet
from jaxpose.models.resnet import BasicBlock
from tests.helpers import recipe

torch = pytest.importorskip("torch")
F = torch.nn.functional


class Net:
    """Functions that take their weights from a state_dict by key."""

    def __init__(self, state):
        self.state = {key: torch.tensor(np.ascontiguousarray(v)) for key, v in state.items()}

    def __contains__(self, key):
        return f"{key}.weight" in self.state

    def conv(self, x, key, stride=1):
        weight, bias = self.state[f"{key}.weight"], self.state.get(f"{key}.bias")
        return F.conv2d(x, weight, bias, stride, weight.shape[2] // 2)

    def norm(self, x, key):
        names = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(self.state[f"{key}.{name}"] for name in names), eps=1e-5)

    def pair(self, x, key, stride=1):
        return self.norm(self.conv(x, f"{key}.0", stride), f"{key}.1")

    def residual(self, x, key):
        y, number = x, 1
        while f"{key}.conv{number}" in self:
            y = F.relu(y) if number > 1 else y
            y = self.norm(self.conv(y, f"{key}.conv{number}"), f"{key}.bn{number}")
            number += 1
        shortcut = self.pair(x, f"{key}.downsample") if f"{key}.downsample.0" in self else x
        return F.relu(y + shortcut)

    def sequence(self, x, key, number=0):
        while f"{key.format(number)}.conv1" in self:
            x, number = self.residual(x, key.format(number)), number + 1
        return x

    def module(self, xs, key):
        xs = [self.sequence(x, f"{key}.branches.{i}.{{}}") for i, x in enumerate(xs)]
        outputs = []
        for i in range(len(xs)):
            fuse = f"{key}.fuse_layers.{i}"
            if not any(k.startswith(fuse) for k in self.state):
                break
            total = 0
            for j, x in enumerate(xs):
                if j > i:
                    x = F.interpolate(self.pair(x, f"{fuse}.{j}"), scale_factor=2 ** (j - i))
                for n in range(i - j):
                    x = self.pair(x, f"{fuse}.{j}.{n}", 2)
                    x = F.relu(x) if n < i - j - 1 else x
                total = total + x
            outputs.append(F.relu(total))
        return outputs

    def backbone(self, x):
        for n in (1, 2):
            x = F.relu(self.norm(self.conv(x, f"conv{n}", 2), f"bn{n}"))
        xs = [self.sequence(x, "layer1.{}")]
        for stage in (2, 3, 4):
            last = xs[-1]
            for i in range(stage):
                key = f"transition{stage - 1}.{i}"
                if i == len(xs):
                    xs.append(F.relu(self.pair(last, f"{key}.0", 2)))
                elif f"{key}.0" in self:
                    xs[i] = F.relu(self.pair(xs[i], key))
            number = 0
            while f"stage{stage}.{number}.branches.0.0.conv1" in self:
                xs, number = self.module(xs, f"stage{stage}.{number}"), number + 1
        assert len(xs) == 1
        return xs[0]

    def higher_head(self, x):
        low = self.conv(x, "final_layers.0")
        x = torch.cat([x, low], 1)
        weight = self.state["deconv_layers.0.0.0.weight"]
        x = self.norm(F.conv_transpose2d(x, weight, stride=2, padding=1), "deconv_layers.0.0.1")
        x = self.sequence(F.relu(x), "deconv_layers.0.{}.0", 1)
        return low, self.conv(x, "final_layers.1")


def variables_of(model, images):
    """Variables drawn by name, batch-norm statistics included."""
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        name, noise = path[-1].key, rng.normal(size=leaf.shape).astype(np.float32)
        if name.endswith("kernel"):
            return noise * np.float32(np.sqrt(2 / np.prod(leaf.shape[:3])))
        return noise * np.float32(0.1) + np.float32(name in ("scale", "var"))

    return jax.tree_util.tree_map_with_path(draw, shapes)


def close(ours, theirs):
    theirs = theirs.permute(0, 2, 3, 1).numpy()
    assert ours.shape == theirs.shape
    assert np.abs(theirs[0] - theirs[1]).max() > 0.1 * theirs.std()  # both images count
    assert np.abs(ours - theirs).max() / theirs.std() < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hrnet_w32", "higher_hrnet_w32"])
def test_small_networks_equal_torch(name):
    if name == "hrnet_w32":
        model = hrnet.HRNet(hrnet.Layout(8, (1, 2, 2), 1, 8, 2), BasicBlock, 3)
    else:
        model = HigherHRNet(hrnet.Layout(8, (1, 1, 1), 1, 8, 1), 3)
    images = recipe.images(2, 64, 96)
    variables = variables_of(model, images)
    net = Net(convert.to_torch_state_dict(name, variables))
    with torch.no_grad():
        x = net.backbone(torch.tensor(images).permute(0, 3, 1, 2))
        theirs = [net.conv(x, "final_layer")] if name == "hrnet_w32" else net.higher_head(x)
    with ops.implementation("lax"):  # compiles faster
        ours = jax.jit(lambda v, x: model.apply(v, x, train=False))(variables, images)
    for a, b in zip(jax.tree.leaves(ours), theirs, strict=True):
        close(a, b)


@pytest.mark.parametrize("cbam,groups", [(True, None), (False, 2)])
def test_the_light_block_equals_its_equations(cbam, groups):
    block = partial(LABasicBlock, cbam=cbam, reduction=4, groups=groups)(16)
    x = np.random.default_rng(1).normal(size=(2, 9, 7, 16)).astype(np.float32)
    shapes = jax.eval_shape(lambda: block.init(jax.random.key(0), x, False))
    rng = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda leaf: (1 + 0.3 * rng.normal(size=leaf.shape)).astype(np.float32) ** 2, shapes
    )
    params = variables["params"]

    def kernel(*path):
        value = params
        for name in path:
            value = value[name]
        return torch.tensor(value["kernel"]).permute(3, 2, 0, 1)

    def nconv(x, name):
        a = F.conv2d(x, kernel(name, "pointwise"))
        b = F.conv2d(a, kernel(name, "grouped"), padding=1, groups=groups or 8)
        return torch.cat([a, b], 1)

    def norm(x, name):
        stats, affine = variables["batch_stats"][name], params[name]
        arrays = (stats["mean"], stats["var"], affine["scale"], affine["bias"])
        return F.batch_norm(x, *map(torch.tensor, arrays), eps=1e-5)

    image = torch.tensor(x).permute(0, 3, 1, 2)
    y = norm(nconv(F.relu(norm(nconv(image, "conv1"), "bn1")), "conv2"), "bn2")
    if cbam:

        def mlp(pooled):
            return F.conv2d(
                F.relu(F.conv2d(pooled, kernel("cbam", "mlp1"))), kernel("cbam", "mlp2")
            )

        y = y * torch.sigmoid(mlp(y.amax((2, 3), True)) + mlp(y.mean((2, 3), True)))
        maps = torch.cat([y.amax(1, True), y.mean(1, True)], 1)
        y = y * torch.sigmoid(F.conv2d(maps, kernel("cbam", "spatial"), padding=3))
    ours = np.asarray(block.apply(variables, x, False))
    theirs = F.relu(y + image).permute(0, 2, 3, 1).numpy()
    assert np.abs(ours - theirs).max() / theirs.std() < 1e-5
