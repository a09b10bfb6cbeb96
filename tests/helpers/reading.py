"""Reading batches in tests, and comparing them with each other and with their schema."""

import itertools

import numpy as np

import input_pipeline


def take(config, count=4, start=0, **hosts):
    """The first `count` training batches from step `start` on."""
    iterator = input_pipeline.train_data(config, **hosts).batches(start)
    batches = list(itertools.islice(iterator, count))
    iterator.close()
    return batches


def assert_equal(first, second):
    """Two sequences of batches agree in every key and value."""
    for a, b in zip(first, second, strict=True):
        assert list(a) == list(b)
        for key in a:
            np.testing.assert_array_equal(a[key], b[key], err_msg=key)


def assert_fits(batch, size, spec):
    """A batch has exactly the keys, dtypes and shapes of its schema in `input_pipeline.batch`."""
    assert set(batch) == set(spec)
    for key, (dtype, shape) in spec.items():
        value, expected = batch[key], (size, *shape)
        assert value.dtype == dtype, key
        assert len(value.shape) == len(expected), key
        sides = zip(value.shape, expected, strict=True)
        assert all(side in (None, length) for length, side in sides), (key, value.shape)


def assert_same_in_parts(config, count):
    """Asserts that restarts, fewer workers and several hosts do not change the first batches."""
    whole = take(config, count)
    for start in range(1, count):
        assert_equal(take(config, count - start, start), whole[start:])
    config.data.workers, config.data.prefetch = 1, 1
    hosts = [take(config, count, host_id=host, host_count=2) for host in range(2)]
    joined = [
        {key: np.concatenate([a[key], b[key]]) for key in a} for a, b in zip(*hosts, strict=True)
    ]
    assert_equal(joined, whole)
