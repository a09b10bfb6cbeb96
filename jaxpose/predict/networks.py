"""Trained networks ready to predict, from run folders and from exported files."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Any

from jaxpose import evaluation
from jaxpose.export.files import SUFFIXES
from jaxpose.skeletons import Skeleton

SIZINGS = ("short_side", "fixed")


@dataclasses.dataclass(frozen=True)
class Network:
    """What a run folder or an exported file gives.

    Attributes:
        task: "topdown", "associative_embedding" or "part_affinity".
        skeleton: joints of the people.
        input_size: (H, W) of the crop; of a network that finds the people see `sizing`.
        predict: a batch of the input pipeline's evaluation schema, numpy arrays under `image`,
            `center` and `scale` -> (keypoints, scores) of the crops, or the people of each picture
            (`jaxpose.evaluation`).
        sizing: bottom-up: "short_side" takes pictures whose short side is that of `input_size`,
            "fixed" those of `input_size`.
    """

    task: str
    skeleton: Skeleton
    input_size: tuple[int, int]
    predict: Callable[[dict[str, Any]], Any]
    sizing: str = "fixed"


def load(path: pathlib.Path, *, step: int | str | None, flip: bool) -> Network:
    """The network at `path`; raises ValueError when it cannot be read."""
    if path.suffix in SUFFIXES.values():
        if step is not None:
            raise ValueError(f"{path} is one network: step belongs to run folders")
        return _from_file(path, flip)
    return _from_run(path, step, flip)


def _from_run(path: pathlib.Path, step: int | str | None, flip: bool) -> Network:
    import jax

    from jaxpose import mesh, runs

    config, model, variables, skeleton = runs.load_run(path, step=step)
    grid = mesh.make_mesh(jax.local_devices()[:1])
    sizing = "fixed"
    if config.task != "topdown":
        options = evaluation.PeopleOptions.from_config(config)
        options = dataclasses.replace(options, flip=flip, scales=(1.0,), inside=True)
        predict = evaluation.make_people_predict(model, skeleton, grid, options)
        sizing = config.eval.sizing
    else:
        options = {"flip": flip, "decode": config.eval.decode, "sigma": config.sigma}
        predict = evaluation.make_predict(model, skeleton, grid, **options)
    predict = functools.partial(predict, mesh.replicate(variables, grid))
    return Network(config.task, skeleton, tuple(config.input_size), predict, sizing)


def _from_file(path: pathlib.Path, flip: bool) -> Network:
    from jaxpose import codecs, export

    facts = export.read_metadata(path)
    skeleton = Skeleton.from_dict(facts["skeleton"])
    run_file = export.run_file(path)
    if facts["task"] != "topdown":
        grouping = codecs.PEOPLE[facts["task"]].Grouping(**facts["grouping"])
        options = evaluation.PeopleOptions(flip, grouping=grouping, inside=True)
        predict = evaluation.make_people_from_outputs(run_file, skeleton, options)
    else:
        options = {"flip": flip, **{key: facts["codec"][key] for key in ("decode", "sigma")}}
        predict = evaluation.make_predict_from_heatmaps(run_file, skeleton, **options)
    return Network(facts["task"], skeleton, tuple(facts["input_size"]), predict)
