"""The model zoo: one plain table of constructors."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

import flax.linen as nn
import jax

from jaxpose import jax_api
from jaxpose.layers import check_choice
from jaxpose.models import efficient_hrnet, hrnet, lite_hrnet, litepose, wlitepose
from jaxpose.models.dite_hrnet import DiteHRNet
from jaxpose.models.el_hrnet import el_hrnet_w32
from jaxpose.models.higher_hrnet import HigherHRNet
from jaxpose.models.hwl import HWL
from jaxpose.models.lightweight_hrnet import LightweightHRNet
from jaxpose.models.lightweight_openpose import LightweightOpenPose
from jaxpose.models.lite_csw_hrnet import LiteCSWHRNet
from jaxpose.models.lite_hrnet import LiteHRNet, NaiveLiteHRNet
from jaxpose.models.published import INFO, ModelInfo
from jaxpose.models.resnet import BasicBlock
from jaxpose.models.simplebaseline import (
    simplebaseline_mobilenetv2,
    simplebaseline_mobilenetv3,
    simplebaseline_resnet50,
    simplebaseline_shufflenetv2,
)
from jaxpose.models.vipnas import ViPNAS

_CONSTRUCTORS = {
    "litepose_xs": partial(litepose.LitePose, litepose.XS),
    "litepose_s": partial(litepose.LitePose, litepose.S),
    "litepose_m": partial(litepose.LitePose, litepose.M),
    "litepose_l": partial(litepose.LitePose, litepose.L),
    "wlitepose_xs": partial(wlitepose.WLitePose, litepose.XS),
    "wlitepose_s": partial(wlitepose.WLitePose, litepose.S),
    "hwl_mobilenetv3": HWL,
    "simplebaseline_mobilenetv2": simplebaseline_mobilenetv2,
    "simplebaseline_mobilenetv3": simplebaseline_mobilenetv3,
    "simplebaseline_shufflenetv2": simplebaseline_shufflenetv2,
    "simplebaseline_resnet50": simplebaseline_resnet50,
    "hrnet_w32": partial(hrnet.HRNet, hrnet.W32, BasicBlock),
    "hrnet_w48": partial(hrnet.HRNet, hrnet.W48, BasicBlock),
    "small_hrnet_w16": partial(hrnet.HRNet, hrnet.SMALL_W16, BasicBlock),
    "el_hrnet_w32": el_hrnet_w32,
    "higher_hrnet_w32": partial(HigherHRNet, hrnet.W32),
    "higher_hrnet_w48": partial(HigherHRNet, hrnet.W48),
    "lite_hrnet_18": partial(LiteHRNet, lite_hrnet.LITE_18),
    "lite_hrnet_30": partial(LiteHRNet, lite_hrnet.LITE_30),
    "naive_lite_hrnet_18": partial(NaiveLiteHRNet, lite_hrnet.NARROW),
    "wider_naive_lite_hrnet_18": partial(NaiveLiteHRNet, lite_hrnet.WIDE),
    "dite_hrnet_18": partial(DiteHRNet, lite_hrnet.LITE_18),
    "dite_hrnet_30": partial(DiteHRNet, lite_hrnet.LITE_30),
    "lite_csw_hrnet_18": partial(LiteCSWHRNet, lite_hrnet.LITE_18),
    "lite_csw_hrnet_30": partial(LiteCSWHRNet, lite_hrnet.LITE_30),
    "efficient_hrnet_h0": partial(efficient_hrnet.EfficientHRNet, efficient_hrnet.H0),
    "efficient_hrnet_hm1": partial(efficient_hrnet.EfficientHRNet, efficient_hrnet.HM1),
    "efficient_hrnet_hm2": partial(efficient_hrnet.EfficientHRNet, efficient_hrnet.HM2),
    "efficient_hrnet_hm3": partial(efficient_hrnet.EfficientHRNet, efficient_hrnet.HM3),
    "efficient_hrnet_hm4": partial(efficient_hrnet.EfficientHRNet, efficient_hrnet.HM4),
    "lightweight_hrnet_r0": partial(LightweightHRNet, efficient_hrnet.H0),
    "lightweight_hrnet_rm1": partial(LightweightHRNet, efficient_hrnet.HM1),
    "lightweight_hrnet_rm2": partial(LightweightHRNet, efficient_hrnet.HM2),
    "lightweight_hrnet_rm3": partial(LightweightHRNet, efficient_hrnet.HM3),
    "lightweight_openpose": LightweightOpenPose,
    "vipnas_mobilenetv3": ViPNAS,
}


def list_models() -> tuple[str, ...]:
    """Names that `create_model` takes."""
    return tuple(_CONSTRUCTORS)


def create_model(name: str, num_keypoints: int = 17, **overrides: Any) -> nn.Module:
    """Builds a network; without overrides it is the released one.

    Args:
      name: one of `list_models()`.
      num_keypoints: joints K.
      **overrides: the constructor's own switches, plus `dtype` and `bn_axis`.

    Returns:
      A flax.linen Module called as `model.apply(variables, images, train=False)` with images
      float32 [B,H,W,3], normalised, H and W multiples of 32 (`lightweight_openpose`: of 8). A
      top-down model returns heatmaps [B,H/4,W/4,K]; a bottom-up one a tuple, [B,H/4,W/4,2K] (K
      heatmaps, then K tags) and heatmaps [B,H/2,W/2,K]; `lightweight_openpose` heatmaps and fields
      of every stage. Its collections are `params` and `batch_stats`.

    Raises:
      ValueError: unknown name or override (the nearest one is named), a value of another type than
        the switch has, or num_keypoints < 1.
    """
    check_choice("model", name, _CONSTRUCTORS)
    constructor = _CONSTRUCTORS[name]
    parameters = inspect.signature(constructor).parameters
    options = [o for o in parameters if o not in _NOT_OPTIONS]
    for option, value in overrides.items():
        check_choice(f"{name}: option", option, options)
        _check_type(name, option, parameters[option].annotation, value)
    if isinstance(num_keypoints, bool) or not isinstance(num_keypoints, int) or num_keypoints < 1:
        raise ValueError(f"{name}: num_keypoints must be a positive integer, got {num_keypoints!r}")
    return constructor(num_keypoints=num_keypoints, **overrides)


def initial_variables(
    model: nn.Module, input_size: tuple[int, int], seed: int = 0
) -> dict[str, Any]:
    """Random {"params", "batch_stats"} of a network for images of `input_size` (H, W).

    Those of `model.init(jax.random.key(seed), images, train=False)`, drawn on the CPU array by
    array and without the network's own arithmetic. In one jitted program every array brings a
    generator of its own, and compiling WLitePose-S's takes longer than compiling its forward pass;
    here arrays of one shape share a program.
    """
    images = jax.ShapeDtypeStruct((1, *input_size, 3), jax.numpy.float32)
    try:
        cpu = jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        cpu = None  # JAX_PLATFORMS leaves it out: drawn where everything else runs
    with jax.default_device(cpu):
        key = jax.random.key(seed)
        traced = jax.jit(model.init, static_argnames="train").trace(key, images, train=False)
        # Flax's `lazy_init` leaves out what depends on the images, but works out everything else
        # that a forward pass does with the weights, and compiles it.
        arrays = jax_api.evaluate(traced.jaxpr, key, images)
    return jax.tree.unflatten(jax.tree.structure(traced.out_info), arrays)


def network_joints(name: str, joints: int) -> int:
    """`num_keypoints` of a model for a dataset of so many joints: with fields, the neck is more."""
    return joints + (info(name).paradigm == "part_affinity")


# `num_keypoints` is an argument of its own; the others belong to flax.
_NOT_OPTIONS = ("num_keypoints", "parent", "name")

# What options of these annotations must be. Unchecked, any word, "off" too, would count as True,
# and a word for a number would end in an error of Python's inside the network.
_TYPES = {
    "bool": (bool, "True or False"),
    "int": (int, "a whole number"),
    "float": (int | float, "a number"),
}


def _check_type(name: str, option: str, annotation: Any, value: Any) -> None:
    kind, _, optional = str(annotation).partition(" | ")
    if kind not in _TYPES or (value is None and optional == "None"):
        return
    types, wanted = _TYPES[kind]
    if not isinstance(value, types) or (kind != "bool" and isinstance(value, bool)):
        wanted += " or None" if optional == "None" and kind != "bool" else ""
        raise ValueError(f"{name}: option {option!r} must be {wanted}, got {value!r}")


def info(name: str) -> ModelInfo:
    """What the literature says about a model: paradigm, paper, input size, published rows."""
    check_choice("model", name, INFO)
    return INFO[name]
