"""From crops to scores: what train.py does every few epochs and eval.py does in full.

Nothing here reads the pictures of a dataset: the caller brings an iterable of batches (see the
schema of the input pipeline) and the annotations, so the same code scores a model, an average of
models, or an exported file.
"""

from jaxpose.evaluation.predictions import (
    Predictions,
    make_predict,
    make_predict_from_heatmaps,
    predict_all,
)
from jaxpose.evaluation.scores import Evaluation, evaluate

__all__ = [
    "Evaluation",
    "Predictions",
    "evaluate",
    "make_predict",
    "make_predict_from_heatmaps",
    "predict_all",
]
