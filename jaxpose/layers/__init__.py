"""Blocks that the models share. Every layer takes and returns NHWC arrays.

Models build `conv`, `norm` and `deconv` once as partials (dtype, batch-norm axis) and pass them to
their blocks, so the numeric policy of a network is defined in one place.
"""

from jaxpose.layers import init
from jaxpose.layers.attention import CBAM, ChannelGate, CoordinateAttention, DFCAttention
from jaxpose.layers.checks import check_choice, check_images
from jaxpose.layers.conv import (
    Conv,
    ConvNormAct,
    ConvTranspose,
    Deconv,
    Layers,
    Linear,
    ModuleDef,
)
from jaxpose.layers.norm import FROZEN, BatchNorm
from jaxpose.layers.repeat import rematerialized, repeat

__all__ = [
    "CBAM",
    "FROZEN",
    "BatchNorm",
    "ChannelGate",
    "Conv",
    "ConvNormAct",
    "ConvTranspose",
    "CoordinateAttention",
    "DFCAttention",
    "Deconv",
    "Layers",
    "Linear",
    "ModuleDef",
    "check_choice",
    "check_images",
    "init",
    "rematerialized",
    "repeat",
]
