"""The tf.data graph: numbers -> chunks of examples in parallel -> batches -> prefetch.

The only place that runs TensorFlow on behalf of training. It must never touch the accelerators:
they belong to JAX.
"""

from __future__ import annotations

import atexit
import os
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np

from input_pipeline.batch import Batch, Spec

# Examples made by one call from the graph into Python: enough to hide the cost of the call, few
# enough for several workers to share one batch.
CHUNK = 16


def tensorflow() -> Any:
    """TensorFlow with every accelerator hidden from it, quiet unless told otherwise."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # unused here, and announced on stderr
    import tensorflow as tf

    for kind in ("GPU", "TPU"):
        tf.config.set_visible_devices([], kind)
    return tf


def chunk_size(batch_size: int) -> int:
    """The largest divisor of the batch size up to `CHUNK`."""
    return max(size for size in range(1, CHUNK + 1) if batch_size % size == 0)


class Batches(Iterator[Batch]):
    """Batches number `first`, first + 1, ... up to (not with) `last`, or endless.

    `close` stops the threads; it is also called when the iterator is dropped and at exit, because
    a thread of TensorFlow that enters Python while Python shuts down aborts the process.

    Args:
      make_chunk: chunk number -> `chunk` examples; batch b is made of the chunks from
        b * batch_size / chunk on. Called from several threads.
      first, last: batch numbers.
      spec: of the batches (`batch`); sides that differ between batches are None, but the chunks of
        one batch agree.
      chunk: examples in a chunk, a divisor of the batch size.
      batch_size: examples in a batch.
      workers: threads that make chunks.
      prefetch: batches ready in advance.

    Raises (from `next`):
      whatever `make_chunk` raised, as it raised it.
    """

    def __init__(
        self,
        make_chunk: Callable[[int], Batch],
        first: int,
        last: int | None,
        *,
        spec: Spec,
        chunk: int,
        batch_size: int,
        workers: int,
        prefetch: int,
    ) -> None:
        tf = tensorflow()
        cv2.setNumThreads(1)  # the workers are the parallelism; OpenCV's threads would fight them
        self._tf, self._spec, self._batch_size = tf, spec, batch_size
        self._failures: list[Exception] = []
        failures = self._failures  # not self: the graph must not keep this object alive

        def call(number: np.ndarray) -> list[np.ndarray]:
            try:
                made = make_chunk(int(number))
            except Exception as error:  # crosses TensorFlow, which would bury it in its own
                failures.append(error)
                raise
            return [made[key] for key in spec]

        def load(number: Any) -> tuple[Any, ...]:
            kinds = [tf.as_dtype(dtype) for dtype, _ in spec.values()]
            tensors = tf.numpy_function(call, [number], kinds)
            for tensor, (_, shape) in zip(tensors, spec.values(), strict=True):
                tensor.set_shape((chunk, *shape))
            return tuple(tensors)

        per_batch = batch_size // chunk
        end = np.iinfo(np.int64).max if last is None else last * per_batch
        options = tf.data.Options()
        options.deterministic = True
        options.autotune.enabled = False
        options.threading.private_threadpool_size = max(1, workers) + 1
        options.threading.max_intra_op_parallelism = 1
        with tf.device("/CPU:0"):
            dataset = tf.data.Dataset.range(first * per_batch, end)
            dataset = dataset.map(load, num_parallel_calls=max(1, workers), deterministic=True)
            dataset = dataset.batch(per_batch, drop_remainder=True).prefetch(max(1, prefetch))
            self._iterator: Any = iter(dataset.with_options(options))
        if not _open:
            atexit.unregister(_close_all)
            atexit.register(_close_all)  # now, so that it runs before TensorFlow's own
        _open.add(self)

    def __next__(self) -> Batch:
        if self._iterator is None:
            raise StopIteration
        try:
            tensors = next(self._iterator)
        except StopIteration:
            self.close()
            raise
        except self._tf.errors.OpError as error:
            self.close()
            raise (self._failures[0] if self._failures else error) from None
        arrays = (tensor.numpy() for tensor in tensors)
        return {
            key: value.reshape(self._batch_size, *value.shape[2:])
            for key, value in zip(self._spec, arrays, strict=True)
        }

    def close(self) -> None:
        """Stops the threads and forgets what they had ready."""
        self._iterator = None  # TensorFlow waits for the calls under way
        _open.discard(self)


_open: weakref.WeakSet[Batches] = weakref.WeakSet()


def _close_all() -> None:
    for iterator in list(_open):
        iterator.close()
