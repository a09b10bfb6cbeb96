"""Turns images and annotations into batches with tf.data. Only this package imports TensorFlow.

    data = input_pipeline.train_data(config)
    for batch in data.batches(start_step): ...

`input_pipeline.batch` describes the batches, `input_pipeline.order` their order. The task decides
what an example is: the crop of one person, or a whole image with everyone in it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import ModuleType
from typing import Any

from input_pipeline import bottomup, topdown
from input_pipeline.dataset import complete, load_dataset
from input_pipeline.evaluation import EvalData
from input_pipeline.training import TrainData
from jaxpose import tasks
from jaxpose.skeletons import Skeleton

_log = logging.getLogger(__name__)
# Keys are the values of `Task.EXAMPLE`.
_EXAMPLES: dict[str, ModuleType] = {"crop": topdown, "image": bottomup}


def train_data(
    config: Any,
    *,
    host_id: int = 0,
    host_count: int = 1,
    log: Callable[[str], None] = _log.info,
) -> TrainData:
    """Returns the training data of `config` (docs/settings.md) for one of `host_count` hosts.

    With `config.data.prepared`, it is first prepared unless it already is.

    Args:
      config: all settings.
      host_id: number of this host.
      host_count: number of hosts.
      log: is called with lines about what is prepared.

    Raises:
      ValueError: an invalid setting.
      AnnotationError: an invalid annotation file; a subclass of ValueError.
      OSError: the prepared data cannot be written.
    """
    examples = _EXAMPLES[tasks.get(config.task).EXAMPLE].TrainExamples(config)
    return TrainData(examples, config, host_id=host_id, host_count=host_count, log=log)


def eval_data(
    config: Any,
    *,
    host_id: int = 0,
    host_count: int = 1,
    skeleton: Skeleton | None = None,
    scored: bool = False,
) -> EvalData:
    """Returns the evaluation data of `config` for one of `host_count` hosts.

    Args:
      config: all settings.
      host_id: number of this host.
      host_count: number of hosts.
      skeleton: of the network; completes that of the annotation file, which may then list images
        without annotations (`Dataset.format` is then "image_info"), to be predicted but not scored.
      scored: whether the file must have annotations all the same.

    Raises:
      ValueError, AnnotationError: as `train_data`.
    """
    examples = _EXAMPLES[tasks.get(config.task).EXAMPLE].EvalExamples(config, skeleton, scored)
    return EvalData(examples, config, host_id=host_id, host_count=host_count)


__all__ = ["EvalData", "TrainData", "complete", "eval_data", "load_dataset", "train_data"]
