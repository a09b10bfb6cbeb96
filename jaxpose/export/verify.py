"""Does an exported file give the same people as the model? From uint8 pixels to joints.

Tensor-to-tensor agreement alone would miss a file that is fed otherwise than the model; here both
sides get the same uint8 crops, each goes its whole way (normalisation, network, decoding), and both
the heatmaps and the joints are compared.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxpose import geometry
from jaxpose.codecs import topdown
from jaxpose.export.files import run_file
from jaxpose.export.graph import ExportError

HEATMAP_TOLERANCE = 1e-4  # of the largest heatmap value of the model
KEYPOINT_TOLERANCE = 0.05  # input pixels


class MismatchError(ExportError):
    """The exported file does not give what the model gives."""


@dataclass(frozen=True)
class Agreement:
    """How far a file is from its model over some crops."""

    heatmap: float  # largest absolute difference of the heatmaps
    scale: float  # largest absolute heatmap value of the model
    keypoint: float  # largest distance of a joint, in input pixels
    joints: int  # joints compared
    ties: int  # joints left out: equally high maxima, or equal neighbours, up to rounding

    def __str__(self) -> str:
        tied = f", {self.ties} left out as ties" if self.ties else ""
        return (
            f"heatmaps differ by at most {self.heatmap:.2g} (largest value {self.scale:.2g}), "
            f"joints by {self.keypoint:.2g} px ({self.joints} joints{tied})"
        )


def sample_crops(input_size: tuple[int, int], count: int = 4, seed: int = 0) -> np.ndarray:
    """uint8 [count,H,W,3]: gradients, discs, bars and noise, the same for the same seed.

    Structure matters: on plain noise a network's maps are nearly flat and prove little.
    """
    rng = np.random.default_rng(seed)
    height, width = input_size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    crops = []
    for _ in range(count):
        slope = rng.normal(size=(2, 3)) * 100
        image = 128 + (x[..., None] / width - 0.5) * slope[0]
        image += (y[..., None] / height - 0.5) * slope[1]
        for _ in range(12):
            cx, cy = rng.uniform(0, width), rng.uniform(0, height)
            angle, length = rng.uniform(0, np.pi), rng.uniform(0.05, 0.4) * height
            along = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
            across = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
            radius = rng.uniform(2, 0.06 * height + 2)
            limb = np.hypot(np.maximum(abs(along) - length / 2, 0), across) < radius
            image[limb] = rng.uniform(0, 255, 3)
        crops.append(image + rng.normal(scale=8, size=image.shape))
    return np.clip(crops, 0, 255).astype(np.uint8)


def verify(
    model: nn.Module,
    variables: dict,
    path: str | os.PathLike,
    input_size: tuple[int, int],
    *,
    images: np.ndarray | None = None,
    decode: str = "quarter",
) -> Agreement:
    """Compares the file at `path` with the model on the same uint8 crops.

    Args:
      model, variables: the source of the file.
      path: the exported file (.onnx or .pt2).
      input_size: (H, W).
      images: uint8 RGB crops [N,H,W,3]; None takes `sample_crops`.
      decode: "quarter" or "dark", the codec's decoder.

    Raises:
      MismatchError: heatmaps further apart than 1e-4 of the model's largest value, or a joint
        further than 0.05 input pixels (other than by a tie); the message says by how much.
    """
    crops = sample_crops(input_size) if images is None else np.asarray(images)
    if crops.dtype != np.uint8 or crops.shape[1:] != (*input_size, 3):
        raise ValueError(
            f"verification images must be uint8 [N,{input_size[0]},{input_size[1]},3],"
            f" got {crops.dtype} {crops.shape}"
        )
    if hasattr(model, "dtype"):
        model = model.clone(dtype=jnp.float32)
    apply = jax.jit(lambda v, x: model.apply(v, geometry.normalize(x), train=False))
    expected = apply(variables, crops)
    actual = run_file(path)(geometry.normalize(crops))
    if isinstance(expected, tuple):
        raise ExportError(
            f"{path}: verification knows top-down heatmaps only, this network has "
            f"{len(expected)} outputs"
        )
    agreement = compare(np.asarray(expected), actual, input_size, decode=decode)
    near = agreement.heatmap <= HEATMAP_TOLERANCE * max(agreement.scale, 1e-12)
    if not (near and agreement.keypoint <= KEYPOINT_TOLERANCE):  # also when there is a NaN
        raise MismatchError(
            f"the file written does not agree with the model: {agreement}; allowed are "
            f"{HEATMAP_TOLERANCE:g} of the largest value and {KEYPOINT_TOLERANCE:g} px"
        )
    return agreement


def compare(
    expected: np.ndarray,
    actual: np.ndarray,
    input_size: tuple[int, int],
    *,
    decode: str = "quarter",
) -> Agreement:
    """Differences of two sets of heatmaps [B,h,w,K] and of the joints decoded from them."""
    if expected.shape != actual.shape:
        raise MismatchError(f"the file gives heatmaps {actual.shape}, the model {expected.shape}")
    function = {"quarter": topdown.decode, "dark": topdown.decode_dark}[decode]
    height, width = input_size
    center = np.tile(np.float32([width / 2, height / 2]), (len(expected), 1))
    scale = np.tile(np.float32([width / 200, height / 200]), (len(expected), 1))
    joints, _ = function(expected, center, scale)
    others, _ = function(actual, center, scale)
    distance = np.linalg.norm(np.asarray(joints) - np.asarray(others), axis=-1)
    error, largest = float(np.abs(expected - actual).max()), float(np.abs(expected).max())
    # Rounding may flip what it decides, but only rounding: a large difference is no excuse.
    noise = 4 * min(error, HEATMAP_TOLERANCE * largest)
    cell = width / expected.shape[2]
    tied = (distance > KEYPOINT_TOLERANCE) & _ties(expected, noise, distance < cell)
    distance = np.where(tied, 0, distance)
    return Agreement(
        error,
        largest,
        float(distance.max()),
        int(distance.size - tied.sum()),
        int(tied.sum()),
    )


def _ties(maps: np.ndarray, noise: float, near: np.ndarray) -> np.ndarray:
    """[B,K]: joints whose place is decided by less than `noise`, which rounding alone can flip.

    Either two cells are the maximum up to `noise` (or none is above 0), or, for the joints that are
    `near`, the neighbours that give the quarter offset its sign are equal up to `noise`.
    """
    b, h, w, k = maps.shape
    flat = maps.transpose(0, 3, 1, 2).reshape(b, k, h * w)
    best = np.partition(flat, -2, axis=-1)
    peak = (best[..., -1] - best[..., -2] <= noise) | (np.abs(best[..., -1]) <= noise)
    top = flat.argmax(-1)
    y, x = np.clip(top // w, 1, h - 2), np.clip(top % w, 1, w - 2)
    rows, columns = np.indices((b, k))
    grid = flat.reshape(b, k, h, w)
    across = grid[rows, columns, y, x + 1] - grid[rows, columns, y, x - 1]
    down = grid[rows, columns, y + 1, x] - grid[rows, columns, y - 1, x]
    return peak | (near & ((np.abs(across) <= noise) | (np.abs(down) <= noise)))


def write_verified(
    write: Callable[[Path], None], check: Callable[[Path], Agreement], path: str | os.PathLike
) -> Agreement:
    """Writes a file beside its final name, checks it, and only then gives it that name.

    Whatever goes wrong, nothing new stands under the final name and the unfinished file is gone.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        write(unfinished)
        agreement = check(unfinished)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return agreement
