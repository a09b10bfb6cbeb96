"""Times of what surrounds a network: cropping with normalization, and decoding."""

from __future__ import annotations

import jax
import numpy as np

from jaxpose import geometry, images, tasks
from jaxpose.benchmark import report


def measure(
    task: tasks.Task,
    decoder: tasks.Decoder,
    size: tuple[int, int],
    *,
    warmup: int,
    runs: int,
    seconds: float,
) -> dict:
    """Times the steps around the networks of a task, for one example of the input size.

    Args:
      task: of the network.
      decoder: how its outputs become poses.
      size: (H, W) of the input.
      warmup: untimed calls of each step first; the first compiles the decoding.
      runs: minimum number of timed calls of each step.
      seconds: minimum sum of the timings of each step.

    Returns:
      `pre_ms` and `post_ms`, medians; `pre` and `post`, what they are.
    """
    image = images.draw_samples((480, 640), 1)[0]

    def crop() -> np.ndarray:
        center, scale = task.view(image.shape[:2], size)
        matrix = task.crop_matrix(center, scale, size, decoder)
        return np.asarray(geometry.normalize(geometry.crop(image, matrix, size)))

    description, decode = task.sample_decoding(size, decoder)
    calls = (crop, decode)
    times = report.in_turns(calls, warmup=max(warmup, 1), runs=runs, seconds=seconds)
    pre, post = (report.statistics(timed)["median_ms"] for timed in times)
    return {
        "pre_ms": pre,
        "post_ms": post,
        "pre": f"{task.EXAMPLE} of 480x640 + normalize, numpy and OpenCV",
        "post": f"decode {description}, jax {jax.__version__}",
    }
