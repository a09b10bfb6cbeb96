"""Images and annotations -> batches, with tf.data. The only part that imports TensorFlow.

    data = input_pipeline.train_data(config)
    for batch in data.batches(start_step): ...

`input_pipeline.batch` describes the batches, `input_pipeline.order` their order. The task says what
an example is: one person's crop, or a whole image with everyone in it.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from input_pipeline.bottomup import examples as image_examples
from input_pipeline.evaluation import EvalData
from input_pipeline.topdown import examples as crop_examples
from input_pipeline.training import TrainData
from jaxpose import tasks

# By `Task.EXAMPLE`.
_EXAMPLES: dict[str, ModuleType] = {"crop": crop_examples, "image": image_examples}


def train_data(config: Any, *, host_id: int = 0, host_count: int = 1) -> TrainData:
    """Training examples of `config` (docs/settings.md) for one of `host_count` hosts.

    Raises:
      ValueError: a setting that does not work.
      AnnotationError: a bad annotation file; a ValueError, too.
    """
    examples = _EXAMPLES[tasks.get(config.task).EXAMPLE].TrainExamples(config)
    return TrainData(examples, config, host_id=host_id, host_count=host_count)


def eval_data(config: Any, *, host_id: int = 0, host_count: int = 1) -> EvalData:
    """Evaluation examples of `config` for one of `host_count` hosts. Raises as `train_data`."""
    examples = _EXAMPLES[tasks.get(config.task).EXAMPLE].EvalExamples(config)
    return EvalData(examples, config, host_id=host_id, host_count=host_count)


__all__ = ["EvalData", "TrainData", "eval_data", "train_data"]
