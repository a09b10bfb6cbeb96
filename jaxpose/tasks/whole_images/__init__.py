"""Prediction, scores and comparison of files for tasks that find all people of an image."""

from jaxpose.tasks.whole_images.agreement import compare
from jaxpose.tasks.whole_images.batches import PEOPLE, fit_settings, sample_batch
from jaxpose.tasks.whole_images.evaluation import describe_examples, evaluate, worst_cases
from jaxpose.tasks.whole_images.prediction import (
    ImageDecoder,
    ImagePredictions,
    crop_matrix,
    decoder_for_estimate,
    decoder_from_config,
    decoder_from_metadata,
    estimate,
    file_predictor,
    model_predictor,
    options_from,
    sized_view,
    view,
)

__all__ = [
    "PEOPLE",
    "ImageDecoder",
    "ImagePredictions",
    "compare",
    "crop_matrix",
    "decoder_for_estimate",
    "decoder_from_config",
    "decoder_from_metadata",
    "describe_examples",
    "estimate",
    "evaluate",
    "file_predictor",
    "fit_settings",
    "model_predictor",
    "options_from",
    "sample_batch",
    "sized_view",
    "view",
    "worst_cases",
]
