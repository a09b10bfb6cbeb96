"""The state at step 0: random weights, or those of another network where they match."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from jaxpose import tables
from jaxpose.config import ConfigError
from jaxpose.files import Location
from jaxpose.runs import read_arrays
from jaxpose.runs.arrays import flat
from jaxpose.skeletons import Skeleton
from jaxpose.training import matching
from jaxpose.training.state import TrainState, from_variables
from jaxpose.wording import agree, quantity


@dataclasses.dataclass(frozen=True)
class Source:
    """Weights to start from.

    Attributes:
      name: the checkpoint or file, for the log.
      arrays: path ("params/backbone/conv1/kernel") -> array in this library's layout.
      joints: names of the keypoints in the order of the channels; None if unknown.
      unused: keys of a file for which the network has no path.
      note: a remark for the log, e.g. the naming of the keys; or "".
      options: of the network, without which the weights compute something else.
    """

    name: str
    arrays: Mapping[str, np.ndarray]
    joints: tuple[str, ...] | None = None
    unused: tuple[str, ...] = ()
    note: str = ""
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


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
    shared = matching.shared_joints(source.joints, skeleton.joints)
    differ = source.joints is not None and (
        source.joints != skeleton.joints
        or any(p in needed and a.shape != needed[p].shape for p, a in source.arrays.items())
    )
    channels = matching.keypoint_channels(config, skeleton.num_joints, template) if differ else {}
    matched = matching.match(needed, source.arrays, channels, shared)
    log_line(f"weights from {source.name}{source.note and '; ' + source.note}")
    for key, value in source.options.items():
        if key not in config.model_options or config.model_options[key] != value:
            log_line(
                f"these weights were trained with the model option {key}={value}, which this run "
                f"does not have; to set it: --config.model_options.{key}={value}"
            )
    rows, share = matching.report(needed, matched, source.arrays, source.unused)
    for line in tables.text(rows).splitlines():
        log_line(line)
    if differ:
        names = ", ".join(skeleton.joints[new] for _, new in shared) or "none"
        keypoints = f"{len(shared)} of {quantity(skeleton.num_joints, 'keypoint')}"
        log_line(f"{keypoints} {agree(len(shared), 'has', 'have')} the same name: {names}")
    if share < config.init_share:
        missing = [path for path in matched.random if path.startswith("params/")]
        lacking = "missing parameter" if missing else "parameter of other keypoints"
        first = next(iter(missing or matched.by_name), "").partition("/")[2]
        raise ConfigError(
            f"config.init_from={config.init_from} has {100 * share:.1f}% of the parameters of "
            f"{config.model}, less than config.init_share={config.init_share:g}; the first "
            f"{lacking} is {first}"
        )
    arrays = dict(matched.arrays)
    if matched.random or matched.by_name:
        random = create(config.seed)
        start = flat({"params": random.params, "batch_stats": random.batch_stats})
        arrays |= {path: start[path] for path in matched.random}
        for path, copied in matched.by_name.items():
            arrays[path] = matching.copy_channels(
                np.array(start[path]), source.arrays[path], *copied
            )
    leaves = [jnp.asarray(arrays[path]) for path in needed]
    variables = jax.tree.unflatten(jax.tree.structure(template), leaves)
    return from_variables(
        variables, optimizer, ema=shapes.ema is not None, parts=shapes.window.parts
    )


def run_source(folder: Location) -> Source:
    """The weights of a run folder, of its `checkpoints` or of one checkpoint in it.

    Raises:
      CheckpointError: no such run, or no complete checkpoint.
    """
    path, arrays, info = read_arrays(folder)
    return Source(str(path), arrays, info.skeleton.joints)
