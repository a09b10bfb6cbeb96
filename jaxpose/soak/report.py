"""Counts the outcomes of the trials, as a table and as JSON."""

import dataclasses
import json
import pathlib
from collections.abc import Sequence

from jaxpose import tables
from jaxpose.files import write_atomic
from jaxpose.soak.trial import EQUAL, REFUSED


@dataclasses.dataclass(frozen=True)
class Result:
    """The result of one trial.

    Attributes:
      number: of the trial, from 1.
      fault: its name.
      outcome: "equal", "refused", or what is bad (see `jaxpose.soak.trial.Bad`).
      happened: whether the fault came before the training had ended.
      seconds: duration.
      note: what exactly was done.
      reason: why it is bad; "" if it is not.
      folder: kept if it is bad; else "".
    """

    number: int
    fault: str
    outcome: str
    happened: bool
    seconds: float
    note: str
    reason: str = ""
    folder: str = ""

    @property
    def bad(self) -> bool:
        return self.outcome not in (EQUAL, REFUSED)

    def line(self) -> str:
        late = "" if self.happened else " (the training had ended before)"
        reason = f": {self.reason}" if self.reason else ""
        return (
            f"{self.number:4d}  {self.fault}  {self.outcome}{reason}  {self.seconds:.1f} s  "
            f"{self.note}{late}"
        )


def table(results: Sequence[Result]) -> str:
    """Trials and outcomes by fault, with a last row of sums."""
    header = ("fault", "trials", "in time", "equal", "refused", "bad", "seconds per trial")
    faults = dict.fromkeys(result.fault for result in results)
    rows = [_row(name, [result for result in results if result.fault == name]) for name in faults]
    return tables.text([header, *rows, _row("all", results)])


def _row(name: str, results: Sequence[Result]) -> tuple[str, ...]:
    counts = (
        len(results),
        sum(result.happened for result in results),
        sum(result.outcome == EQUAL for result in results),
        sum(result.outcome == REFUSED for result in results),
        sum(result.bad for result in results),
    )
    mean = sum(result.seconds for result in results) / max(len(results), 1)
    return name, *map(str, counts), f"{mean:.1f}"


def summary(results: Sequence[Result]) -> str:
    """The table, and one line per bad trial with its folder."""
    bad = [
        f"bad: {result.line().strip()}  kept in {result.folder}" for result in results if result.bad
    ]
    return "\n".join([table(results), *bad])


def write(path: pathlib.Path, results: Sequence[Result], **values) -> None:
    """Writes all results, and values that are common to them, as JSON."""
    record = {**values, "trials": [dataclasses.asdict(result) for result in results]}
    write_atomic(path, json.dumps(record, indent=1) + "\n")
