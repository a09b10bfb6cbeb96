"""Scores of a run's model and of its exported files, on the validation data of the run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from jaxpose import tasks
from jaxpose.annotations import left_out_lines, need_sides
from jaxpose.evaluation import command_line
from jaxpose.evaluation.network import make_predictor
from jaxpose.export.source import Source
from jaxpose.export.verify import in_float32
from jaxpose.files import location
from jaxpose.runs import Run
from jaxpose.runtimes import ExportedFile, open_file
from jaxpose.runtimes.threads import cores
from jaxpose.tasks.agreement import MismatchError
from jaxpose.training import runtime


@dataclass(frozen=True)
class Score:
    """The metric of a file and of its model.

    Attributes:
      metric: its name, "AP" or "PCKh".
      model, file: in points of 100.
    """

    metric: str
    model: float
    file: float

    @property
    def difference(self) -> float:
        """How much higher the score of the file is; negative if it lost accuracy."""
        return self.file - self.model


class Scorer:
    """Evaluates the files of a run as eval.py does, and the model in float32 as their reference.

    The model is evaluated when the first file is scored, with the settings of the files: at their
    input size, and at one scale.

    Args:
      source: the network.
      checkpoint: its path, for messages.
      data: folder of the data; None for `config.data.root` of the run.

    Attributes:
      data: the validation data.

    Raises:
      ValueError: the settings or the data of the run are invalid.
      ImportError: the input pipeline or TensorFlow is not installed.
    """

    def __init__(
        self, source: Source, checkpoint: str | os.PathLike[str], data: Path | None = None
    ) -> None:
        config = source.config.copy_and_resolve_references()
        with config.unlocked():
            config.input_size, config.dtype = source.input_size, "float32"
            if "scales" in config.eval:
                config.eval.scales = (1.0,)
            if data is not None:
                config.data.root = str(data)
        line = source.task.fit_settings(config, source.metadata(), "the exported files")
        tasks.validate(config, devices=jax.device_count(), training=False)
        pipeline = _input_pipeline()
        self.data = pipeline.eval_data(config, skeleton=source.skeleton, scored=True)
        if config.eval.flip:
            need_sides(self.data.dataset)
        self._head_boxes = runtime.head_boxes(config)
        model, weights = in_float32(source.model), source.variables
        run = Run(config, model, weights, source.skeleton, location(checkpoint))
        self._config, self._task = config, source.task
        self._model = command_line.Source(str(checkpoint), location(checkpoint), run=run)
        self._score_of_model: float | None = None
        self._notes = [line] * bool(line) + left_out_lines(self.data.dataset)

    @property
    def name(self) -> str:
        """Name of the metric."""
        return "PCKh" if self._config.eval.metric == "mpii" else "AP"

    def images(self, count: int) -> np.ndarray:
        """The first validation images as the network receives them: uint8 [N, H, W, 3].

        Raises:
          ValueError: none can be read.
        """
        found: list[np.ndarray] = []
        for batch in self.data.batches():
            found += list(batch["image"][batch["valid"]])
            if len(found) >= count:
                break
        if not found:
            raise ValueError(f"{self.data.dataset.path}: none of its images can be read")
        return np.stack(found[:count])

    def score(self, path: Path, limit: float) -> Score:
        """Scores a file.

        Args:
          path: the file.
          limit: points that the file may lose.

        Raises:
          MismatchError: it loses more.
        """
        if self._score_of_model is None:
            for line in self._notes:
                print(line, flush=True)
            self._score_of_model = self._evaluate(self._model)
        file = open_file(path, threads=cores())
        named = command_line.Source(str(path), path.parent, exported=str(path))
        score = Score(self.name, self._score_of_model, self._evaluate(named, file))
        if not -score.difference <= limit:
            raise MismatchError(
                f"{path}: {score.metric} {score.file:.2f} of the file is "
                f"{-score.difference:.2f} points below {score.model:.2f} of the model; the limit "
                f"is {limit:g} (--max-drop)"
            )
        return score

    def describe(self) -> str:
        """The data of the scores, in words."""
        examples = self._task.describe_examples(self._config)
        return f"{self.data.num_examples} {examples} of {self.data.dataset.path}"

    def _evaluate(self, source: command_line.Source, file: ExportedFile | None = None) -> float:
        """The metric in points of 100."""
        data, config = self.data, self._config
        predict = make_predictor(source, file, config, data.skeleton)
        evaluation = self._task.evaluate(
            predict, data.batches(), data.dataset, config, head_boxes=self._head_boxes
        )
        return evaluation.score if self.name == "PCKh" else 100 * evaluation.score


def _input_pipeline():
    """The package `input_pipeline`, which needs TensorFlow and is only in a checkout."""
    try:
        import input_pipeline.graph

        input_pipeline.graph.tensorflow()
    except ModuleNotFoundError as error:
        if str(error.name).startswith("input_pipeline"):
            raise ImportError(
                "--eval reads the validation data with input_pipeline, which is not installed: "
                "run `python -m jaxpose export` in a checkout of the project"
            ) from error
        raise ImportError(
            f"{error.name} is not installed, but --eval needs it: pip install 'jaxpose[train]'"
        ) from error
    return input_pipeline
