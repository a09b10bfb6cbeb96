"""`PoseEstimator`: a trained network as a function of images."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxpose import geometry, runtimes, tasks, tensor_file
from jaxpose.choices import choose_from
from jaxpose.files import Location, location
from jaxpose.poses import Poses
from jaxpose.predict.heatmaps import Maps
from jaxpose.remote import RemotePath
from jaxpose.skeletons import Skeleton


class PoseEstimator:
    """A trained network as a function of images.

    Args:
      source: a run folder (or a checkpoint in one), which may be a URL with gs:// or s3://, or a
        file written by `jaxpose export`. A file, except one of weights, needs only its own runtime,
        not JAX.
      step: checkpoint of a run folder: a number, "best", or None for the newest.
      flip: average with the mirrored image, as in the papers' test results; doubles the time. Has
        no effect for a run with `config.eval.flip=False`.
      batch_size: largest number of people per call of a top-down network. The last call is padded
        to a power of two; the network is compiled once for each such number.
      sizing: for the run folder of a bottom-up network, as `config.eval.sizing`; None for the run's
        setting. "short_side" resizes the short side of every image to that of the network's input
        size and pads the long side to a multiple of 64 pixels; the network is compiled once per
        size. An image longer than three times its short side is shrunk to fit that length, so there
        are at most 17 sizes at 256 pixels and 29 at 448. "fixed" fits every image into the
        input size and compiles once; it is the only choice for files and for top-down networks.

    Attributes:
      skeleton: keypoints of the poses.
      input_size: (H, W) of the network, pixels.
      sizing: the sizing in use.

    Raises:
      ValueError: `source` is of another kind or cannot be read, or an option does not apply to it.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | RemotePath,
        *,
        step: int | str | None = None,
        flip: bool = True,
        batch_size: int = 8,
        sizing: str | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        self.source = location(source)
        exported = self.source.suffix in runtimes.SUFFIXES.values()
        if isinstance(self.source, RemotePath):
            if exported:
                raise ValueError(f"{source}: copy the exported file to a local disk and give that")
            network = _load_run(self.source, step, flip)
        elif self.source.suffix == tensor_file.SUFFIX:
            network = _load_run(self.source, step, flip)
        elif exported or self.source.is_file():
            if step is not None:
                raise ValueError(f"{source} is an exported file: step applies to run folders only")
            network = _load_file(self.source, flip)
        else:
            network = _load_run(self.source, step, flip)
        self.skeleton, self.input_size = network.skeleton, network.input_size
        self.sizing = sizing or network.sizings[0]
        if self.sizing not in network.sizings:
            choices = choose_from(self.sizing, network.sizings)
            raise ValueError(f"{source}: sizing={sizing!r}: {choices}")
        self._task, self._predict, self._batch_size = network.task, network.predict, batch_size
        self._network = network

    @property
    def takes_boxes(self) -> bool:
        """Whether the network needs person boxes (top-down)."""
        return self._task.EXAMPLE == "crop"

    def __call__(self, image: np.ndarray, boxes: np.ndarray | None = None) -> Poses:
        """Estimates the poses of the people in an image.

        Args:
          image: uint8 [H, W, 3], RGB.
          boxes: for a top-down network, [N, 4] (x, y, w, h) in pixels, one per person, or [N, 5]
            with the score of the box, by which the person's score is multiplied; None means that
            the whole image is one person. Must be None for a bottom-up network.

        Returns:
          The poses in the order of the boxes; for a bottom-up network, sorted by person score,
          highest first.

        Raises:
          ValueError: an array of another dtype or shape, boxes that are empty or not finite, or
            boxes for a bottom-up network.
        """
        if image.ndim != 3 or image.shape[-1] != 3 or image.dtype != np.uint8:
            raise ValueError(f"image must be uint8 [H, W, 3], got {image.dtype} {image.shape}")
        return self._estimate(self._predict, image, boxes, self._batch_size)

    def maps(self, image: np.ndarray, boxes: np.ndarray | None = None) -> list[Maps]:
        """Returns what the network outputs for an image, before decoding, without flip test.

        Args:
          image: uint8 [H, W, 3], RGB.
          boxes: as for a call.

        Returns:
          One entry per box; one for the whole image if the network is bottom-up.
        """
        network, result = self._network, []

        def record(images: np.ndarray) -> Any:
            outputs = network.forward(images)
            heatmaps, tags = network.task.maps(outputs, self.skeleton)
            pixels = np.round(images * geometry.STD + geometry.MEAN).clip(0, 255).astype(np.uint8)
            for row in range(len(images)):
                of_row = None if tags is None else tags[row]
                result.append(Maps(pixels[row], heatmaps[row], of_row))
            return outputs

        decoder = network.task.decoder_for_estimate(network.decoder, flip=False)
        predict = network.task.file_predictor(record, self.skeleton, decoder)
        self._estimate(predict, image, boxes, batch_size=1)
        return result

    def _estimate(
        self,
        predict: Callable[[tasks.Batch], Any],
        image: np.ndarray,
        boxes: np.ndarray | None,
        batch_size: int,
    ) -> Poses:
        return self._task.estimate(
            predict,
            image,
            boxes,
            num_keypoints=self.skeleton.num_joints,
            input_size=self.input_size,
            sizing=self.sizing,
            batch_size=batch_size,
            decoder=self._network.decoder,
        )


@dataclasses.dataclass(frozen=True)
class _Network:
    """A network from a run folder or a file.

    `sizings` are the choices, the default first; `forward` takes normalized images and returns the
    outputs as numpy arrays.
    """

    task: tasks.Task
    decoder: tasks.Decoder
    forward: Callable[[np.ndarray], Any]
    skeleton: Skeleton
    input_size: tuple[int, int]
    predict: Callable[[tasks.Batch], Any]
    sizings: tuple[str, ...]


def _load_run(path: Location, step: int | str | None, flip: bool) -> _Network:
    import jax

    from jaxpose import runs
    from jaxpose.mesh import make_mesh, replicate

    config, model, variables, skeleton = runs.load_run(path, step=step)
    task = tasks.get(config.task)
    mesh = make_mesh(jax.local_devices()[:1])
    # Keypoints without known left-right pairs cannot be flipped.
    flip = flip and config.eval.flip
    decoder = task.decoder_for_estimate(task.decoder_from_config(config), flip)
    predict = task.model_predictor(model, skeleton, mesh, decoder)
    variables = replicate(variables, mesh)
    apply = jax.jit(functools.partial(model.apply, train=False))
    sizings = task.SIZINGS
    if "sizing" in config.eval:
        sizings = tuple(sorted(sizings, key=lambda choice: choice != config.eval.sizing))
    return _Network(
        task,
        decoder,
        lambda images: jax.tree.map(np.asarray, apply(variables, images)),
        skeleton,
        tuple(config.input_size),
        functools.partial(predict, variables),
        sizings,
    )


def _load_file(path: pathlib.Path, flip: bool) -> _Network:
    file = runtimes.open_file(path)
    task = tasks.get(file.metadata["task"])
    skeleton = Skeleton.from_dict(file.metadata["skeleton"])
    flip = flip and file.metadata.get("flip", True)  # absent in files of version 0.1
    decoder = task.decoder_for_estimate(task.decoder_from_metadata(file.metadata), flip)
    predict = task.file_predictor(file.run, skeleton, decoder)
    size = tuple(file.metadata["input_size"])
    return _Network(task, decoder, file.run, skeleton, size, predict, ("fixed",))
