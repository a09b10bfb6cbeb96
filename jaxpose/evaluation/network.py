"""The network that eval.py evaluates, as a function: of a run, an exported file, or untrained."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict

from jaxpose import models, runtimes, tasks
from jaxpose.evaluation.command_line import Source
from jaxpose.mesh import make_mesh, replicate
from jaxpose.runtimes.threads import cores
from jaxpose.skeletons import Skeleton
from jaxpose.wording import quantity


def open_exported(path: str, config: ConfigDict) -> runtimes.ExportedFile:
    """Opens an exported file and adapts the settings to it, e.g. the input size.

    The file runs on all cores of the process.

    Raises:
      ValueError: the file is of another task or model than the settings, or cannot be read.
      ImportError: the runtime of the file is not installed.
    """
    file = runtimes.open_file(path, threads=cores())
    name = file.metadata["task"]
    if name != config.task:
        raise ValueError(
            f"{path} is for the task {name}, but the settings are for {config.task}: give the run "
            "or the recipe that the file was exported from"
        )
    model = file.metadata["model"]
    if model != config.model:
        raise ValueError(
            f"{path} is the model {model}, but the settings are for {config.model}: give the run "
            "or the recipe that the file was exported from"
        )
    line = tasks.get(name).fit_settings(config, file.metadata, path)
    if line:
        print(line, flush=True)
    return file


def skeleton_of(source: Source, file: runtimes.ExportedFile | None) -> Skeleton | None:
    """The keypoints that the network was trained for; None for random weights."""
    if file:
        return Skeleton.from_dict(file.metadata["skeleton"])
    return source.run.skeleton if source.run else None


def make_predictor(
    source: Source, file: runtimes.ExportedFile | None, config: ConfigDict, skeleton: Skeleton
) -> Callable[[tasks.Batch], Any]:
    """Returns a function (batch) -> predictions, for `Task.evaluate`.

    Args:
      source: what to evaluate.
      file: the exported file of `source`, or None.
      config: all settings. The network is built from them, since flags may change settings such as
        dtype.
      skeleton: keypoints of the dataset.

    Raises:
      ValueError: the network has other keypoints.
    """
    task = tasks.get(config.task)
    decoder = task.decoder_from_config(config)
    own = skeleton_of(source, file)
    if own is not None and own.joints != skeleton.joints:
        raise ValueError(
            f"{source.name} has {quantity(own.num_joints, 'keypoint')} "
            f"({', '.join(own.joints)}), but the "
            f"dataset has {skeleton.num_joints} ({', '.join(skeleton.joints)})"
        )
    if file:
        return task.file_predictor(file.run, skeleton, decoder)
    model = tasks.create_model(config, skeleton.num_joints)
    if source.run:
        variables = source.run.variables
    else:
        variables = models.initial_variables(model, tuple(config.input_size), config.seed)
    mesh = make_mesh()
    predict = task.model_predictor(model, skeleton, mesh, decoder)
    return functools.partial(predict, replicate(variables, mesh))
