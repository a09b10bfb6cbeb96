"""What a task offers to the rest of the library, and the types that its functions exchange."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from jaxpose import annotations
from jaxpose.poses import Poses
from jaxpose.skeletons import Skeleton

if TYPE_CHECKING:
    import flax.linen as nn
    import jax
    from jax.sharding import Mesh
    from ml_collections import ConfigDict

    from jaxpose.config import Setting
    from jaxpose.tasks.scoring import Case, Evaluation

Tree = Any  # of arrays
Batch = Mapping[str, np.ndarray]  # of one host, as the input pipeline's schema describes it
Size = tuple[int, int]  # (H, W) in pixels

# (params, batch_stats, batch, key) -> (loss, (new batch_stats, terms)); float32 scalars. The random
# key may be left out for a network that draws nothing.
LossFunction = Callable[..., tuple["jax.Array", tuple[Tree, dict[str, "jax.Array"]]]]
# Normalized float32 images [B, H, W, 3] -> the outputs of a network that runs outside JAX.
RunFile = Callable[[np.ndarray], Any]
# Settings that say how outputs become poses; each task has a frozen dataclass of its own.
Decoder = Any


@dataclasses.dataclass(frozen=True)
class Objective:
    """A loss and what it needs.

    Attributes:
      loss: see `LossFunction`; the mean over the batch.
      terms: names of the loss's terms, which are logged beside it.
      inputs: keys of the batch that the loss reads.
    """

    loss: LossFunction
    terms: tuple[str, ...]
    inputs: tuple[str, ...]


class Agreement(Protocol):
    """How far an exported file is from its model; `str()` gives the figures in words."""

    @property
    def holds(self) -> bool:
        """Whether all differences are within the tolerances."""
        ...


class Task(Protocol):
    """A module that says how poses are learned, predicted, scored and exported.

    Attributes:
      NAME: the value of `config.task`, also recorded with models and in exported files.
      TITLE: for headings.
      COUNTS: what the examples are, for the log: "people" or "images".
      EXAMPLE: what the input pipeline makes an example of: "crop" (one person, who needs a box) or
        "image" (everyone in it).
      INPUT_STEP: the sides of the network's input are multiples of it, in pixels.
      SIZINGS: the choices for `sizing` in `estimate`, the default first.
      RECIPE: the recipe that a new training starts from.
      SETTINGS: all settings of a recipe, with defaults and constraints.
      BENCHMARK: settings of a timed training step that differ from the defaults.
    """

    NAME: str
    TITLE: str
    COUNTS: str
    EXAMPLE: str
    INPUT_STEP: int
    SIZINGS: tuple[str, ...]
    RECIPE: str
    SETTINGS: tuple[Setting, ...]
    BENCHMARK: Mapping[str, Any]

    # ---------------------------------------------------------------- settings and data

    def check_settings(self, config: ConfigDict) -> None:
        """Raises ConfigError for settings that do not fit each other."""
        ...

    def check_skeleton(self, skeleton: Skeleton, source: str) -> None:
        """Raises ValueError, naming `source`, for keypoints that the task cannot learn."""
        ...

    def network_keypoints(self, num_keypoints: int) -> int:
        """`num_keypoints` of a network that learns so many keypoints of a dataset."""
        ...

    def metric_of(self, skeleton: Skeleton) -> str:
        """The `config.eval.metric` of the dataset that has this skeleton."""
        ...

    def describe_examples(self, config: ConfigDict) -> str:
        """What is evaluated, for the log: "annotated boxes", "images"."""
        ...

    # ---------------------------------------------------------------- training

    def make_objective(self, model: nn.Module, config: ConfigDict) -> Objective:
        """The loss of `config.loss`, its targets drawn on the device from keypoints."""
        ...

    def describe_loss(self, config: ConfigDict) -> str:
        """The loss in words, for the terms of a benchmark."""
        ...

    def sample_batch(
        self, input_size: Size, count: int, num_keypoints: int, seed: int = 0
    ) -> dict[str, np.ndarray]:
        """A training batch of drawn images and random keypoints, for benchmarks."""
        ...

    def torch_loss(self, config: ConfigDict, batch: Batch) -> Callable[[Any], Any]:
        """The objective for the outputs [B, C, h, w] of a torch module, on this batch.

        Raises:
          ValueError: settings of the loss that the torch twin does not have.
        """
        ...

    # ---------------------------------------------------------------- prediction

    def decoder_from_config(self, config: ConfigDict) -> Decoder:
        """How the outputs of a network become poses, by `config.eval` and `config.sigma`."""
        ...

    def decoder_from_metadata(self, metadata: Mapping[str, Any]) -> Decoder:
        """The same from the metadata of an exported file, for `estimate`."""
        ...

    def decoder_for_estimate(self, decoder: Decoder, flip: bool) -> Decoder:
        """The decoder with what applies to single images: flip test or none, one scale."""
        ...

    def model_predictor(
        self, model: nn.Module, skeleton: Skeleton, mesh: Mesh, decoder: Decoder
    ) -> Callable[[Any, Batch], Any]:
        """(variables, batch of this host) -> what `evaluate` and `estimate` read.

        The network runs on the devices of the mesh; `.program` is the jitted function.
        """
        ...

    def file_predictor(
        self, run_file: RunFile, skeleton: Skeleton, decoder: Decoder
    ) -> Callable[[Batch], Any]:
        """The same for a network that runs outside JAX, such as an exported file."""
        ...

    def view(self, image_size: Size, input_size: Size) -> tuple[np.ndarray, np.ndarray]:
        """Center [2] and scale [2] of the crop that shows a whole image at the input's size."""
        ...

    def estimate(
        self,
        predict: Callable[[Batch], Any],
        image: np.ndarray,
        boxes: np.ndarray | None,
        *,
        num_keypoints: int,
        input_size: Size,
        sizing: str,
        batch_size: int,
    ) -> Poses:
        """Poses in one uint8 RGB image [H, W, 3], in its pixels."""
        ...

    # ---------------------------------------------------------------- evaluation

    def evaluate(
        self,
        predict: Callable[[Batch], Any],
        batches: Iterable[Batch],
        dataset: annotations.Dataset,
        config: ConfigDict,
        *,
        head_boxes: pathlib.Path | None = None,
    ) -> Evaluation:
        """Predicts and scores a split.

        Args:
          predict: from `model_predictor`, with the variables bound, or from `file_predictor`.
          batches: one pass over the split; examples with `valid` False are left out.
          dataset: the split's annotations.
          config: `eval`, `data.detections` and `data.limit` are used.
          head_boxes: mpii_gt_val.mat, for the official PCKh.

        Raises:
          ValueError: no batch, annotations that the metric cannot score, predictions that do not
            fit the annotations, or head boxes that cannot be read.
        """
        ...

    def worst_cases(self, evaluation: Evaluation, count: int) -> list[Case]:
        """The `count` cases of least similarity to the annotation, worst first."""
        ...

    # ---------------------------------------------------------------- exported files

    def metadata(self, config: ConfigDict, skeleton: Skeleton, num_outputs: int) -> dict[str, Any]:
        """What a file records, beside what all files do, to lead from an image to poses."""
        ...

    def fit_settings(self, config: ConfigDict, metadata: Mapping[str, Any], source: str) -> str:
        """Makes `config` evaluate an exported file; returns a line to print, or "".

        Raises:
          ValueError: settings that the file cannot be evaluated with.
        """
        ...

    def compare(
        self, expected: Any, actual: Any, input_size: Size, decoder: Decoder, skeleton: Skeleton
    ) -> Agreement:
        """Differences between the outputs of a model and those of its exported file.

        Raises:
          MismatchError: outputs of other shapes, or that are not finite.
        """
        ...

    def sample_decoding(self, input_size: Size) -> tuple[str, Callable[[], object]]:
        """What is decoded, and a call that decodes it from drawn outputs, for benchmarks."""
        ...
