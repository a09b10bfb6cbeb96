"""The input benchmark names every stage, also when pictures are damaged."""

import pathlib

from input_pipeline import benchmark


def test_every_stage_has_a_rate(config):
    (pathlib.Path(config.data.root) / "images" / "train01.png").write_bytes(b"")
    config.max_bad_fraction = 0.5
    rates = benchmark.measure(config, examples=8, steps=2)
    assert list(rates) == ["read", "decode", "augment", "one thread", "graph"]
    assert all(rate > 0 for rate in rates.values())
