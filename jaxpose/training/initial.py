"""The state at step 0: random weights, or those of another network as far as they fit.

An array is taken if the network has one of the same path and shape. Arrays with channels for every
keypoint are matched by the names of the keypoints if these are known and differ: heatmaps, or
heatmaps and then tags, each in the order of the keypoints. What is left keeps its random values.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from jaxpose import tables, tasks
from jaxpose.config import ConfigError
from jaxpose.models.zoo import CONSTRUCTORS
from jaxpose.runs import read_arrays
from jaxpose.skeletons import Skeleton, split_side
from jaxpose.tasks.protocol import Tree
from jaxpose.training.selection import flat
from jaxpose.training.state import TrainState, from_variables


@dataclasses.dataclass(frozen=True)
class Source:
    """Weights to start from.

    Attributes:
      name: the checkpoint or file, for the log.
      arrays: path ("params/backbone/conv1/kernel") -> array in this library's layout.
      joints: names of the keypoints in the order of the channels; None if unknown.
      unused: keys of a file for which the network has no path.
      note: a remark for the log, e.g. the naming of the keys; or "".
    """

    name: str
    arrays: Mapping[str, np.ndarray]
    joints: tuple[str, ...] | None = None
    unused: tuple[str, ...] = ()
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Channels:
    """Where an array depends on the number of keypoints K: a size of `blocks` * K + `others`.

    The other channels come after the keypoints in an output (the background). They come before them
    in an input, also of a depthwise layer: HigherHRNet's and WLitePose's heads read features and
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

    def pairs(self, shared: list[tuple[int, int]], old: int, new: int) -> list[tuple[int, int]]:
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
    """What was taken. Each entry is path -> number of its elements that were copied."""

    arrays: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)  # complete ones
    by_name: dict[str, list[tuple[int, int]]] = dataclasses.field(default_factory=dict)
    random: list[str] = dataclasses.field(default_factory=list)


def initial_state(
    config: ConfigDict,
    skeleton: Skeleton,
    create: Callable[[int], TrainState],
    optimizer: optax.GradientTransformation,
    source: Source | None,
    log_line: Callable[[str], None],
) -> TrainState:
    """Returns a new state with random weights, or with those of `source`.

    Args:
      config: all settings.
      skeleton: keypoints of the dataset.
      create: seed -> state with random weights.
      optimizer: the optimizer.
      source: weights of `config.init_from`; None for random weights.
      log_line: prints a line.

    Raises:
      ConfigError: less than `config.init_share` of the parameters are in `source`.
    """
    if source is None:
        return create(config.seed)
    shapes = jax.eval_shape(create, config.seed)
    template = {"params": shapes.params, "batch_stats": shapes.batch_stats}
    needed = flat(template)
    shared = shared_joints(source.joints, skeleton.joints)
    differ = source.joints is not None and (
        source.joints != skeleton.joints
        or any(p in needed and a.shape != needed[p].shape for p, a in source.arrays.items())
    )
    channels = keypoint_channels(config, skeleton.num_joints, template) if differ else {}
    matching = match(needed, source.arrays, channels, shared)
    log_line(f"weights from {source.name}{source.note and '; ' + source.note}")
    rows, share = report(needed, matching, channels, source)
    for line in tables.text(rows).splitlines():
        log_line(line)
    if differ:
        names = ", ".join(skeleton.joints[new] for _, new in shared) or "none"
        log_line(f"{len(shared)} of {skeleton.num_joints} keypoints have the same name: {names}")
    if share < config.init_share:
        missing = next(p for p in matching.random if p.startswith("params/")).partition("/")[2]
        raise ConfigError(
            f"config.init_from={config.init_from} has {100 * share:.1f}% of the parameters of "
            f"{config.model}, less than config.init_share={config.init_share:g}; the first that it "
            f"lacks is {missing}"
        )
    arrays = dict(matching.arrays)
    if matching.random or matching.by_name:
        random = create(config.seed)
        start = flat({"params": random.params, "batch_stats": random.batch_stats})
        arrays |= {path: start[path] for path in matching.random}
        for path, pairs in matching.by_name.items():
            arrays[path] = copy_channels(
                np.array(start[path]), source.arrays[path], channels[path], pairs
            )
    leaves = [jnp.asarray(arrays[path]) for path in needed]
    variables = jax.tree.unflatten(jax.tree.structure(template), leaves)
    return from_variables(
        variables, optimizer, ema=shapes.ema is not None, parts=shapes.window.parts
    )


def run_source(folder: str) -> Source:
    """The weights of a run folder, of its `checkpoints` or of one checkpoint in it.

    Raises:
      CheckpointError: no such run, or no complete checkpoint.
    """
    path, arrays, info = read_arrays(folder)
    return Source(str(path), arrays, info.skeleton.joints)


def shared_joints(old: tuple[str, ...] | None, new: tuple[str, ...]) -> list[tuple[int, int]]:
    """Indexes (old, new) of the keypoints with the same name, however it is written.

    >>> shared_joints(("nose", "left_hip"), ("LHip", "tail", "nose"))
    [(1, 0), (0, 2)]
    """
    index = {split_side(joint): number for number, joint in reversed(list(enumerate(old or ())))}
    names = [split_side(joint) for joint in new]
    return [(index[name], number) for number, name in enumerate(names) if name in index]


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
    shared: list[tuple[int, int]],
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
            pairs = _channel_pairs(leaf.shape, array.shape, channels[path], shared)
            if pairs:
                result.by_name[path] = pairs
            else:
                result.random.append(path)
    return result


def _channel_pairs(
    new: tuple[int, ...],
    old: tuple[int, ...],
    channels: Channels | None,
    shared: list[tuple[int, int]],
) -> list[tuple[int, int]]:
    if channels is None or len(old) != len(new) or not shared:
        return []
    axis = channels.axis
    if old[:axis] + old[axis + 1 :] != new[:axis] + new[axis + 1 :]:
        return []
    before, after = channels.count(old[axis]), channels.count(new[axis])
    if before is None or after is None:
        return []
    return channels.pairs(shared, before, after)


def copy_channels(
    start: np.ndarray, array: np.ndarray, channels: Channels, pairs: list[tuple[int, int]]
) -> np.ndarray:
    """`start` with the channels `pairs` (from, to) of `array`."""
    old, new = zip(*pairs, strict=True)
    result = np.moveaxis(start, channels.axis, -1).copy()
    result[..., list(new)] = np.moveaxis(array, channels.axis, -1)[..., list(old)]
    return np.moveaxis(result, -1, channels.axis)


def report(
    needed: Mapping[str, jax.ShapeDtypeStruct],
    matching: Matching,
    channels: Mapping[str, Channels | None],
    source: Source,
) -> tuple[list[list[str]], float]:
    """A table of what was taken, and the share of the parameters.

    If everything that was taken lies in the backbone, the share is that of the backbone.
    """
    sizes = {
        path: math.prod(leaf.shape) for path, leaf in needed.items() if path.startswith("params/")
    }
    matched = {
        path: sizes[path] // needed[path].shape[channels[path].axis] * len(pairs)
        for path, pairs in matching.by_name.items()
        if path in sizes
    }
    taken = {path: sizes[path] for path in matching.arrays if path in sizes}
    backbone = [path for path in sizes if path.startswith("params/backbone/")]
    alone = bool(taken) and not matched and set(taken) <= set(backbone)
    total = sum(sizes[path] for path in (backbone if alone else sizes))
    every = sum(sizes.values())
    given = sum(taken.values()) + sum(matched.values())
    random = [path for path in matching.random if path in sizes]
    rows = [["weights", "arrays", "parameters", "share", ""]]
    for name, paths, count in (
        ("taken", [*taken], sum(taken.values())),
        ("matched by keypoint", [*matched], sum(matched.values())),
        ("random", random, every - given),
    ):
        shown = _first(path.removeprefix("params/") for path in paths) if name != "taken" else ""
        rows.append([name, str(len(paths)), f"{count:,}", f"{100 * count / every:.1f}%", shown])
    places = {path for path in source.arrays if path not in needed}
    unused = [*source.unused, *sorted(path.partition("/")[2] for path in places)]
    if unused:
        rows.append(["not used", str(len(unused)), "", "", _first(unused)])
    if alone:
        share = 100 * given / total
        rows.append(["of the backbone", str(len(backbone)), f"{total:,}", f"{share:.1f}%", "taken"])
    return rows, given / total


def _first(names: Iterable[str], count: int = 3) -> str:
    names = list(names)
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more
