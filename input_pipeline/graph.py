"""The tf.data graph: numbers -> chunks of examples in parallel -> batches -> prefetch.

The graph carries numbers only. The examples themselves are written into numpy arrays, one set per
batch: as tensors, they would be copied three times, which takes longer than to crop them.

Training runs TensorFlow only here. TensorFlow must never use the accelerators; JAX owns them.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np

from input_pipeline.batch import Batch

# Most examples per call from the graph into Python: large enough to hide the cost of the call,
# small enough for several workers to share one batch.
CHUNK = 16


def tensorflow() -> Any:
    """Imports TensorFlow with all accelerators hidden and, by default, without its log lines."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # not needed, and it logs to stderr
    # By default, TensorFlow imports Keras 3, and Keras 3 imports matplotlib; with the legacy Keras
    # chosen, it imports neither. The choice must not reach other users of TensorFlow.
    variable = "TF_USE_LEGACY_KERAS"
    is_set = variable in os.environ
    os.environ.setdefault(variable, "1")
    import tensorflow as tf

    if not is_set:
        del os.environ[variable]
    for kind in ("GPU", "TPU"):
        tf.config.set_visible_devices([], kind)
    return tf


def chunk_size(batch_size: int) -> int:
    """Returns the largest divisor of the batch size up to `CHUNK`."""
    return max(size for size in range(1, CHUNK + 1) if batch_size % size == 0)


class Batches(Iterator[Batch]):
    """Iterates over the batches `first`, first + 1, ... before `last`, or endlessly.

    `close` stops the threads. It also runs at exit and when the iterator is garbage-collected: a
    TensorFlow thread that calls Python while Python shuts down would abort the process.

    `next` raises the original exception of `fill`.

    Args:
      allocate: batch number -> its arrays, all with `batch_size` rows; filled or not. Called once
        for each batch.
      fill: (chunk number, rows) writes the examples of a chunk into these rows of its batch; the
        first chunk of batch b has the number b * batch_size / chunk. Called from several threads.
      first: number of the first batch.
      last: number after that of the last batch; None for no end.
      chunk: examples per chunk, a divisor of the batch size.
      batch_size: examples per batch.
      workers: threads that fill chunks.
      prefetch: batches prepared in advance.
    """

    def __init__(
        self,
        allocate: Callable[[int], Batch],
        fill: Callable[[int, Batch], None],
        first: int,
        last: int | None,
        *,
        chunk: int,
        batch_size: int,
        workers: int,
        prefetch: int,
    ) -> None:
        tf = tensorflow()
        cv2.setNumThreads(1)  # OpenCV's own threads would compete with the workers
        self._tf, self._number = tf, first
        per_batch = batch_size // chunk
        # Closures over self would keep this object alive.
        self._failures: list[Exception] = []
        self._batches: dict[int, Batch] = {}
        failures, batches, lock = self._failures, self._batches, threading.Lock()

        def call(number: np.ndarray) -> np.ndarray:
            batch_number, part = divmod(int(number), per_batch)
            try:
                with lock:
                    if batch_number not in batches:
                        batches[batch_number] = allocate(batch_number)
                    batch = batches[batch_number]
                rows = slice(part * chunk, (part + 1) * chunk)
                fill(int(number), {key: value[rows] for key, value in batch.items()})
            except Exception as error:  # kept: TensorFlow raises an error of its own instead
                failures.append(error)
                raise
            return number

        def load(number: Any) -> Any:
            number = tf.numpy_function(call, [number], tf.int64)
            number.set_shape(())
            return number

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
            atexit.register(_close_all)  # registered last, so it runs before TensorFlow's handlers
        _open.add(self)

    def __next__(self) -> Batch:
        if self._iterator is None:
            raise StopIteration
        try:
            next(self._iterator)
        except StopIteration:
            self.close()
            raise
        except self._tf.errors.OpError as error:
            self.close()
            raise (self._failures[0] if self._failures else error) from None
        self._number += 1
        return self._batches.pop(self._number - 1)

    def close(self) -> None:
        """Stops the threads and drops the prefetched batches."""
        self._iterator = None  # TensorFlow waits for the running calls
        self._batches.clear()
        _open.discard(self)


_open: weakref.WeakSet[Batches] = weakref.WeakSet()


def _close_all() -> None:
    for iterator in list(_open):
        iterator.close()
