"""What a task offers to the rest of the library."""

from __future__ import annotations

from typing import Protocol


class Task(Protocol):
    """A module that says how poses are learned, predicted, scored and exported.

    Attributes:
      NAME: as `config.task`, a model's record and an exported file's metadata carry it.
      TITLE: for headings.
      COUNTS: what an example is and the log counts, "people" or "images".
      EXAMPLE: what the input pipeline makes of one, "crop" (one person) or "image" (everyone).
      INPUT_STEP: the sides of the network's input are multiples of it, in pixels.
      RECIPE: the recipe that a new training of this task starts from.
    """

    NAME: str
    TITLE: str
    COUNTS: str
    EXAMPLE: str
    INPUT_STEP: int
    RECIPE: str

    def network_keypoints(self, num_keypoints: int) -> int:
        """`num_keypoints` of a network that learns so many keypoints of a dataset."""
        ...
