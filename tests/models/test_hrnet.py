"""HRNet, EL-HRNet and HigherHRNet: exact counts, and their common structure."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxpose
from jaxpose import summary
from jaxpose.layers import BatchNorm, Conv, ConvNormAct
from jaxpose.models import hrnet
from jaxpose.models.el_hrnet import LABasicBlock
from jaxpose.models.higher_hrnet import HigherHRNet
from jaxpose.models.hrnet_stages import HRModule, Stage, all_branches, each_branch, grow, run_stages
from jaxpose.models.resnet import BasicBlock

# model, (H, W), K, options, parameters, multiply-adds, parameters counted once per call
EXACT = [
    ("hrnet_w32", (256, 192), 17, {}, 28_536_113, 7_645_003_776, 28_536_113),
    ("hrnet_w48", (256, 192), 17, {}, 63_595_745, 15_691_825_152, 63_595_745),
    ("small_hrnet_w16", (256, 192), 17, {}, 1_284_961, 570_703_872, 1_284_961),
    ("el_hrnet_w32", (256, 192), 17, {}, 4_856_577, 2_146_322_048, 5_032_705),
    ("el_hrnet_w32", (256, 256), 16, {}, 4_856_544, 2_861_514_240, 5_032_672),
    ("el_hrnet_w32", (256, 192), 17, {"cbam": False}, 4_670_257, 2_133_344_256, 4_670_257),
    ("el_hrnet_w32", (256, 192), 17, {"reduction": 8}, 5_032_705, 2_146_674_304, 5_384_961),
    ("el_hrnet_w32", (256, 192), 17, {"groups": 16}, 5_165_313, 2_188_347_008, 5_341_441),
    ("higher_hrnet_w32", (512, 512), 17, {}, 28_645_331, 46_203_404_288, 28_645_331),
    ("higher_hrnet_w48", (640, 640), 17, {}, 63_827_139, 149_468_774_400, 63_827_139),
]


@pytest.mark.slow
@pytest.mark.parametrize("name,size,keypoints,options,params,macs,called", EXACT)
def test_exact_counts(name, size, keypoints, options, params, macs, called):
    result = summary.count(name, size, keypoints, **options)
    assert (result.params, result.macs, result.called_params) == (params, macs, called)
    assert sum(stage.macs for stage in result.stages) == macs


@pytest.mark.slow
def test_dense_groups_of_the_light_block():
    result = summary.count("el_hrnet_w32", groups=1)
    assert (round(result.params / 1e6, 3), round(result.macs / 1e9, 3)) == (11.110, 3.569)


@pytest.mark.slow
def test_a_transposed_convolution_counted_at_its_output():
    result = summary.count("higher_hrnet_w32", (512, 512))
    assert result.hrnet - result.macs == 3 * 128 * 128 * 66 * 32 * 16
    assert [round(value, 3) for value in result.printed("higher")] == [28.645, 47.864]


@pytest.mark.slow
def test_any_width_is_accepted():
    result = summary.count(HigherHRNet(hrnet.Layout(16), 14), (512, 512))
    assert (result.params, round(result.macs / 1e9, 2)) == (7_476_298, 16.07)


@pytest.mark.slow
def test_the_parts_of_el_hrnet():
    rows = {}
    for stage in summary.stages("el_hrnet_w32", depth=2):
        name = stage.name.removeprefix("backbone/").split("_")[0]
        params, macs = rows.get(name, (0, 0))
        rows[name] = params + stage.params, macs + stage.macs
    assert rows.pop("backbone") == (0, 0)
    assert rows == {
        "conv1": (1_728, 21_233_664),
        "bn1": (128, 0),
        "conv2": (36_864, 113_246_208),
        "bn2": (128, 0),
        "layer1": (286_208, 868_220_928),
        "transition1": (221_376, 339_738_624),
        "stage2": (49_488, 47_713_280),
        "transition2": (73_984, 14_155_776),
        "stage3": (1_052_512, 367_773_696),
        "transition3": (295_424, 14_155_776),
        "stage4": (2_838_176, 358_412_928),
        "final": (561, 1_671_168),
    }


@pytest.mark.parametrize(
    "features,cbam,params",
    [(32, True, 1_666), (64, True, 5_538), (256, True, 77_154), (32, False, 1_024 + 9 * 32 + 128)],
)
def test_parameters_of_the_light_block(features, cbam, params):
    block = LABasicBlock(features, cbam, 16, None)
    shapes = jax.eval_shape(
        lambda: block.init(jax.random.key(0), jnp.zeros((1, 8, 8, features)), False)
    )
    assert sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(shapes["params"])) == params


@pytest.mark.parametrize(
    "options,message",
    [
        ({"reduction": 3}, "reduction 3 is unknown; .* choose from 2, 4"),
        ({"groups": 32}, "groups 32 is unknown"),
        ({"cbam": "no"}, "option 'cbam' must be True or False, got 'no'"),
        ({"conv_init": "papper"}, "did you mean 'paper'"),
        ({"block": None}, "option 'block' is unknown"),
    ],
)
def test_wrong_options_are_rejected(options, message):
    with pytest.raises(ValueError, match=message):
        jaxpose.create_model("el_hrnet_w32", **options)


@pytest.mark.parametrize("kind,conv,deconv", [("paper", 1e-3, 1e-3), ("kaiming", 0.059, 0.125)])
def test_conv_init_sets_the_initial_kernels(kind, conv, deconv):
    layers = hrnet.policy(kind, jnp.float32, None)
    x = jnp.zeros((1, 4, 4, 32))
    for layer, std in ((layers["conv"](64, 3), conv), (layers["deconv"](64), deconv)):
        (kernel,) = jax.tree.leaves(layer.init(jax.random.key(0), x))
        assert kernel.std() == pytest.approx(std, rel=0.03)


LAYERS = dict(conv=Conv, norm=BatchNorm)
STEP = partial(ConvNormAct, kernel_size=3, **LAYERS)


class Skeleton(nn.Module):
    """Two stages; `body` is one of a module's, the first stage has one module, the second two."""

    body: object
    outputs: int | None

    @nn.compact
    def __call__(self, x, train):
        stages = [
            Stage("stage0", "transition0", (4, 8), 1),
            Stage("stage1", "transition1", (6, 8, 12, 16), 2, self.outputs),
        ]
        module = partial(HRModule, self.body, STEP, **LAYERS)
        return run_stages(self, [x], stages, partial(grow, step=STEP), module, train)


class Mixed(nn.Module):
    """A block on all branches: it scales each by a shared parameter."""

    @nn.compact
    def __call__(self, xs, train):
        assert len({x.shape[1] for x in xs}) == len(xs)
        scale = self.param("scale", nn.initializers.ones, ())
        return [x * scale for x in xs]


def stage_shapes(body, outputs):
    return jax.eval_shape(
        lambda: Skeleton(body, outputs).init_with_output(
            jax.random.key(0), jnp.zeros((2, 32, 64, 4)), False
        )
    )


def test_stages_transitions_and_names():
    body = partial(each_branch, block=partial(BasicBlock, **LAYERS), blocks=2)
    xs, variables = stage_shapes(body, None)
    assert [x.shape for x in xs] == [
        (2, 32, 64, 6),
        (2, 16, 32, 8),
        (2, 8, 16, 12),
        (2, 4, 8, 16),
    ]
    params = variables["params"]
    # Branch 0 of stage1 changes its width, branch 1 does not, 2 and 3 are new; 3 by two steps.
    assert [name for name in params if name.startswith("transition1")] == [
        "transition1_0",
        "transition1_2_0",
        "transition1_3_0",
        "transition1_3_1",
    ]
    assert params["transition1_3_0"]["conv"]["kernel"].shape == (3, 3, 8, 8)
    assert params["transition1_3_1"]["conv"]["kernel"].shape == (3, 3, 8, 16)
    names = set(params["stage1_1"])
    assert {f"branches_{i}_{n}" for i in range(4) for n in range(2)} < names
    assert {n for n in names if n.startswith("fuse_layers_2")} == {
        "fuse_layers_2_0_0",
        "fuse_layers_2_0_1",
        "fuse_layers_2_1_0",
        "fuse_layers_2_3",
    }
    # All but the last of a chain keep their channels.
    assert params["stage1_1"]["fuse_layers_2_0_0"]["conv"]["kernel"].shape == (3, 3, 6, 6)
    assert params["stage1_1"]["fuse_layers_2_0_1"]["conv"]["kernel"].shape == (3, 3, 6, 12)
    assert params["stage1_1"]["fuse_layers_2_3"]["conv"]["kernel"].shape == (1, 1, 16, 12)


def test_the_last_module_may_output_only_the_first_branch():
    xs, variables = stage_shapes(partial(all_branches, block=Mixed, blocks=3), 1)
    assert [x.shape for x in xs] == [(2, 32, 64, 6)]
    last = variables["params"]["stage1_1"]
    assert {name for name in last if name.startswith("layers")} == {f"layers_{n}" for n in range(3)}
    assert {name for name in last if name.startswith("fuse")} == {
        f"fuse_layers_0_{j}" for j in (1, 2, 3)
    }


def test_a_transition_with_other_widths_is_rejected():
    stages = [Stage("stage2", "transition1", (4, 8), 1)]
    with pytest.raises(ValueError, match=r"stage2: .* branches of widths .4, 8., got .4,."):
        run_stages(None, [jnp.zeros((1, 8, 8, 4))], stages, lambda s, xs, train: xs, None, False)
