"""Images per second of the input pipeline alone, stage by stage.

    python -m input_pipeline.benchmark --config=configs/<recipe>.py [--steps=N]

The stages read, decode and augment run in one thread, each on the output of the stage before. The
last line is the whole tf.data graph with `config.data.workers` threads, as training runs it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from absl import app, flags

import input_pipeline
from input_pipeline import order
from input_pipeline.dataset import image_reader
from jaxpose import tables
from jaxpose.config import expand_paths
from jaxpose.config.flags import define_config_file, parse_flags
from jaxpose.images import ImageError, decode_annotated


def _rate(work: Callable[[Any], Any], items: Iterable[Any]) -> tuple[float, list[Any]]:
    """Returns items per second, and the results (None for an unusable image)."""
    results = []
    start = time.perf_counter()
    for item in items:
        try:
            results.append(work(item))
        except ImageError:
            results.append(None)
    return len(results) / (time.perf_counter() - start), results


def measure(config: Any, *, examples: int = 500, steps: int = 30) -> dict[str, float]:
    """Measures images per second by stage: read, decode, augment, one thread, graph.

    Args:
      config: as for `train_data`.
      examples: number of examples timed in the single-thread stages.
      steps: number of batches timed in the last stage.
    """
    data = input_pipeline.train_data(config)
    seed, total = int(config.seed), data.num_examples
    indexes = [order.example(n, seed, total)[1] for n in range(min(examples, total))]
    ids = [int(data.examples.image_id[index]) for index in indexes]
    rates: dict[str, float] = {}
    rates["read"], files = _rate(image_reader(config, data.dataset), ids)
    whole = [(file, identity) for file, identity in zip(files, ids, strict=True) if file]
    size = data.dataset.annotated_size
    rates["decode"], images = _rate(lambda pair: decode_annotated(pair[0], size(pair[1])), whole)
    readable = [index for index, file in zip(indexes, files, strict=True) if file]
    pairs = [(i, image) for i, image in zip(readable, images, strict=True) if image is not None]
    rates["augment"], _ = _rate(lambda pair: data.examples.make(pair[1], 0, pair[0]), pairs)
    rates["one thread"], _ = _rate(data.example, range(len(indexes)))
    batches = data.batches()
    next(batches)  # builds the graph and fills its buffers
    start = time.perf_counter()
    for _ in range(steps):
        next(batches)
    rates["graph"] = steps * int(config.batch_size) / (time.perf_counter() - start)
    batches.close()
    return rates


def main(_: Any = None) -> None:
    config = _CONFIG.value
    expand_paths(config)
    print(f"input {tuple(config.input_size)}, storage {config.data.storage}, "
          f"cache {bool(config.data.cache)}, batch {config.batch_size}")  # fmt: skip
    try:
        rates = measure(config, steps=_STEPS.value)
    except (ValueError, OSError) as error:
        print(f"benchmark.py: {error}", file=sys.stderr)
        sys.exit(2)
    names = {"graph": f"graph, {config.data.workers} workers"}
    print(tables.text([(names.get(k, k), f"{rate:,.0f}", "images/s") for k, rate in rates.items()]))


if __name__ == "__main__":
    _CONFIG = define_config_file("Recipe: a file of configs/.")
    _STEPS = flags.DEFINE_integer("steps", 30, "Number of batches timed in the last stage.")
    flags.mark_flag_as_required("config")
    app.run(main, flags_parser=parse_flags)
