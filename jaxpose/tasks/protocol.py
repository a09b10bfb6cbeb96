"""The protocol of a task, and the types that its functions exchange."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from jaxpose.annotations import Dataset
from jaxpose.poses import Poses
from jaxpose.skeletons import Skeleton
from jaxpose.tasks.agreement import FP32, Distances, Tolerance

if TYPE_CHECKING:
    import flax.linen as nn
    import jax
    from jax.sharding import Mesh
    from ml_collections import ConfigDict

    from jaxpose.config import Setting
    from jaxpose.tasks.scoring import Case, Evaluation

Tree = Any  # of arrays
Batch = Mapping[str, np.ndarray]  # of one host; see input_pipeline/batch.py
DeviceBatch = Mapping[str, "jax.Array"]  # the same, on the devices
Size = tuple[int, int]  # (H, W) in pixels

# (params, batch_stats, batch, key) -> (loss, (new batch_stats, terms)); float32 scalars. The key is
# optional for networks without random operations.
LossFunction = Callable[..., tuple["jax.Array", tuple[Tree, dict[str, "jax.Array"]]]]
# Normalized float32 images [B, H, W, 3] -> the outputs of a network that runs outside JAX.
RunFile = Callable[[np.ndarray], Any]
# How outputs become poses; each task has its own frozen dataclass.
Decoder = Any


@dataclasses.dataclass(frozen=True)
class Objective:
    """A loss and its inputs.

    Attributes:
      loss: the mean loss over the batch; see `LossFunction`.
      terms: names of the terms of the loss, which are logged too.
      inputs: keys of the batch that the loss reads.
    """

    loss: LossFunction
    terms: tuple[str, ...]
    inputs: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class FileDecoding:
    """Decoding that an exported file can contain.

    Attributes:
      decode: the outputs of the network -> the outputs of the file, in jax.
      outputs: names of the outputs of the file.
    """

    decode: Callable[[Any], Any]
    outputs: tuple[str, ...]


class Agreement(Protocol):
    """Differences between an exported file and its model; `str()` describes them.

    Attributes:
      images: number of images that both received.
      distances: between the keypoints.
      ties: number of keypoints left out because rounding decides them.
      tolerance: by which `holds` judges.
    """

    @property
    def images(self) -> int: ...

    @property
    def distances(self) -> Distances: ...

    @property
    def ties(self) -> int: ...

    @property
    def tolerance(self) -> Tolerance: ...

    @property
    def error(self) -> float:
        """Largest difference between the outputs, as a fraction of the model's largest value."""
        ...

    @property
    def mean_error(self) -> float:
        """Mean difference between the outputs, as a fraction of the model's largest value."""
        ...

    @property
    def holds(self) -> bool:
        """Whether all differences are within the tolerances."""
        ...


class Task(Protocol):
    """A module that defines how poses are learned, predicted, scored and exported.

    Attributes:
      NAME: value of `config.task`, also recorded with models and in exported files.
      TITLE: for headings.
      COUNTS: plural noun for examples in the log, "people" or "images".
      EXAMPLE: "crop" if an example is one person in a box, "image" if it is a whole image with all
        people in it.
      INPUT_STEP: the sides of the network's input are multiples of this, in pixels.
      SIZINGS: choices for `sizing` in `estimate`, the default first.
      RECIPE: recipe to start from on one's own data, for error messages.
      SETTINGS: all settings of a recipe, with defaults and constraints.
      BENCHMARK: settings of the training benchmark that differ from the defaults.
      LIKE: programs whose files an exported file can replace; choices for `jaxpose export --like`.
      FILE_DECODING: decoding for `jaxpose export --decode`; None if files cannot decode.
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
    LIKE: tuple[str, ...]
    FILE_DECODING: FileDecoding | None

    # ---------------------------------------------------------------- settings and data

    def check_settings(self, config: ConfigDict) -> None:
        """Raises ConfigError for settings that contradict each other."""
        ...

    def check_skeleton(self, skeleton: Skeleton, source: str) -> None:
        """Raises ValueError, naming `source`, for keypoints that the task cannot learn."""
        ...

    def network_keypoints(self, num_keypoints: int) -> int:
        """`num_keypoints` of the network for a dataset with `num_keypoints`."""
        ...

    def metric_of(self, skeleton: Skeleton) -> str:
        """The value of `config.eval.metric` for a dataset with this skeleton."""
        ...

    def describe_examples(self, config: ConfigDict) -> str:
        """The evaluated examples for the log, e.g. "annotated boxes" or "images"."""
        ...

    # ---------------------------------------------------------------- training

    def make_objective(self, model: nn.Module, config: ConfigDict) -> Objective:
        """The loss of `config.loss`; targets are made from keypoints on the device."""
        ...

    def describe_loss(self, config: ConfigDict) -> str:
        """The loss in words, for the conditions that a benchmark prints."""
        ...

    def sample_batch(
        self, input_size: Size, count: int, num_keypoints: int, seed: int = 0
    ) -> dict[str, np.ndarray]:
        """A training batch of synthetic images and random keypoints, for benchmarks."""
        ...

    def torch_loss(
        self, config: ConfigDict, batch: Batch, device: str = "cpu"
    ) -> Callable[[Any], Any]:
        """The objective as a function of the outputs [B, C, h, w] of a torch module on a device.

        Raises:
          ValueError: settings of the loss that are not implemented in torch.
        """
        ...

    # ---------------------------------------------------------------- prediction

    def decoder_from_config(self, config: ConfigDict) -> Decoder:
        """How outputs become poses, from `config.eval` and `config.sigma`."""
        ...

    def decoder_from_metadata(self, metadata: Mapping[str, Any]) -> Decoder:
        """How outputs become poses in `estimate`, from the metadata of an exported file."""
        ...

    def decoder_for_estimate(self, decoder: Decoder, flip: bool) -> Decoder:
        """The decoder for single images: with or without the flip test, at one scale."""
        ...

    def model_predictor(
        self, model: nn.Module, skeleton: Skeleton, mesh: Mesh, decoder: Decoder
    ) -> Callable[[Any, Batch], Any]:
        """A function (variables, batch of this host) -> predictions for `evaluate` and `estimate`.

        The network runs on the devices of the mesh. `.program` is the jitted function.
        """
        ...

    def file_predictor(
        self, run_file: RunFile, skeleton: Skeleton, decoder: Decoder
    ) -> Callable[[Batch], Any]:
        """A function (batch) -> predictions, for a network outside JAX such as an exported file."""
        ...

    def maps(self, outputs: Any, skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray | None]:
        """Heatmaps [B, h, w, K] and tags [B, h, w, K] (None without) from outputs, to be drawn."""
        ...

    def view(self, image_size: Size, input_size: Size) -> tuple[np.ndarray, np.ndarray]:
        """Center [2] and scale [2] of the crop that shows a whole image at the input size."""
        ...

    def crop_matrix(
        self, center: np.ndarray, scale: np.ndarray, input_size: Size, decoder: Decoder
    ) -> np.ndarray:
        """The matrix [2, 3] from the image to a crop without rotation, which the decoder undoes."""
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
        decoder: Decoder,
    ) -> Poses:
        """Poses in one uint8 RGB image [H, W, 3], in its pixels; `decoder` is that of `predict`."""
        ...

    # ---------------------------------------------------------------- evaluation

    def evaluate(
        self,
        predict: Callable[[Batch], Any],
        batches: Iterable[Batch],
        dataset: Dataset,
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
          ValueError: no batch, annotations that do not suit the metric, predictions that do not fit
            the annotations, or head boxes that cannot be read.
        """
        ...

    def predict_results(
        self,
        predict: Callable[[Batch], Any],
        batches: Iterable[Batch],
        dataset: Dataset,
        config: ConfigDict,
    ) -> list[dict[str, Any]]:
        """The COCO results list of a split, as `evaluate` scores it; needs no annotations.

        Raises:
          ValueError: no batch.
        """
        ...

    def worst_cases(self, evaluation: Evaluation, count: int) -> list[Case]:
        """The `count` cases with the lowest OKS, lowest first."""
        ...

    # ---------------------------------------------------------------- exported files

    def metadata(self, config: ConfigDict, skeleton: Skeleton, num_outputs: int) -> dict[str, Any]:
        """The metadata of exported files that only this task has."""
        ...

    def fit_settings(self, config: ConfigDict, metadata: Mapping[str, Any], source: str) -> str:
        """Adapts `config` to an exported file; returns a line for the log, or "".

        Raises:
          ValueError: settings that the file does not support.
        """
        ...

    def compare(
        self,
        expected: Any,
        actual: Any,
        input_size: Size,
        decoder: Decoder,
        skeleton: Skeleton,
        tolerance: Tolerance = FP32,
    ) -> Agreement:
        """Differences between the outputs of a model and those of its exported file.

        Raises:
          MismatchError: outputs of different shapes, or values that are not finite.
        """
        ...

    def sample_decoding(
        self, input_size: Size, decoder: Decoder
    ) -> tuple[str, Callable[[], object]]:
        """A description and a function that decodes synthetic outputs, for benchmarks.

        The decoder's grouping or refinement is used; there is no flip test.
        """
        ...
