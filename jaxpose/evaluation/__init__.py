"""From pictures to scores: what train.py does every few epochs and eval.py does in full.

Scoring reads no pictures of a dataset, only the report does: the caller brings an iterable of
batches (see the schema of the input pipeline) and the annotations, so the same code scores a model,
an average of models, or an exported file. Top-down: `make_predict`, one person a crop. Bottom-up:
`make_people_predict`, all people of a picture.
"""

from jaxpose.evaluation.people import (
    FoundPeople,
    PeopleOptions,
    make_people_from_outputs,
    make_people_predict,
    predict_people,
)
from jaxpose.evaluation.predictions import (
    Predictions,
    make_predict,
    make_predict_from_heatmaps,
    predict_all,
)
from jaxpose.evaluation.scores import Evaluation, evaluate, make_predictor, make_predictor_from_file

__all__ = [
    "Evaluation",
    "FoundPeople",
    "PeopleOptions",
    "Predictions",
    "evaluate",
    "make_people_from_outputs",
    "make_people_predict",
    "make_predict",
    "make_predict_from_heatmaps",
    "make_predictor",
    "make_predictor_from_file",
    "predict_all",
    "predict_people",
]
