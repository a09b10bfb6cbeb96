"""Parameters and multiply-adds of a model, whole or per stage, without running it.

The model's jaxpr is traced with abstract values and read operator by operator, so a network of any
size is counted in seconds and in no memory. See `jaxpose.summary.counting` for the conventions.
"""

from jaxpose.summary.command import add_arguments, run
from jaxpose.summary.counting import CONVENTIONS, Count, Stage, count, stages
from jaxpose.summary.zoo import zoo_table

__all__ = [
    "CONVENTIONS",
    "Count",
    "Stage",
    "add_arguments",
    "count",
    "run",
    "stages",
    "zoo_table",
]
