"""Parameters and multiply-adds of a model, in total or per stage, without running it.

The model is traced with abstract values and its jaxpr is read operator by operator, so a network of
any size is counted in seconds without allocating its arrays. `jaxpose.summary.counting` documents
the conventions.
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
