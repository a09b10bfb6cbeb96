"""`jaxpose settings [RECIPE]`: every setting with its default, unit, meaning and constraints."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING

from jaxpose.config.recipe import load_recipe
from jaxpose.config.table import FREE, Row, as_markdown, as_text, legend, make_rows, with_values
from jaxpose.config.tree import flatten

if TYPE_CHECKING:
    from jaxpose.tasks import Task

_HEAD = """# Settings

Made by `jaxpose settings --markdown`. `jaxpose settings RECIPE` prints the values of a recipe, for
example `jaxpose settings configs/hwl.py:coco,384x288`, and marks those that differ from the
defaults.

Recipes in `configs/` change defaults; `--config.KEY=VALUE` on the command line of `train.py` and
`eval.py` changes a recipe. A setting that is given several times has the last value. Unknown keys
and values that cannot work are refused before anything is compiled.

A run that is resumed may change the settings marked {free}; all others must stay as they were.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `jaxpose settings`."""
    parser.add_argument(
        "recipe",
        metavar="RECIPE",
        nargs="?",
        help="show the values of this recipe, FILE.py or FILE.py:VARIANT",
    )
    parser.add_argument("--task", metavar="NAME", help="only the settings of this task")
    parser.add_argument("--markdown", action="store_true", help="as Markdown")


def run(args: argparse.Namespace) -> int:
    """Prints the settings."""
    from jaxpose import tasks

    if args.recipe:
        config = load_recipe(args.recipe)
        task = tasks.get(config.task)
        if args.task not in (None, task.NAME):
            raise ValueError(f"--task={args.task}: {args.recipe} is a recipe of {task.NAME}")
        rows = with_values(_rows({task.NAME: task}), flatten(config))
        print(as_markdown(rows) if args.markdown else f"{as_text(rows)}\n\n{legend(rows)}")
        return 0
    chosen = {args.task: tasks.get(args.task)} if args.task else tasks.TASKS
    if args.markdown:
        print(document(chosen))
    else:
        for heading, rows in _sections(chosen):
            print(f"{heading}\n\n{as_text(rows)}\n")
        print(legend(_rows(chosen)))
    return 0


def document(chosen: Mapping[str, Task]) -> str:
    """The settings of tasks, by name, as a Markdown document."""
    sections = [f"## {heading}\n\n{as_markdown(rows)}" for heading, rows in _sections(chosen)]
    return "\n".join([_HEAD.format(free=FREE), "\n\n".join(sections)])


def _sections(chosen: Mapping[str, Task]) -> list[tuple[str, list[Row]]]:
    """Headings and rows: the settings of all tasks, then those of some, then those of one."""
    by_tasks: dict[tuple[str, ...], list[Row]] = {}
    for row in _rows(chosen):
        by_tasks.setdefault(row.tasks, []).append(row)
    names = list(chosen)
    order = sorted(by_tasks, key=lambda tasks: (-len(tasks), names.index(tasks[0])))
    return [
        ("All tasks" if len(tasks) == len(names) > 1 else ", ".join(tasks), by_tasks[tasks])
        for tasks in order
    ]


def _rows(chosen: Mapping[str, Task]) -> list[Row]:
    return make_rows(
        {name: task.SETTINGS for name, task in chosen.items()},
        {name: task.INPUT_STEP for name, task in chosen.items()},
    )
