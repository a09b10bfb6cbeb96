"""Prediction, scores and comparison of files for tasks with one person per crop."""

from jaxpose.tasks.crops.agreement import compare
from jaxpose.tasks.crops.batches import codec_of, fit_settings, sample_batch
from jaxpose.tasks.crops.evaluation import describe_examples, evaluate, metric_of, worst_cases
from jaxpose.tasks.crops.prediction import (
    CropPredictions,
    crop_matrix,
    estimate,
    file_predictor,
    model_predictor,
    view,
)

__all__ = [
    "CropPredictions",
    "codec_of",
    "compare",
    "crop_matrix",
    "describe_examples",
    "estimate",
    "evaluate",
    "file_predictor",
    "fit_settings",
    "metric_of",
    "model_predictor",
    "sample_batch",
    "view",
    "worst_cases",
]
