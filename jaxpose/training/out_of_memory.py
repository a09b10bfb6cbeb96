"""One line instead of JAX's error when a program needs more memory than the device has."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import jax
from ml_collections import ConfigDict

from jaxpose.runs.arrays import first_line

_CODE = "RESOURCE_EXHAUSTED"


class OutOfMemoryError(ValueError):
    """The settings need more memory than the device has."""


@contextlib.contextmanager
def explained(config: ConfigDict, training: bool = True) -> Iterator[None]:
    """Turns JAX's error about the memory of a device into one that names the settings to change.

    The error may come from the compiler (TPU), from the call of a program, or later, when its
    results are read; so the block contains all of these.

    Args:
      config: all settings.
      training: whether the program is the training step; else it is that of the evaluation.

    Raises:
      OutOfMemoryError: instead of JAX's error; others pass.
    """
    try:
        yield
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        text = str(error)
        # A step that was compiled ahead may raise a ValueError. Errors of our own quote storage
        # libraries, which have the same code for a full disk.
        of_jax = isinstance(error, jax.errors.JaxRuntimeError) or text.startswith(_CODE)
        if not of_jax or _CODE not in text:
            raise
        remedy = f"lower config.eval.batch_size={config.eval.batch_size}"
        if training:
            *others, last = [
                f"lower config.batch_size={config.batch_size}",
                f"raise config.accumulate={config.accumulate}, the micro-batches of a step",
                *([] if config.remat else ["set config.remat=True if the network repeats blocks"]),
            ]
            remedy = f"{', '.join(others)}, or {last}; `jaxpose plan` shows what fits"
        kind = "training" if training else "evaluation"
        raise OutOfMemoryError(
            f"the {kind} needs more memory than the device has ({first_line(error)}); {remedy}"
        ) from error
