"""Verification that an exported file gives the same poses as the model.

Comparing tensors alone would miss a file whose input is prepared differently. Here both sides get
the same uint8 images and run normalization, network and decoding. Outputs and keypoints are
compared.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxpose import geometry
from jaxpose.images import draw_samples
from jaxpose.runtimes import files_of, run_file
from jaxpose.skeletons import COCO, Skeleton
from jaxpose.tasks import Agreement, Decoder, Task
from jaxpose.tasks.agreement import MismatchError, tolerance_of

Result = TypeVar("Result")


@dataclass(frozen=True)
class Expected:
    """What a model makes of some images: its files are compared with this.

    Attributes:
      images: uint8 RGB [N, H, W, 3].
      outputs: of the model in float32: [N, h, w, C], or a tuple of several.
      task: of the model.
      decoder: how the outputs become poses.
      skeleton: of the poses.
      trained: False for random weights; see `tasks.agreement.tolerance_of`.
    """

    images: np.ndarray
    outputs: Any
    task: Task
    decoder: Decoder
    skeleton: Skeleton
    trained: bool

    def compare(
        self, path: str | os.PathLike, precision: str = "fp32", *, vulkan: bool = False
    ) -> Agreement:
        """The differences of the file at `path` from the model, also beyond the tolerances.

        Args:
          path: the exported file (.onnx, .pt2, .tflite or .param).
          precision: of its weights, which sets the tolerances (`tasks.agreement.TOLERANCES`).
          vulkan: run the file on the first Vulkan device; ncnn only.

        Raises:
          MismatchError: outputs of another number or shape.
        """
        actual = run_file(path, vulkan=vulkan)(geometry.normalize(self.images))
        height, width = self.images.shape[1:3]
        tolerance = tolerance_of(precision, trained=self.trained)
        return self.task.compare(
            self.outputs, actual, (height, width), self.decoder, self.skeleton, tolerance
        )

    def verify(
        self, path: str | os.PathLike, precision: str = "fp32", *, vulkan: bool = False
    ) -> Agreement:
        """As `compare`, but raises MismatchError if the differences are beyond the tolerances."""
        agreement = self.compare(path, precision, vulkan=vulkan)
        if not agreement.holds:
            raise MismatchError(
                f"{path}: the file does not agree with the model: {agreement}; the tolerances are "
                f"{agreement.tolerance}"
            )
        return agreement


def expected_outputs(
    model: nn.Module,
    variables: dict,
    input_size: tuple[int, int],
    task: Task,
    decoder: Decoder,
    *,
    skeleton: Skeleton = COCO,
    images: np.ndarray | None = None,
    trained: bool = True,
) -> Expected:
    """Runs the model in float32. One result serves all files of a model, in every precision.

    Args:
      model: the network.
      variables: its weights and batch statistics.
      input_size: (H, W).
      task: of the model.
      decoder: how the outputs become poses, from `task.decoder_from_config`.
      skeleton: of the poses.
      images: uint8 RGB [N, H, W, 3], of the input size; None uses synthetic images.
      trained: False for random weights; see `tasks.agreement.tolerance_of`.

    Raises:
      ValueError: images of another type or size.
    """
    if images is None:
        images = draw_samples(input_size)
    if images.dtype != np.uint8 or images.shape[1:] != (*input_size, 3):
        raise ValueError(
            f"verification images must be uint8 [N, {input_size[0]}, {input_size[1]}, 3], got "
            f"{images.dtype} {list(images.shape)}"
        )
    model = in_float32(model)
    apply = jax.jit(lambda v, x: model.apply(v, geometry.normalize(x), train=False))
    outputs = jax.device_get(apply(variables, images))
    return Expected(images, outputs, task, decoder, skeleton, trained)


def verify(
    model: nn.Module,
    variables: dict,
    path: str | os.PathLike,
    input_size: tuple[int, int],
    task: Task,
    decoder: Decoder,
    *,
    skeleton: Skeleton = COCO,
    images: np.ndarray | None = None,
    precision: str = "fp32",
    trained: bool = True,
    vulkan: bool = False,
) -> Agreement:
    """Compares one file with the model on the same uint8 images.

    For several files of a model, call `expected_outputs` once and `Expected.verify` for each file;
    both together do the same. The arguments are theirs.

    Raises:
      MismatchError: outputs or keypoints differ by more than the tolerances, for fp32 1e-4 of the
        model's largest value and 0.05 input pixels, or the number of people differs; ties are left
        out. The message has the differences.
      ValueError: images of another type or size.
    """
    expected = expected_outputs(
        model,
        variables,
        input_size,
        task,
        decoder,
        skeleton=skeleton,
        images=images,
        trained=trained,
    )
    return expected.verify(path, precision, vulkan=vulkan)


def in_float32(model: nn.Module) -> nn.Module:
    """The model, computing in float32: what a file is compared with."""
    return model.clone(dtype=jnp.float32) if hasattr(model, "dtype") else model


def write_verified(
    write: Callable[[Path], None], check: Callable[[Path], Result], path: str | os.PathLike
) -> Result:
    """Writes a file under a temporary name, checks it, and renames it to `path`.

    If anything fails, `path` is left as it was and the temporary file is removed, and its folder
    too if it is new. The same holds for all files of an ncnn network and for a folder.

    Returns:
      The result of `check`.

    Raises:
      MismatchError: from `check`, with `path` instead of the temporary name.
      OSError: a file cannot be written.
    """
    path = Path(path)
    new_folder = not path.parent.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    pairs = list(zip(files_of(unfinished), files_of(path), strict=True))
    try:
        write(unfinished)
        result = check(unfinished)
        _rename(pairs)
    except MismatchError as error:
        raise MismatchError(str(error).replace(str(unfinished), str(path))) from error
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f"{path}: cannot be written or verified: {reason}") from error
    finally:
        for part, _ in pairs:
            _remove(part)
        if new_folder and not any(path.parent.iterdir()):
            path.parent.rmdir()
    return result


def _rename(pairs: Sequence[tuple[Path, Path]]) -> None:
    """Renames (from, to) all files or none; one file in one step."""
    if len(pairs) == 1 and not pairs[0][0].is_dir():  # a folder cannot replace a folder
        os.replace(*pairs[0])
        return
    done: list[tuple[Path, Path]] = []  # with the name of the replaced file
    try:
        for part, path in pairs:
            older = part.with_name(f"{part.name}.old")
            if path.exists():
                os.replace(path, older)
            done.append((older, path))
            os.replace(part, path)
    except OSError:
        for older, path in done:
            _remove(path)
            if older.exists():
                os.replace(older, path)
        raise
    for older, _ in done:
        _remove(older)


def _remove(path: Path) -> None:
    """Removes a file or a folder, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
