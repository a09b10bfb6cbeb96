"""When a fault happens: a random moment of a phase of the run.

What a run has done so far is seen from outside: by its output, metrics.jsonl and checkpoints/. Each
thing seen is an event, and a phase is the time between two events. Its length is measured once, on
the uninterrupted run.
"""

import dataclasses
import json
import pathlib
import random
from collections.abc import Mapping

from jaxpose.runs.arrays import FOLDER, steps_in

# Event -> words of the line that train.py prints then.
_LINES = {
    "devices": "host(s), jax",
    "data": " to train, ",
    "network": " parameters, input",
    "first step": "first step after",
}
START = "start"
ANY = "any"


@dataclasses.dataclass(frozen=True)
class Moment:
    """`seconds` after the event `after`."""

    after: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.seconds:.3f} s after {self.after!r}"


def observe(folder: pathlib.Path, output: str) -> set[str]:
    """The events so far of a run with that folder and output."""
    events = {START} | {event for event, words in _LINES.items() if words in output}
    for record in _records(folder / "metrics.jsonl"):
        kind = "step" if "loss" in record else "evaluated"
        events.add(f"{kind} {record['step']}")
    if (folder / "config.json").exists():
        events.add("opened")
    checkpoints = folder / FOLDER
    try:
        names = [path.name for path in checkpoints.iterdir()]
    except FileNotFoundError:
        names = []
    events |= {f"saving {name.partition('.')[0]}" for name in names if "-tmp" in name}
    events |= {f"saved {step}" for step in steps_in(checkpoints)}
    return events


def _records(path: pathlib.Path) -> list[dict]:
    """The complete lines of a JSONL file that may be written at the same time."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def phases(times: Mapping[str, float]) -> dict[str, list[tuple[str, str]]]:
    """Phase -> the pairs of events between which it lasts.

    Args:
      times: event -> seconds, of a complete run.
    """
    steps = sorted(int(event.split()[1]) for event in times if event.startswith("step "))
    found = {
        "import": [(START, "devices")],
        "data": [("devices", "data")],
        "open": [("network", "opened")],
        "compile": [("network", "first step")],
        "step": [(f"step {a}", f"step {b}") for a, b in zip(steps, steps[1:], strict=False)],
        "evaluation": [(f"step {step}", f"evaluated {step}") for step in steps],
        "save": [(f"saving {step}", f"saved {step}") for step in steps],
    }
    return {
        name: [pair for pair in pairs if times.keys() >= {*pair}] for name, pairs in found.items()
    }


def pick(phase: str, times: Mapping[str, float], rng: random.Random) -> Moment:
    """A random moment of a phase, or of a random phase.

    Args:
      phase: a key of `phases`, or ANY.
      times: event -> seconds, of a complete run.
      rng: random numbers.

    Raises:
      ValueError: the complete run has no such phase.
    """
    found = phases(times)
    if phase == ANY:
        phase = rng.choice([name for name, pairs in found.items() if pairs])
    pairs = found[phase]
    if not pairs:
        raise ValueError(f"the phase {phase!r} was not seen in the uninterrupted run")
    begin, end = rng.choice(pairs)
    return Moment(begin, rng.uniform(0, max(times[end] - times[begin], 0.0)))
