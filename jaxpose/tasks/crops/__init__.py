"""Prediction, scores and comparison of files for tasks with one person per crop."""

from jaxpose.tasks.crops.agreement import CropAgreement, compare, compare_poses, equal_maxima
from jaxpose.tasks.crops.batches import (
    check_size,
    check_skeleton,
    codec_of,
    fit_settings,
    network_keypoints,
    sample_batch,
)
from jaxpose.tasks.crops.evaluation import (
    describe_examples,
    evaluate,
    metric_of,
    predict_results,
    worst_cases,
)
from jaxpose.tasks.crops.prediction import (
    CropPredictions,
    crop_matrix,
    estimate,
    file_predictor,
    model_predictor,
    view,
)

__all__ = [
    "CropAgreement",
    "CropPredictions",
    "check_size",
    "check_skeleton",
    "codec_of",
    "compare",
    "compare_poses",
    "crop_matrix",
    "describe_examples",
    "equal_maxima",
    "estimate",
    "evaluate",
    "file_predictor",
    "fit_settings",
    "metric_of",
    "model_predictor",
    "network_keypoints",
    "predict_results",
    "sample_batch",
    "view",
    "worst_cases",
]
