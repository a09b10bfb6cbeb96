"""Order and random numbers of the training examples, as pure functions of integers.

Both come from the counter-based generator Philox (Salmon et al., SC 2011), which gives direct
access to any number of any epoch. A run can therefore restart at any step without replaying the
earlier ones. Only the raw bits of the generator are used; numpy keeps them the same in all
versions.
"""

from __future__ import annotations

import functools
import threading

import numpy as np

_ORDER, _AUGMENTATION = 0, 1  # separate streams, so order and augmentation are independent
_local = threading.local()
_EMPTY = np.zeros(4, np.uint64)  # numbers that the generator has made but not given


def _bits(seed: int, epoch: int, index: int, stream: int, count: int) -> np.ndarray:
    """Returns `count` raw 64-bit numbers; each index and stream has a block of 2**64 counters.

    They are those of np.random.Philox(key=seed % 2**64 | epoch << 64,
    counter=index << 64 | stream << 192). To set the state of a generator is eight times as fast as
    to create one, which also draws entropy that is not used.
    """
    if not hasattr(_local, "generator"):
        _local.generator = np.random.Philox(0)
    _local.generator.state = {
        "bit_generator": "Philox",
        "state": {
            "counter": np.array([0, index, 0, stream], np.uint64),
            "key": np.array([seed % 2**64, epoch], np.uint64),
        },
        "buffer": _EMPTY,
        "buffer_pos": len(_EMPTY),
        "has_uint32": 0,
        "uinteger": 0,
    }
    return _local.generator.random_raw(count)


def uniforms(seed: int, epoch: int, index: int, count: int) -> np.ndarray:
    """Returns `count` float64 numbers in [0, 1) for one example of one epoch.

    They are multiples of 2**-53.
    """
    return (_bits(seed, epoch, index, _AUGMENTATION, count) >> np.uint64(11)) * 2.0**-53


@functools.lru_cache(maxsize=3)
def permutation(seed: int, epoch: int, num_examples: int) -> np.ndarray:
    """Returns the order of the examples in one epoch: int64 [num_examples], read-only."""
    order = np.argsort(_bits(seed, epoch, 0, _ORDER, num_examples), kind="stable")
    order.setflags(write=False)
    return order


def example(number: int, seed: int, num_examples: int) -> tuple[int, int]:
    """Returns (epoch, index) of the example at a 0-based position of the endless stream."""
    epoch, position = divmod(number, num_examples)
    return epoch, int(permutation(seed, epoch, num_examples)[position])


def first_example(step: int, batch_size: int, host_id: int, host_count: int) -> int:
    """Returns the stream position of a host's first example in the batch of `step`.

    Each host takes a contiguous slice of the global batch, so the batches are the same for any
    number of hosts.
    """
    return step * batch_size + host_id * (batch_size // host_count)


def first_of_chunk(number: int, chunk: int, batch_size: int, host_id: int, host_count: int) -> int:
    """Returns the stream position of the first example of a host's chunk, counted from step 0."""
    step, part = divmod(number, batch_size // host_count // chunk)
    return first_example(step, batch_size, host_id, host_count) + part * chunk
