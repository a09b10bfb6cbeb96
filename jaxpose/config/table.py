"""Declarations of settings as the rows of a table, printed as aligned text or as Markdown."""

from __future__ import annotations

import dataclasses
import itertools
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from jaxpose import tables
from jaxpose.config.setting import Setting

WIDTH = 100  # columns of a terminal
KEY_WIDTH, VALUE_WIDTH = 28, 22
FREE, CHANGED = "~", "*"
LEGEND = {
    CHANGED: "differs from the default",
    FREE: "may change when a run is resumed; all other settings may not",
}


@dataclasses.dataclass(frozen=True)
class Row:
    """A setting of one or several tasks.

    Attributes:
      setting: the declaration, the same in these tasks except for the default.
      tasks: their names.
      values: text of the recipe's value, or of the defaults, each with the names of its tasks (""
        if all tasks have the same default).
      meaning: sentence and constraints.
      changed: whether the recipe changes the default.
    """

    setting: Setting
    tasks: tuple[str, ...]
    values: tuple[tuple[str, str], ...]
    meaning: str
    changed: bool = False

    @property
    def group(self) -> str:
        """The outermost group; "" at the top level."""
        return self.setting.group.split(".")[0]

    @property
    def marks(self) -> str:
        """CHANGED and FREE, where they apply."""
        return CHANGED * self.changed + FREE * (not self.setting.fixed)


def make_rows(
    settings: Mapping[str, Sequence[Setting]], input_steps: Mapping[str, int]
) -> list[Row]:
    """The defaults, one row per setting, the top level first.

    Args:
      settings: declarations by task name. Declarations of one key that differ in more than the
        default get separate rows.
      input_steps: by task name; the sides of the input are multiples of this, in pixels.
    """
    same: dict[tuple, dict[str, Setting]] = {}
    for task, declared in settings.items():
        for setting in declared:
            if setting.key == "task":
                setting = dataclasses.replace(setting, default=task)
            shared = tuple(vars(dataclasses.replace(setting, default=None)).values())
            same.setdefault(shared, {})[task] = setting
    rows = []
    for declarations in same.values():
        setting = next(iter(declarations.values()))
        steps = {name: input_steps[name] for name in declarations}
        values = _by_value({name: _text(item.default) for name, item in declarations.items()})
        if setting.key == "task":
            values = tuple((name, "") for name, _ in values)
        meaning = f"{setting.sentence} {_constraint(setting, steps)}".strip()
        rows.append(Row(setting, tuple(declarations), values, meaning))
    groups = list(dict.fromkeys(["", *(row.group for row in rows)]))
    return sorted(rows, key=lambda row: groups.index(row.group))


def with_values(rows: Sequence[Row], values: Mapping[str, Any]) -> list[Row]:
    """The rows of one task with the values of a recipe, given by dotted key."""
    result = []
    for row in rows:
        value, default = values[row.setting.key], row.values[0][0]
        changed = _text(value) != default
        meaning = f"{row.meaning} Default: {default}." if changed else row.meaning
        result.append(
            dataclasses.replace(row, values=((_text(value), ""),), meaning=meaning, changed=changed)
        )
    return result


def as_text(rows: Sequence[Row]) -> str:
    """Three aligned columns: key, value with unit, meaning; an empty line between groups."""
    groups = itertools.groupby(rows, key=lambda row: row.group)
    return "\n\n".join("\n".join(map(_lines, group)) for _, group in groups)


def legend(rows: Sequence[Row]) -> str:
    """An explanation of the marks in these rows, one line each."""
    used = {mark for row in rows for mark in row.marks}
    return "\n".join(f"{mark:<3}{text}" for mark, text in LEGEND.items() if mark in used)


def as_markdown(rows: Sequence[Row]) -> str:
    """A Markdown table."""
    cells = [("setting", "default", "unit", "meaning")]
    for row in rows:
        key = f"`{row.setting.key}` {row.marks}".strip()
        values = "<br>".join(f"`{value}` {tasks}".strip() for value, tasks in row.values)
        cells.append((key, values, row.setting.unit, row.meaning))
    return tables.markdown(cells)


def _lines(row: Row) -> str:
    values = [" ".join(filter(None, (v, row.setting.unit, tasks))) for v, tasks in row.values]
    meaning = textwrap.wrap(row.meaning, WIDTH - 3 - KEY_WIDTH - VALUE_WIDTH)
    if max(map(len, values)) > VALUE_WIDTH - 2:  # the meaning starts below the values
        meaning = [""] * len(values) + meaning
    left = [(row.marks, row.setting.key)]
    columns = itertools.zip_longest(left, values, meaning)
    lines = []
    for head, value, text in columns:
        marks, key = head or ("", "")
        lines.append(
            f"{marks:<3}{key:<{KEY_WIDTH}}{value or '':<{VALUE_WIDTH}}{text or ''}".rstrip()
        )
    return "\n".join(lines)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key}={item}" for key, item in value.items()) or "none"
    return str(value) or '""'


def _by_value(texts: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Texts by task name -> each text once, with its tasks, or "" if all tasks have it."""
    tasks_of: dict[str, list[str]] = {}
    for task, text in texts.items():
        tasks_of.setdefault(text, []).append(task)
    if len(tasks_of) == 1:
        return ((next(iter(tasks_of)), ""),)
    return tuple((text, f"({', '.join(tasks)})") for text, tasks in tasks_of.items())


def _constraint(setting: Setting, input_steps: Mapping[str, int]) -> str:
    """The valid values as a sentence; "" if all are valid."""
    if setting.key == "input_size":
        steps = _by_value({task: str(step) for task, step in input_steps.items()})
        return f"Multiples of {', '.join(' '.join(filter(None, step)) for step in steps)}."
    text = f"one of {setting.constraint}" if setting.choices else setting.constraint
    return f"{text[0].upper()}{text[1:]}." if text else ""
