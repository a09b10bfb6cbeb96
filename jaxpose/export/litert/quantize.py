"""float32 LiteRT files with int8 weights, by Google's package `ai_edge_quantizer`.

Quantization is symmetric, with one scale per output channel of a kernel. The input and the outputs
of the file stay float32, under their names, and its metadata stay as they are.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxpose.export.litert.packing import pack, read
from jaxpose.export.litert.schema import SIGNATURE
from jaxpose.runtimes import require

# Precision -> recipe of `ai_edge_quantizer`.
RECIPES = {
    "int8-weight-only": "weight_only_wi8_afp32",
    "int8-dynamic": "dynamic_wi8_afp32",
    "int8-static": "static_wi8_ai8",
}

# Of the smallest and the largest values of a tensor in each image.
PERCENTILES = {"min": 1, "max": 99}


def quantize(content: bytes, precision: str, images: np.ndarray | None = None) -> bytes:
    """The contents of a file with int8 weights.

    Args:
      content: of a float32 file that `litert.build` made.
      precision: one of `RECIPES`.
      images: normalized float32 [N, H, W, 3]; for "int8-static", which derives the ranges of the
        activations from them.

    Raises:
      ImportError: `ai_edge_quantizer` is not installed.
    """
    require("ai_edge_quantizer")
    quantizer = importlib.import_module("ai_edge_quantizer.quantizer")
    recipes = importlib.import_module("ai_edge_quantizer.recipe")
    task = quantizer.Quantizer(content, getattr(recipes, RECIPES[precision])())
    ranges = None
    with _quiet():
        if task.need_calibration:
            assert images is not None
            for operator in ("INPUT", "OUTPUT"):
                task.update_quantization_recipe(
                    ".*",
                    getattr(recipes.TFLOperationName, operator),
                    algorithm_key=recipes.AlgorithmName.NO_QUANTIZE,
                )
            ranges = _ranges(content, images)
        quantized = bytes(task.quantize(ranges).quantized_model)
    return pack(read(quantized), names=False)


def _ranges(content: bytes, images: np.ndarray) -> dict[str, Any]:
    """Tensor name -> its smallest and largest value, as the quantizer takes them.

    They are percentiles of the extremes of the images. The package's own running average depends on
    the order of the images, and with few of them on the first alone.
    """
    package = importlib.import_module("ai_edge_quantizer.calibrator")
    # The package's default mode finds the same extremes in four times the time.
    mode = package.CalibrationMode.CALIBRATION_PROFILER_BASED
    network = package.Calibrator(content, mode=mode)
    extremes = []
    for image in images:
        network.calibrate({SIGNATURE: [{"image": image[None]}]}, None)
        extremes.append(network.get_model_qsvs())
        network.reset_model_qsvs()
    ranges: dict[str, Any] = {}
    for name, first in extremes[0].items():
        ranges[name] = {
            key: np.percentile([each[name][key] for each in extremes], percentile, axis=0)
            for key, percentile in PERCENTILES.items()
            if key in first
        }
    return ranges


@contextlib.contextmanager
def _quiet() -> Iterator[Any]:
    """Keeps progress bars, a report of sizes and warnings of the package off the terminal."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield
