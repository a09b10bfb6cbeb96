"""The metadata of an exported file."""

from __future__ import annotations

from typing import Any

import numpy as np
from ml_collections import ConfigDict

from jaxpose import __version__, geometry
from jaxpose.skeletons import Skeleton
from jaxpose.tasks import Task


def describe(
    model_name: str,
    task: Task,
    config: ConfigDict,
    skeleton: Skeleton,
    input_size: tuple[int, int],
    num_outputs: int = 1,
    *,
    precision: str = "fp32",
) -> dict[str, Any]:
    """Metadata that describe how to get from an image to poses; JSON values only.

    Args:
      model_name: name of the model.
      task: of the network; adds metadata of its own (`Task.metadata`).
      config: settings of the run, or the task's defaults.
      skeleton: of the poses.
      input_size: (H, W) of the input.
      num_outputs: number of outputs of the network.
      precision: of the weights.
    """
    common = {
        "jaxpose": __version__,
        "model": model_name,
        "task": task.NAME,
        "num_keypoints": skeleton.num_joints,
        "input_size": list(input_size),
        "precision": precision,
        "layout": "NCHW",
        "color_order": "RGB",
        "mean": _rounded(geometry.MEAN),
        "std": _rounded(geometry.STD),
        "skeleton": skeleton.to_dict(),
        "flip": bool(config.eval.flip),
    }
    return common | task.metadata(config, skeleton, num_outputs)


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 6) for value in values]
