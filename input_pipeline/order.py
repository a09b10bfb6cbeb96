"""Order of the training examples and their random numbers, as pure functions of integers.

Everything comes from the counter-based generator Philox (Salmon et al., SC 2011): any number of
any epoch is reached at once, so a run restarts at any step without replaying the steps before it.
Only the raw bits of the generator are used; numpy keeps those fixed between its versions.
"""

from __future__ import annotations

import functools

import numpy as np

_ORDER, _AUGMENTATION = 0, 1  # separate streams: the order does not disturb the augmentation


def _bits(seed: int, epoch: int, index: int, stream: int, count: int) -> np.ndarray:
    """`count` raw 64-bit numbers, at most 2**64 blocks from those of any other index or stream."""
    generator = np.random.Philox(
        key=(seed % 2**64) | (epoch << 64), counter=(index << 64) | (stream << 192)
    )
    return generator.random_raw(count)


def uniforms(seed: int, epoch: int, index: int, count: int) -> np.ndarray:
    """`count` numbers in [0, 1) for one example of one epoch, float64, multiples of 2**-53."""
    return (_bits(seed, epoch, index, _AUGMENTATION, count) >> np.uint64(11)) * 2.0**-53


@functools.lru_cache(maxsize=3)
def permutation(seed: int, epoch: int, num_examples: int) -> np.ndarray:
    """Order of the examples in one epoch: int64 [num_examples], read-only."""
    order = np.argsort(_bits(seed, epoch, 0, _ORDER, num_examples), kind="stable")
    order.setflags(write=False)
    return order


def example(number: int, seed: int, num_examples: int) -> tuple[int, int]:
    """(epoch, index) of the example at a position of the endless stream, counted from 0."""
    epoch, position = divmod(number, num_examples)
    return epoch, int(permutation(seed, epoch, num_examples)[position])


def first_example(step: int, batch_size: int, host_id: int, host_count: int) -> int:
    """Position in the endless stream of a host's first example in the batch of `step`.

    Hosts take contiguous slices of the global batch, so that batches are the same for any number
    of hosts.
    """
    return step * batch_size + host_id * (batch_size // host_count)


def first_of_chunk(number: int, chunk: int, batch_size: int, host_id: int, host_count: int) -> int:
    """Position of the first example of a host's chunk; its chunks are counted from step 0 on."""
    step, part = divmod(number, batch_size // host_count // chunk)
    return first_example(step, batch_size, host_id, host_count) + part * chunk
