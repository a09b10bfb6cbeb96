"""Options of the high-resolution networks reach their layers; small networks."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from jaxpose.layers import Conv, ConvTranspose, init
from jaxpose.models import hrnet, lightweight_hrnet, lite_hrnet
from jaxpose.models.dite_hrnet import DiteHRNet
from jaxpose.models.efficient_hrnet import EfficientHRNet, Scaling
from jaxpose.models.el_hrnet import el_hrnet_w32
from jaxpose.models.higher_hrnet import HigherHRNet
from jaxpose.models.hrnet_stages import HRModule, fuse_sum
from jaxpose.models.lite_csw_hrnet import ChannelSpatialWeights, LiteCSWHRNet
from jaxpose.models.resnet import BasicBlock
from jaxpose.models.vipnas import ViPNAS

DENSE = hrnet.Layout(8, modules=(1, 1, 1), blocks=1, planes=8, bottlenecks=1)
LITE = lite_hrnet.Layout((8, 16, 32, 64), (1, 1, 1))
SCALING = Scaling(-8, 0.826, 0.25, (1, 1, 1))
NETWORKS = {
    "hrnet": lambda **o: hrnet.HRNet(DENSE, BasicBlock, **o),
    "el_hrnet": lambda **o: el_hrnet_w32(reduction=2, **o).clone(layout=DENSE),
    "higher_hrnet": lambda **o: HigherHRNet(DENSE, **o),
    "lite_hrnet": lambda **o: lite_hrnet.LiteHRNet(LITE, fusion="sum", **o),
    "naive_lite_hrnet": lambda **o: lite_hrnet.NaiveLiteHRNet(LITE.widths, fusion="sum", **o),
    "dite_hrnet": lambda **o: DiteHRNet(LITE, fusion="sum", **o),
    "lite_csw_hrnet": lambda **o: LiteCSWHRNet(LITE, fusion="sum", **o),
    "efficient_hrnet": lambda **o: EfficientHRNet(SCALING, **o),
    "lightweight_hrnet": lambda **o: lightweight_hrnet.LightweightHRNet(SCALING, **o),
    "vipnas": ViPNAS,
}


def modules_of(model):
    """All modules that run in the inference network."""
    modules = []

    def record(method, args, kwargs, context):
        modules.append(context.module)
        return method(*args, **kwargs)

    images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    with nn.intercept_methods(record):
        jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), images)
    return modules


@pytest.mark.slow
@pytest.mark.parametrize(
    "name,kind", [*((name, "kaiming") for name in NETWORKS), ("hrnet", "paper")]
)
def test_conv_init_and_fusion_are_applied(name, kind, monkeypatch):
    """The last layers start at N(0, 0.001), and the backbones of two networks at Kaiming's."""
    monkeypatch.setitem(lite_hrnet.MODULES, 18, LITE.modules)  # of the naive network
    modules = modules_of(NETWORKS[name](conv_init=kind))
    layers = [module for module in modules if isinstance(module, Conv | ConvTranspose)]
    assert len(layers) > 30
    dense, transposed = hrnet.CONV_INIT[kind]
    for layer in layers:
        expected = transposed if isinstance(layer, ConvTranspose) else dense
        if layer.name.startswith("final_layer"):
            expected = init.normal_small
        elif name in ("efficient_hrnet", "lightweight_hrnet") and layer.path[0] == "backbone":
            expected = init.kaiming_fan_out
        assert layer.kernel_init is expected, layer.path
    fusions = {module.fuse for module in modules if isinstance(module, HRModule)}
    assert fusions == (set() if name == "vipnas" else {fuse_sum})


@pytest.mark.slow
@pytest.mark.parametrize(
    "arrangement,chained",
    [("parallel", ()), ("serial_single", ("spatial",)), ("serial", ("spatial", "cross"))],
)
def test_lite_csw_hrnet_has_the_chosen_weightings(arrangement, chained):
    """Also options that do not change the number of parameters."""
    options = dict(gamma=1.0, b=2.0, pooling="max", shared=False)
    modules = modules_of(LiteCSWHRNet(LITE, arrangement=arrangement, **options))
    weights = [module for module in modules if isinstance(module, ChannelSpatialWeights)]
    assert len(weights) == 2 * 3 + 2 * (2 + 3 + 4)  # two blocks per module
    for module in weights:
        assert module.serial == (module.name.split("_")[0] in chained), module.name
        assert {key: getattr(module, key) for key in options} == options


@pytest.mark.parametrize("blocks", [1, 2])
def test_lite_csw_hrnet_has_the_chosen_blocks_in_stage_4(blocks):
    images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    model = LiteCSWHRNet(LITE, stage4_blocks=blocks)
    backbone = jax.eval_shape(lambda x: model.init(jax.random.key(0), x), images)["params"][
        "backbone"
    ]
    stages = [
        {layer for layer in module if layer.startswith("layers_")}
        for name, module in backbone.items()
        if name.startswith("stage")
    ]
    two = {"layers_0", "layers_1"}
    assert stages == [two, two, two if blocks == 2 else {"layers_0"}]
    with pytest.raises(ValueError, match="stage4_blocks 3 is unknown"):
        LiteCSWHRNet(LITE, stage4_blocks=3)


def test_lightweight_hrnet_exchanges_the_chosen_channels(monkeypatch):
    """The options of the exchange do not change any shape."""
    calls, make = [], lightweight_hrnet.exchange_pieces
    monkeypatch.setattr(
        lightweight_hrnet, "exchange_pieces", lambda *args: calls.append(args) or make(*args)
    )
    options = dict(exchange="all", order=(2, 1, 3, 4), groups=2)
    modules_of(lightweight_hrnet.LightweightHRNet(SCALING, **options))
    assert {(tuple(widths), *rest) for widths, *rest in calls} == {
        ((24, 32, 96, 264), *options.values())
    }
