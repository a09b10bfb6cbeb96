"""What a task offers to the rest of the library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ml_collections import ConfigDict

from jaxpose.config import Setting


class Task(Protocol):
    """A module that says how poses are learned, predicted, scored and exported.

    Attributes:
      NAME: as `config.task`, a model's record and an exported file's metadata carry it.
      TITLE: for headings.
      COUNTS: what an example is and the log counts, "people" or "images".
      EXAMPLE: what the input pipeline makes of one, "crop" (one person) or "image" (everyone).
      INPUT_STEP: the sides of the network's input are multiples of it, in pixels; the stride of
        its smallest maps.
      RECIPE: the recipe that a new training of this task starts from.
      SETTINGS: the declarations of all its settings.
      check_settings: raises ConfigError on the first rule between settings that is broken.
    """

    NAME: str
    TITLE: str
    COUNTS: str
    EXAMPLE: str
    INPUT_STEP: int
    RECIPE: str
    SETTINGS: tuple[Setting, ...]
    check_settings: Callable[[ConfigDict], None]

    def network_keypoints(self, num_keypoints: int) -> int:
        """`num_keypoints` of a network that learns so many keypoints of a dataset."""
        ...
