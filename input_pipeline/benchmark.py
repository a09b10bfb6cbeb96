"""Speed of the input pipeline alone, stage by stage, beside the least it can cost: decoding.

    python -m input_pipeline.benchmark --config=configs/<recipe>.py [--steps=N] [--chip_speed=N]

The bound is the rate at which one thread only decodes the files of the same examples, whole, with
the same library. The stages read, decode and augment run in one thread, each on the output of the
stage before (with `config.data.prepared`, augment starts from the prepared crops); "one thread" is
all that the settings need of them. The last line is the whole tf.data graph with
`config.data.workers` threads, as training runs it. The stages take turns on small groups of
examples, so that other programs slow down all of them equally.

A share of the bound compares processor time per image, which other programs change little: at 70%,
decoding alone is 70% of the cost. The images per second are wall-clock, and so is the second share
of the graph: its rate by the bound times the threads that can run at the same time.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import cv2
from absl import app, flags

import input_pipeline
from input_pipeline import order
from input_pipeline.dataset import image_reader
from input_pipeline.region import Region
from jaxpose import memory, tables
from jaxpose.config import expand_paths
from jaxpose.config.flags import define_config_file, parse_flags
from jaxpose.files import expand
from jaxpose.images import ImageError, decode_annotated

BOUND, GRAPH = "decode", "graph"
GROUP = 50  # examples per turn of a stage
TURNS = 5  # of the graph


@dataclasses.dataclass
class Stage:
    """What one stage has taken so far.

    Attributes:
      examples: number of examples.
      seconds: wall-clock time.
      cpu: processor time of all threads of the stage, seconds.
    """

    examples: int = 0
    seconds: float = 0.0
    cpu: float = 0.0

    @property
    def rate(self) -> float:
        """Examples per second."""
        return self.examples / self.seconds

    @property
    def cost(self) -> float:
        """Processor time per example, seconds."""
        return self.cpu / self.examples

    def run(self, work: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        """Adds one turn; returns the results, None for an unusable image."""
        results = []
        start, cpu = time.perf_counter(), time.thread_time()
        for item in items:
            try:
                results.append(work(item))
            except ImageError:
                results.append(None)
        self.cpu += time.thread_time() - cpu
        self.seconds += time.perf_counter() - start
        self.examples += len(items)
        return results


@dataclasses.dataclass(frozen=True)
class ChipSpeed:
    """How fast one chip trains.

    Attributes:
      rate: images per second.
      chip: name of the chip, or "" if the rate was given as a number.
    """

    rate: float
    chip: str = ""


def measure(config: Any, *, examples: int = 500, steps: int = 30) -> dict[str, Stage]:
    """Measures the stages read, decode, augment, one thread and graph.

    Args:
      config: as for `train_data`.
      examples: number of examples of the single-thread stages.
      steps: number of batches of the graph.
    """
    cv2.setNumThreads(1)  # as in the graph
    data = input_pipeline.train_data(config, log=print)
    seed, total = int(config.seed), data.num_examples
    numbers = range(min(examples, total))
    stages = {name: Stage() for name in ("read", BOUND, "augment", "one thread")}
    read, size = image_reader(config, data.dataset), data.dataset.annotated_size
    for first in numbers[::GROUP]:
        group = numbers[first : first + GROUP]
        indexes = [order.example(number, seed, total)[1] for number in group]
        ids = [int(data.examples.image_id[index]) for index in indexes]
        files = stages["read"].run(read, ids)
        found = [item for item in zip(indexes, ids, files, strict=True) if item[2]]
        images = stages[BOUND].run(lambda item: decode_annotated(item[2], size(item[1])), found)
        opened = [
            (index, data.open(index) if config.data.prepared else Region.whole(image))
            for (index, *_), image in zip(found, images, strict=True)
            if image is not None
        ]
        stages["augment"].run(lambda pair: data.examples.make(pair[1], 0, pair[0]), opened)
        stages["one thread"].run(data.example, group)
    stages[GRAPH] = _measure_graph(data, int(config.batch_size), steps)
    return stages


def _measure_graph(data: input_pipeline.TrainData, batch_size: int, steps: int) -> Stage:
    stage, start_step = Stage(), 0
    for turn in range(TURNS):
        count = len(range(turn, steps, TURNS))
        if not count:
            break
        batches = data.batches(start_step)
        next(batches)  # builds the graph and fills its buffers
        start, cpu = time.perf_counter(), time.process_time()
        for _ in range(count):
            next(batches)
        stage.cpu += time.process_time() - cpu
        stage.seconds += time.perf_counter() - start
        stage.examples += count * batch_size
        batches.close()
        start_step += count + 1
    return stage


def stage_table(stages: dict[str, Stage], workers: int) -> tables.Rows:
    """Rows of the stages: images per second, processor time per image, share of the bound.

    Args:
      stages: from `measure`.
      workers: threads of the graph.
    """
    bound = stages[BOUND]
    rows = [("stage", "images/s", "CPU ms/image", "of the bound")]
    names = {BOUND: "decode: the bound", GRAPH: f"graph, {workers} workers"}
    for name, stage in stages.items():
        whole = name in (BOUND, "one thread", GRAPH)
        share = f"{100 * bound.cost / stage.cost:.0f}%" if whole else "-"
        rows.append((names.get(name, name), f"{stage.rate:,.0f}", f"{1e3 * stage.cost:.3f}", share))
    return rows


def share_line(stages: dict[str, Stage], threads: int) -> str:
    """Shares of the bound that the graph reaches, in one line.

    Args:
      stages: from `measure`.
      threads: threads of the graph that can run at the same time.
    """
    graph, bound = stages[GRAPH], stages[BOUND]
    limit = threads * bound.rate
    return (
        f"the graph reaches {100 * bound.cost / graph.cost:.0f}% of the bound by processor time, "
        f"{100 * graph.rate / limit:.0f}% by wall-clock ({graph.rate:,.0f} of {limit:,.0f} "
        f"images/s with {threads} threads)"
    )


def chip_table(stages: dict[str, Stage], speeds: Iterable[ChipSpeed]) -> tables.Rows:
    """Rows of the processor cores that feed one chip: with this pipeline, and at the bound.

    Args:
      stages: from `measure`.
      speeds: of training on the chip.
    """
    rows = [("one chip trains", "cores of this host", "if only decoding")]
    for speed in speeds:
        cores = [f"{speed.rate * stages[name].cost:.1f}" for name in (GRAPH, BOUND)]
        chip = f"{speed.chip}: " if speed.chip else ""
        rows.append((f"{chip}{speed.rate:,.0f} images/s", cores[0], cores[1]))
    return rows


def speeds_of(texts: Iterable[str], input_size: Sequence[int]) -> list[ChipSpeed]:
    """Returns the speeds of --chip_speed: positive numbers, and files of `jaxpose plan --json`.

    Args:
      texts: images per second, or the name of a file.
      input_size: height and width of the network's input, which that of a plan must equal.

    Raises:
      ValueError: one is neither a positive number nor the plan of such a step on a TPU.
    """
    return [_speed_of(text, tuple(input_size)) for text in texts]


def _speed_of(text: str, input_size: tuple[int, ...]) -> ChipSpeed:
    try:
        rate = float(text)
    except ValueError:
        return _planned_speed(text, input_size)
    if not 0 < rate < float("inf"):
        raise ValueError(_neither(text))
    return ChipSpeed(rate)


def _neither(text: str) -> str:
    return (
        f"--chip-speed={text}: give images per second, a positive number, or a file that "
        "`jaxpose plan --json FILE` has written"
    )


def _planned_speed(text: str, input_size: tuple[int, ...]) -> ChipSpeed:
    """The speed by the compiler's cycles, which is that of one chip: the batch is one chip's."""
    try:
        plan = json.loads(expand(text).read_text(encoding="utf-8"))
        planned, batch = tuple(plan["input_size"]), int(plan["batch_per_chip"])
        fits, chip = bool(plan["memory"]["fits"]), plan["chip"]["name"] if plan["chip"] else ""
        milliseconds = float(plan["total"]["cycles_ms"]) if "total" in plan else 0.0
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(_neither(text)) from error
    if not fits:
        raise ValueError(f"--chip-speed={text}: the planned step does not fit in the memory")
    if not milliseconds > 0:
        raise ValueError(f"--chip-speed={text}: the plan has no cycles; make one for a TPU")
    if planned != input_size:
        sizes = ["x".join(map(str, size)) for size in (planned, input_size)]
        raise ValueError(
            f"--chip-speed={text}: the plan is for an input of {sizes[0]}, --config has {sizes[1]}"
        )
    return ChipSpeed(batch / milliseconds * 1e3, chip)


def _cores() -> int:
    known = hasattr(os, "sched_getaffinity")  # not on macOS
    return len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1


def main(_: Any = None) -> None:
    config = _CONFIG.value
    expand_paths(config)
    workers = int(config.data.workers)
    memory.keep_freed()  # as train.py does
    try:
        speeds = speeds_of(_CHIP_SPEED.value, config.input_size)
        print(f"input {tuple(config.input_size)}, storage {config.data.storage}, "
              f"cache {config.data.cache}, reduced decode {config.data.reduced_decode}, "
              f"prepared {config.data.prepared}, batch {config.batch_size}")  # fmt: skip
        stages = measure(config, steps=_STEPS.value)
    except (ValueError, OSError) as error:
        print(f"benchmark.py: {error}", file=sys.stderr)
        sys.exit(2)
    print(tables.text(stage_table(stages, workers)))
    print(share_line(stages, min(workers, _cores())))
    if speeds:
        print(f"\n{tables.text(chip_table(stages, speeds))}")


if __name__ == "__main__":
    _CONFIG = define_config_file("Recipe: a file of configs/.")
    _STEPS = flags.DEFINE_integer(
        "steps", 30, "Number of batches timed in the last stage.", lower_bound=1
    )
    _CHIP_SPEED = flags.DEFINE_multi_string(
        "chip_speed", [], "Images per second that one chip trains, or a file of `jaxpose plan "
        "--json`; prints the cores that feed it. May be repeated."
    )  # fmt: skip
    flags.mark_flag_as_required("config")
    app.run(main, flags_parser=parse_flags)
