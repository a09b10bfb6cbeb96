"""Matches the arrays of a network with those of another one, by path, shape and keypoint.

An array is taken if the network has one of the same path and shape. If the keypoints are known and
differ, arrays with channels for each keypoint are matched by the names of the keypoints. Their
channels are heatmaps, or heatmaps and then tags, each in the order of the keypoints.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from jaxpose import sides, tasks
from jaxpose.models.zoo import CONSTRUCTORS
from jaxpose.runs.arrays import flat
from jaxpose.tasks.protocol import Tree

Pairs = list[tuple[int, int]]  # (from, to), indexes of keypoints or of channels


@dataclasses.dataclass(frozen=True)
class Channels:
    """Where an array depends on the number of keypoints K: a size of `blocks` * K + `others`.

    The other channels come after the keypoints in an output (the background). They come before them
    in an input, even of a depthwise layer: HigherHRNet's and WLitePose's heads read features and
    then their predictions.
    """

    axis: int
    blocks: int
    others: int
    others_first: bool

    def count(self, size: int) -> int | None:
        """K of an array with this size; None if there is none."""
        count, rest = divmod(size - self.others, self.blocks)
        return count if rest == 0 and count > 0 else None

    def pairs(self, shared: Pairs, old: int, new: int) -> Pairs:
        """(from, to) of all channels to copy, from the (from, to) of the keypoints.

        Args:
          shared: indexes of the keypoints that both networks have.
          old: K of the source.
          new: K of the network.
        """
        start = self.others if self.others_first else 0
        pairs = [
            (start + block * old + i, start + block * new + j)
            for block in range(self.blocks)
            for i, j in shared
        ]
        ends = (0, 0) if self.others_first else (self.blocks * old, self.blocks * new)
        return pairs + [(ends[0] + n, ends[1] + n) for n in range(self.others)]


@dataclasses.dataclass
class Matching:
    """Where the values of every array come from.

    Attributes:
      arrays: path -> array that is taken as it is.
      by_name: path -> where its channels are, and the (from, to) of those that are copied.
      random: paths of the arrays that stay random.
    """

    arrays: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    by_name: dict[str, tuple[Channels, Pairs]] = dataclasses.field(default_factory=dict)
    random: list[str] = dataclasses.field(default_factory=list)


def shared_joints(old: tuple[str, ...] | None, new: tuple[str, ...]) -> Pairs:
    """Indexes (old, new) of the keypoints with the same name, in any spelling.

    >>> shared_joints(("nose", "left_hip"), ("LHip", "tail", "Nose"))
    [(1, 0), (0, 2)]
    """
    index = {name: number for number, name in reversed(list(enumerate(sides.split(old or ()))))}
    names = enumerate(sides.split(new))
    return [(index[name], number) for number, name in names if name in index]


def keypoint_channels(
    config: ConfigDict, num_keypoints: int, template: Tree
) -> dict[str, Channels | None]:
    """The arrays whose shape depends on the number of keypoints.

    They are those that differ in a network with one keypoint more.

    Args:
      config: all settings.
      num_keypoints: K of the dataset.
      template: variables of the network.

    Returns:
      path -> its channels; None where more than one axis depends on K, or where the order is not
      known (channels beside those of the keypoints in a user's network).
    """
    larger = tasks.create_model(config, num_keypoints + 1)
    image = jax.ShapeDtypeStruct((1, *config.input_size, 3), jnp.float32)
    other = flat(jax.eval_shape(lambda x: larger.init(jax.random.key(0), x, train=False), image))
    count = tasks.get(config.task).network_keypoints(num_keypoints)
    channels: dict[str, Channels | None] = {}
    for path, leaf in flat(template).items():
        more = other[path].shape
        axes = [axis for axis, size in enumerate(leaf.shape) if size != more[axis]]
        if not axes:
            continue
        axis = axes[0]
        blocks = more[axis] - leaf.shape[axis]
        others = leaf.shape[axis] - blocks * count
        output = axis == len(leaf.shape) - 1
        depthwise = len(leaf.shape) == 4 and leaf.shape[2] == 1
        known = len(axes) == 1 and ((output and not others) or config.model in CONSTRUCTORS)
        channels[path] = (
            Channels(axis, blocks, others, others_first=depthwise or not output) if known else None
        )
    return channels


def match(
    needed: Mapping[str, jax.ShapeDtypeStruct],
    given: Mapping[str, np.ndarray],
    channels: Mapping[str, Channels | None],
    shared: Pairs,
) -> Matching:
    """Decides for every array of the network where its values come from.

    Args:
      needed: path -> shape of the network's arrays.
      given: path -> array of the source.
      channels: the arrays to match by the names of keypoints.
      shared: indexes (old, new) of the keypoints that both have.
    """
    result = Matching()
    for path, leaf in needed.items():
        array = given.get(path)
        if array is None:
            result.random.append(path)
        elif path not in channels:
            if array.shape == leaf.shape:
                result.arrays[path] = array
            else:
                result.random.append(path)
        else:
            where = channels[path]
            pairs = _channel_pairs(leaf.shape, array.shape, where, shared) if where else []
            if where and pairs:
                result.by_name[path] = where, pairs
            else:
                result.random.append(path)
    return result


def _channel_pairs(
    new: tuple[int, ...], old: tuple[int, ...], where: Channels, shared: Pairs
) -> Pairs:
    axis = where.axis
    if len(old) != len(new) or not shared:
        return []
    if old[:axis] + old[axis + 1 :] != new[:axis] + new[axis + 1 :]:
        return []
    before, after = where.count(old[axis]), where.count(new[axis])
    if before is None or after is None:
        return []
    return where.pairs(shared, before, after)


def copy_channels(
    start: np.ndarray, array: np.ndarray, channels: Channels, pairs: Pairs
) -> np.ndarray:
    """`start` with the channels `pairs` (from, to) of `array`."""
    old, new = zip(*pairs, strict=True)
    result = np.moveaxis(start, channels.axis, -1).copy()
    result[..., list(new)] = np.moveaxis(array, channels.axis, -1)[..., list(old)]
    return np.moveaxis(result, -1, channels.axis)


def report(
    needed: Mapping[str, jax.ShapeDtypeStruct],
    matching: Matching,
    given: Mapping[str, np.ndarray],
    unused: Sequence[str] = (),
) -> tuple[list[list[str]], float]:
    """A table of what was taken, and the share of the parameters.

    If everything that was taken is in the backbone, the share is that of the backbone's parameters.

    Args:
      needed: path -> shape of the network's arrays.
      matching: what `match` decided.
      given: path -> array of the source.
      unused: further names in the source for which the network has no path.
    """
    sizes = {
        path: math.prod(leaf.shape) for path, leaf in needed.items() if path.startswith("params/")
    }
    matched = {
        path: sizes[path] // needed[path].shape[where.axis] * len(pairs)
        for path, (where, pairs) in matching.by_name.items()
        if path in sizes
    }
    taken = {path: sizes[path] for path in matching.arrays if path in sizes}
    backbone = [path for path in sizes if path.startswith("params/backbone/")]
    alone = bool(taken) and not matched and set(taken) <= set(backbone)
    total = sum(sizes[path] for path in (backbone if alone else sizes))
    every = sum(sizes.values())
    copied = sum(taken.values()) + sum(matched.values())
    random = [path for path in matching.random if path in sizes]
    rows = [["weights", "arrays", "parameters", "share", ""]]
    for name, paths, count in (
        ("taken", [*taken], sum(taken.values())),
        ("matched by keypoint", [*matched], sum(matched.values())),
        ("random", random, every - copied),
    ):
        shown = _first(path.removeprefix("params/") for path in paths) if name != "taken" else ""
        rows.append([name, str(len(paths)), f"{count:,}", f"{100 * count / every:.1f}%", shown])
    left = [*unused, *sorted(path.partition("/")[2] for path in given if path not in needed)]
    if left:
        rows.append(["not used", str(len(left)), "", "", _first(left)])
    if alone:
        share = 100 * copied / total
        rows.append(["of the backbone", str(len(backbone)), f"{total:,}", f"{share:.1f}%", "taken"])
    return rows, copied / total


def _first(names: Iterable[str], count: int = 3) -> str:
    names = list(names)
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more
