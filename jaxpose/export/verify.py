"""Does an exported file give the same people as the model? From uint8 pixels to joints.

Tensor-to-tensor agreement alone would miss a file that is fed otherwise than the model; here both
sides get the same uint8 images, each goes its whole way (normalisation, network, decoding), and
both the maps and the joints are compared.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxpose import geometry
from jaxpose.export.agreement import (
    HEATMAP_TOLERANCE,
    KEYPOINT_TOLERANCE,
    Agreement,
    MismatchError,
    compare,
)
from jaxpose.export.files import run_file
from jaxpose.export.graph import ExportError
from jaxpose.export.people import PeopleAgreement, compare_people


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
    sigma: float = 2.0,
    grouping: Any = None,
) -> Agreement | PeopleAgreement:
    """Compares the file at `path` with the model on the same uint8 images.

    Args:
      model, variables: the source of the file.
      path: the exported file (.onnx or .pt2).
      input_size: (H, W).
      images: uint8 RGB [N,H,W,3], crops of people or whole pictures; None takes
        `sample_crops`.
      decode, sigma: the top-down codec's decoder, "quarter" or "dark", and the sigma of the targets
        in heatmap pixels (`codecs.topdown.decoder`).
      grouping: how people are found in the maps, the options of one of the codecs in
        `codecs.PEOPLE`; None for a top-down network.

    Raises:
      MismatchError: maps further apart than 1e-4 of the model's largest value, a joint further than
        0.05 input pixels, or another number of people (other than by a tie); the message says by
        how much.
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
    expected = jax.device_get(apply(variables, crops))
    actual = run_file(path)(geometry.normalize(crops))
    if grouping is None:
        if isinstance(expected, tuple):
            raise ExportError(
                f"{path}: a top-down network has one output, this one has {len(expected)}: say how "
                "its people are grouped"
            )
        agreement = compare(expected, actual, input_size, decode=decode, sigma=sigma)
    else:
        agreement = compare_people(expected, actual, input_size, grouping)
    if not agreement.holds:
        raise MismatchError(
            f"the file written does not agree with the model: {agreement}; allowed are "
            f"{HEATMAP_TOLERANCE:g} of the largest value and {KEYPOINT_TOLERANCE:g} px"
        )
    return agreement


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
