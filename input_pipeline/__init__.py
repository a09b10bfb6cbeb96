"""Pictures and annotations -> batches, with tf.data. The only part that imports TensorFlow.

    data = input_pipeline.train_data(config)
    for batch in data.batches(start_step): ...

`input_pipeline.batch` describes the batches, `input_pipeline.order` their order. What is in them
depends on `config.task`: `topdown` has one person a crop, `bottomup` and `part_affinity` one
picture with everybody in it.
"""

from __future__ import annotations

from typing import Any

from input_pipeline import dataset as datasets
from input_pipeline.evaluation import EvalData
from input_pipeline.training import TrainData


def _examples(config: Any) -> Any:
    task = datasets.choice(config.task, "task", TASKS)
    if task == "topdown":
        from input_pipeline.topdown import examples
    else:
        from input_pipeline.bottomup import examples
    return examples


TASKS = ("topdown", "associative_embedding", "part_affinity")


def train_data(config: Any, *, host_id: int = 0, host_count: int = 1) -> TrainData:
    """Training examples of `config` (docs/settings.md) for one of `host_count` hosts.

    Raises:
      ValueError: a setting that cannot be; its subclass AnnotationError for a bad annotation file.
    """
    examples = _examples(config).TrainExamples(config)
    return TrainData(examples, config, host_id=host_id, host_count=host_count)


def eval_data(config: Any, *, host_id: int = 0, host_count: int = 1) -> EvalData:
    """Evaluation examples of `config` for one of `host_count` hosts. Raises as `train_data`."""
    examples = _examples(config).EvalExamples(config)
    return EvalData(examples, config, host_id=host_id, host_count=host_count)


__all__ = ["EvalData", "TrainData", "eval_data", "train_data"]
