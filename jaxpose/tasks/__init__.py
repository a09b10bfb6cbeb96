"""Tasks: everything that the rest of the library must know about a way to estimate poses.

A task is a module that satisfies the protocol `Task`: `topdown` (one person per crop),
`associative_embedding` and `part_affinity` (all people of an image). Others look it up by the name
that the settings, a model or an exported file carry, and call it:

    task = tasks.get(config.task)
    objective = task.make_objective(model, config)

A new task is one module here and one line in `TASKS`.
"""

from __future__ import annotations

from jaxpose.choices import choose_from
from jaxpose.tasks import associative_embedding, part_affinity, topdown
from jaxpose.tasks.protocol import Agreement, Batch, Decoder, Objective, Task

__all__ = ["TASKS", "Agreement", "Batch", "Decoder", "Objective", "Task", "get"]

TASKS: dict[str, Task] = {
    task.NAME: task for task in (topdown, associative_embedding, part_affinity)
}


def get(name: str) -> Task:
    """The task of that name. Raises ValueError, with the nearest name, when there is none."""
    if name not in TASKS:
        raise ValueError(f"config.task={name!r}: {choose_from(name, TASKS)}")
    return TASKS[name]
