"""The EfficientHRNet family and its neighbors against plain PyTorch functions on their keys.

EfficientHRNet and Lightweight HRNet are run with narrow branches.
"""

import math

import jax
import numpy as np
import pytest

from jaxpose import convert, ops
from jaxpose.models.efficient_hrnet import HM2, EfficientHRNet, Scaling
from jaxpose.models.efficientnet import B0
from jaxpose.models.lightweight_hrnet import LightweightHRNet
from jaxpose.models.lightweight_openpose import LightweightOpenPose
from jaxpose.models.vipnas import STAGES, ViPNAS
from tests.helpers import recipe

torch = pytest.importorskip("torch")
dense = pytest.importorskip("tests.models.test_hrnet_against_torch")
F = torch.nn.functional


class Net(dense.Net):
    """Adds the parts of these networks."""

    def conv(self, x, key, stride=1, dilation=1):
        weight, bias = self.state[f"{key}.weight"], self.state.get(f"{key}.bias")
        groups, padding = x.shape[1] // weight.shape[1], dilation * (weight.shape[2] // 2)
        return F.conv2d(x, weight, bias, stride, padding, dilation, groups)

    def entry(self, x, key, stride=1):
        return F.relu(self.pair(x, key, stride))

    def padded(self, x, key, stride):
        weight = self.state[f"{key}.1.weight"]
        total = weight.shape[2] - stride
        x = F.pad(x, [total // 2, total - total // 2] * 2)
        x = F.conv2d(x, weight, stride=stride, groups=x.shape[1] // weight.shape[1])
        return F.silu(self.norm(x, f"{key}.2"))

    def gate(self, x, first, second, act, gate):
        pooled = x.mean((2, 3), keepdim=True)
        return x * gate(self.conv(act(self.conv(pooled, first)), second))

    def mbconv(self, x, key, stride):
        y, n = x, 0
        if f"{key}.conv.1.1" in self:
            y, n = self.padded(y, f"{key}.conv.0", 1), 1
        y = self.padded(y, f"{key}.conv.{n}", stride)
        se = f"{key}.conv.{n + 1}.se"
        y = self.gate(y, f"{se}.1", f"{se}.3", F.silu, torch.sigmoid)
        y = self.norm(self.conv(y, f"{key}.conv.{n + 2}"), f"{key}.conv.{n + 3}")
        return x + y if stride == 1 and x.shape == y.shape else y

    def efficientnet(self, x, depth):
        x, number, maps = self.padded(x, "features.0", 2), 0, []
        for row in B0:
            for repeat in range(math.ceil(row.repeats * depth)):
                number += 1
                x = self.mbconv(x, f"features.{number}", row.stride if repeat == 0 else 1)
            maps.append(x)
        return [maps[stage - 1] for stage in (2, 3, 5, 7)]

    def efficient_hrnet(self, x, depth):
        a = self.efficientnet(x, depth)
        xs = []
        for stage in (2, 3, 4):
            inputs = [*xs, *a[len(xs) : stage]]
            trans = f"trans{stage - 1}_branch"
            xs = [self.entry(y, f"{trans}{i}") for i, y in enumerate(inputs, 1)]
            number = 0
            while f"stage{stage}.{number}.branches.0.0.conv1" in self:
                xs, number = self.module(xs, f"stage{stage}.{number}"), number + 1
        return self.higher_head(xs[0])

    def lite_conv(self, x, key):
        parts = []
        for branch in ("c11", "c12"):
            y = x
            if f"{key}.{branch}_proj.0" in self:
                y = self.entry(y, f"{key}.{branch}_proj")
            parts.append(self.entry(y, f"{key}.{branch}", 2))
        first, second = F.channel_shuffle(torch.cat(parts, 1), 2).chunk(2, 1)
        return F.channel_shuffle(torch.cat([self.entry(first, f"{key}.c21"), second], 1), 2)

    def lightweight_hrnet(self, x, cem):
        x = self.entry(x, "backbone.stem", 2)
        a1 = self.lite_conv(x, "backbone.l1")
        a2 = self.lite_conv(a1, "backbone.l2")
        a3 = self.entry(self.lite_conv(a2, "backbone.l3"), "backbone.c4")
        a4 = self.entry(self.lite_conv(a3, "backbone.l5"), "backbone.c6")
        a, strides = [a1, a2, a3, a4], (1, 1, 1, 1)
        if cem:
            a, strides = exchanged(a), (1, 2, 4, 8)
        names = [f"trans{1 + (i > 2)}_branch{i}" for i in (1, 2, 3, 4)]
        b = [self.entry(*args) for args in zip(a, names, strides, strict=True)]
        xs = self.module(b[:2], "stage1.0")
        xs = [self.entry(x, f"trans2_branch{i}") for i, x in enumerate(xs, 1)] + b[2:]
        for number in range(3):
            xs = self.module(xs, f"stage2.{number}")
        return self.higher_head(xs[0])

    def act(self, x, key, dilation=1):
        x = self.conv(x, f"{key}.0", dilation=dilation)
        return F.relu(self.norm(x, f"{key}.1") if f"{key}.1" in self else x)

    def openpose(self, x):
        x = self.entry(x, "model.0", 2)
        for n in range(1, 12):
            stride, dilation = 2 if n in (2, 4) else 1, 2 if n == 7 else 1
            x = self.conv(x, f"model.{n}.0", stride, dilation)
            x = self.conv(F.relu(self.norm(x, f"model.{n}.1")), f"model.{n}.3")
            x = F.relu(self.norm(x, f"model.{n}.4"))
        x = y = self.act(x, "cpm.align")
        for n in range(3):
            y = F.elu(self.conv(F.elu(self.conv(y, f"cpm.trunk.{n}.0")), f"cpm.trunk.{n}.2"))
        features = x = self.act(x + y, "cpm.conv")
        for n in range(3):
            x = self.act(x, f"initial_stage.trunk.{n}")
        outputs = self.predictions(x, "initial_stage")
        x = torch.cat([features, *outputs], 1)
        for n in range(5):
            block = f"refinement_stages.0.trunk.{n}"
            x = self.act(x, f"{block}.initial")
            x = x + self.act(self.act(x, f"{block}.trunk.0"), f"{block}.trunk.1", 2)
        return outputs + self.predictions(x, "refinement_stages.0")

    def predictions(self, x, key):
        heads = [f"{key}.{output}" for output in ("heatmaps", "pafs")]
        return [self.conv(self.act(x, f"{head}.0"), f"{head}.1.0") for head in heads]

    def block(self, x, key, act, stride=1):
        return act(self.norm(self.conv(x, f"{key}.conv", stride), f"{key}.bn"))

    def vipnas(self, x):
        x, number = self.block(x, "backbone.conv1", F.hardswish, 2), 0
        for stage in STAGES:
            act = F.relu if stage.act == "relu" else F.hardswish
            for repeat in range(stage.repeats):
                number += 1
                key, stride, y = f"backbone.layer{number}", stage.stride if repeat == 0 else 1, x
                if f"{key}.expand_conv.conv" in self:
                    y = self.block(y, f"{key}.expand_conv", act)
                y = self.block(y, f"{key}.depthwise_conv", act, stride)
                if f"{key}.se.conv1.conv" in self:
                    se = [f"{key}.se.conv{i}.conv" for i in (1, 2)]
                    y = self.gate(y, *se, F.relu, lambda s: ((s + 1) / 2).clamp(0, 1))
                y = self.block(y, f"{key}.linear_conv", lambda y: y)
                x = x + y if stride == 1 and x.shape == y.shape else y
        for n in (0, 3, 6):
            weight = self.state[f"head.deconv_layers.{n}.weight"]
            x = F.conv_transpose2d(x, weight, stride=2, padding=1, groups=x.shape[1])
            x = F.relu(self.norm(x, f"head.deconv_layers.{n + 1}"))
        return [self.conv(x, "head.final_layer")]


def exchanged(a):
    """A_n' of r = -2, channel by channel."""
    a1, a2, a3, a4 = (F.interpolate(x, size=a[0].shape[2:]) for x in a)
    return [
        torch.cat(parts, 1)
        for parts in (
            [a3[:, :12], a1[:, 12:]],
            [a2[:, :4], a4[:, :12], a2[:, 16:]],
            [a4[:, 12:33], a1[:, :3], a3[:, 12:24], a2[:, 4:8], a4[:, 33:41], a3[:, 48:]],
            [
                *(a4[:, 41:66], a1[:, 3:6], a3[:, 24:36], a2[:, 8:12]),
                *(a4[:, 66:99], a1[:, 6:9], a3[:, 36:48], a2[:, 12:16]),
                *(a4[:, 99:132], a1[:, 9:12], a4[:, 132:]),
            ],
        )
    ]


NARROW = Scaling(-8, 0.25, 0.483, (1, 1, 2))
# Name for the keys, model, size of the images, the same in PyTorch.
CASES = {
    "efficient_hrnet_hm4": (
        EfficientHRNet(NARROW, 3),
        (64, 96),
        lambda net, x: net.efficient_hrnet(x, NARROW.depth),
    ),
    "lightweight_hrnet_rm2": (
        LightweightHRNet(HM2._replace(phi=-8), 3),
        (64, 96),
        lambda net, x: net.lightweight_hrnet(x, cem=True),
    ),
    "lightweight_hrnet_rm1": (
        LightweightHRNet(NARROW._replace(width=0.826), 3, cem=False, variant="plain"),
        (64, 64),
        lambda net, x: net.lightweight_hrnet(x, cem=False),
    ),
    "lightweight_openpose": (LightweightOpenPose(18), (40, 48), Net.openpose),
    "vipnas_mobilenetv3": (ViPNAS(3), (64, 96), Net.vipnas),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_networks_equal_torch(name):
    model, size, theirs = CASES[name]
    images = recipe.images(2, *size)
    variables = dense.variables_of(model, images)
    net = Net(convert.to_torch_state_dict(name, variables))
    with torch.no_grad():
        expected = theirs(net, torch.tensor(images).permute(0, 3, 1, 2))
    with ops.implementation("lax"):  # compiles faster
        ours = jax.jit(lambda v, x: model.apply(v, x, train=False))(variables, images)
    for a, b in zip(jax.tree.leaves(ours), expected, strict=True):
        b = b.permute(0, 2, 3, 1).numpy()
        assert a.shape == b.shape
        assert np.abs(b[0] - b[1]).max() > 0.1 * b.std()  # both images count
        assert np.abs(a - b).max() / b.std() < 5e-4
