"""Lightweight HRNet: a lightweight network for bottom-up pose estimation (Liao et al. 2024).

image [B,H,W,3] -> convolutions and Lite Conv Modules (section III-C) -> four maps at 1/4 to 1/32,
which exchange channels (CEM, III-D) as they become branches -> EfficientHRNet's network with two
stages, of 2 and of 4 branches -> heatmaps and tags [B,H/4,W/4,2K], heatmaps [B,H/2,W/2,K].

There is no public code. Sizes and strides of Table I that contradict its own feature maps, and what
the text leaves open, are chosen so that the network has all six printed sizes (r = 0, -1, -2).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from jaxpose import ops
from jaxpose.layers import ConvNormAct, Layers, ModuleDef, check_choice, check_images, init
from jaxpose.models.efficient_hrnet import Scaling, branch_widths, pose_from_taps
from jaxpose.models.efficientnet import B0, scaled_width
from jaxpose.models.hrnet import CONV_INIT, policy
from jaxpose.models.hrnet_stages import Stage

VARIANTS = ("proj", "plain")
# How much of each map is exchanged -> order in which the maps' chunks are distributed (1 is A1).
EXCHANGES = {"half": (3, 2, 4, 1), "all": (1, 2, 3, 4)}


class Piece(NamedTuple):
    """Channels start to stop of map A_{source+1}."""

    source: int
    start: int
    stop: int


def exchange_pieces(
    widths: Sequence[int],
    exchange: str = "half",
    order: Sequence[int] | None = None,
    groups: int = 4,
) -> tuple[tuple[Piece, ...], ...]:
    """Which channels the CEM gives to each branch: a permutation of all channels.

    The first half of each map's channels (or all of them) is cut into `groups` equal chunks. The
    first chunks of all maps in `order`, then the second chunks and so on, make one long sequence.
    From it, each map in turn takes as many channels as it gave away, followed by the half that it
    kept. With the default order, this rule gives the paper's Table IV; "all", which the paper
    rejects, gives its Table III.

    Args:
      widths: channels of A1, A2, ...
      exchange: "half" or "all".
      order: of the maps, counted from 1; None means the paper's, see `EXCHANGES`.
      groups: chunks per map.

    Returns:
      For each map, the pieces of which A_n' consists, in order.

    Raises:
      ValueError: an order that is not a permutation, or a map that cannot be cut into equal chunks.
    """
    order = EXCHANGES[exchange] if order is None else order
    if not isinstance(order, Sequence) or sorted(order) != list(range(1, len(widths) + 1)):
        raise ValueError(f"CEM: order {order} must name each of the {len(widths)} maps once")
    exchanged = [width // 2 if exchange == "half" else width for width in widths]
    for number, (width, part) in enumerate(zip(widths, exchanged, strict=True), 1):
        if groups < 1 or part % groups or (exchange == "half" and width % 2):
            raise ValueError(
                f"CEM: {exchange} of the {width} channels of A{number} cannot be cut into "
                f"{groups} equal chunks"
            )
    sequence = []
    for group in range(groups):
        for source in (number - 1 for number in order):
            chunk = exchanged[source] // groups
            sequence += [(source, chunk * group + channel) for channel in range(chunk)]
    branches, first = [], 0
    for number, (width, part) in enumerate(zip(widths, exchanged, strict=True)):
        kept = [(number, channel) for channel in range(part, width)]
        branches.append(_joined(sequence[first : first + part] + kept))
        first += part
    return tuple(branches)


def _joined(channels: list[tuple[int, int]]) -> tuple[Piece, ...]:
    """Pieces of adjacent channels of one map."""
    pieces: list[Piece] = []
    for source, channel in channels:
        if pieces and pieces[-1].source == source and pieces[-1].stop == channel:
            pieces[-1] = pieces[-1]._replace(stop=channel + 1)
        else:
            pieces.append(Piece(source, channel, channel + 1))
    return tuple(pieces)


def exchange_channels(
    maps: Sequence[jax.Array], pieces: Sequence[Sequence[Piece]]
) -> list[jax.Array]:
    """The maps A_n' of Figure 3, all enlarged to the size of the first map.

    Each piece is cut from its small map, then enlarged.
    """
    size = maps[0].shape[1:3]

    def enlarged(piece: Piece) -> jax.Array:
        x = lax.slice_in_dim(maps[piece.source], piece.start, piece.stop, axis=-1)
        return ops.resize(x, size=size, method="nearest") if piece.source else x

    return [jnp.concatenate([enlarged(piece) for piece in branch], -1) for branch in pieces]


class LiteConvModule(nn.Module):
    """Section III-C: [B,H,W,C] -> [B,H/2,W/2,features], features > C.

    Two branches take the same input: C11 has as many output channels as the input, C12 has the
    rest. They are concatenated and shuffled; then half of the channels go through one more
    convolution, and all are shuffled again. A branch is a 3x3 convolution of stride 2; in the
    variant "proj", a 1x1 convolution to the branch's width precedes it.
    """

    features: int
    variant: str
    conv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        channels = x.shape[-1]
        if self.features <= channels or self.features % 2:
            raise ValueError(
                "lightweight_hrnet: a Lite Conv Module needs an even number of output channels "
                f"above its {channels} input channels, got {self.features}"
            )
        block = partial(ConvNormAct, conv=self.conv, norm=self.norm)
        branches = []
        for name, width in (("c11", channels), ("c12", self.features - channels)):
            y = x
            if self.variant == "proj":
                y = block(width, name=f"{name}_proj")(y, train)
            branches.append(block(width, 3, 2, name=name)(y, train))
        x = ops.channel_shuffle(jnp.concatenate(branches, axis=-1), groups=2)
        first, second = jnp.split(x, 2, axis=-1)
        first = block(self.features // 2, 3, name="c21")(first, train)
        return ops.channel_shuffle(jnp.concatenate([first, second], axis=-1), groups=2)


class ConvBackbone(nn.Module):
    """[B,H,W,3] -> A1 ... A4 at 1/4, 1/8, 1/16, 1/32 (Table I, without its stem at full size).

    Attributes:
      widths: of EfficientNet's seven stages; the first is the stem's.
      variant: of the Lite Conv Modules.
    """

    widths: tuple[int, ...]
    variant: str
    conv: ModuleDef
    norm: ModuleDef

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> list[jax.Array]:
        layers: Layers = dict(conv=self.conv, norm=self.norm)
        dense: ModuleDef = partial(ConvNormAct, kernel_size=3, **layers)
        lite: ModuleDef = partial(LiteConvModule, variant=self.variant, **layers)
        stem, *widths = self.widths
        x = dense(stem, stride=2, name="stem")(x, train)
        maps = []
        for layer, name, width in zip(
            (lite, lite, lite, dense, lite, dense),
            ("l1", "l2", "l3", "c4", "l5", "c6"),
            widths,
            strict=True,
        ):
            x = layer(width, name=name)(x, train)
            maps.append(x)
        a1, a2, _, a3, _, a4 = maps
        return [a1, a2, a3, a4]


class LightweightHRNet(nn.Module):
    """[B,H,W,3] normalized images -> (heatmaps and tags [B,H/4,W/4,2K], heatmaps [B,H/2,W/2,K]).

    Both float32; the first K channels of the first map are heatmaps, the other K are tags.

    Attributes:
      scaling: EfficientHRNet's scaling with phi = r.
      num_keypoints: K.
      cem: whether the maps exchange channels as they become branches. The layers are the same with
        and without; only their strides differ: Table VI, and Table V for False.
      exchange: "half" of each map's channels (Table IV) or "all" of them (Table III).
      order: in which the maps' chunks are distributed, e.g. (3, 2, 4, 1) for A3, A2, A4, A1; None
        means the order that reproduces the table.
      groups: number of chunks into which the exchanged channels of a map are cut.
      variant: of the Lite Conv Modules, "proj" with or "plain" without 1x1 convolutions. Both agree
        with the text; "plain" misses the printed size of r = 0 by a rounding.
      conv_init: "paper" = N(0, 0.001), that of EfficientHRNet's code, or "kaiming", for all but the
        last layers; the backbone always has the latter. The text names no initial values and no
        pretraining.
      dtype: of the arithmetic; parameters stay float32.
      bn_axis: mesh axis over which batch norm shares its statistics.
    """

    scaling: Scaling
    num_keypoints: int = 17
    cem: bool = True
    exchange: str = "half"
    order: tuple[int, ...] | None = None
    groups: int = 4
    variant: str = "proj"
    conv_init: str = "paper"
    dtype: Any = jnp.float32
    bn_axis: str | None = None

    def __post_init__(self):
        check_choice("lightweight_hrnet: exchange", self.exchange, EXCHANGES)
        check_choice("lightweight_hrnet: variant", self.variant, VARIANTS)
        check_choice("lightweight_hrnet: conv_init", self.conv_init, CONV_INIT)
        if self.cem:
            _, a1, a2, _, a3, _, a4 = self.backbone_widths
            exchange_pieces((a1, a2, a3, a4), self.exchange, self.order, self.groups)
        elif (self.exchange, self.order, self.groups) != ("half", None, 4):
            raise ValueError(
                "lightweight_hrnet: exchange, order and groups are options of the CEM; set cem=True"
            )
        super().__post_init__()

    @property
    def backbone_widths(self) -> tuple[int, ...]:
        """Widths of the seven layers: those of EfficientNet at this scaling."""
        return tuple(scaled_width(row.features, self.scaling.width) for row in B0)

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> tuple[jax.Array, jax.Array]:
        check_images(x, 32, "lightweight_hrnet")
        layers = policy(self.conv_init, self.dtype, self.bn_axis)
        maps = ConvBackbone(
            self.backbone_widths,
            self.variant,
            partial(layers["conv"], kernel_init=init.kaiming_fan_out),
            layers["norm"],
            name="backbone",
        )(x.astype(self.dtype), train)
        strides = (1, 1, 1, 1)
        if self.cem:
            channels = [x.shape[-1] for x in maps]
            pieces = exchange_pieces(channels, self.exchange, self.order, self.groups)
            # The layers that make the branches restore their sizes. The paper prints strides 2n.
            maps, strides = exchange_channels(maps, pieces), (1, 2, 4, 8)
        widths = branch_widths(self.scaling.phi)
        stages = [
            Stage("stage1", "trans1", widths[:2], modules=1),
            Stage("stage2", "trans2", widths, modules=3, outputs=1),
        ]
        return pose_from_taps(self, maps, stages, self.num_keypoints, layers, train, strides)
