"""The parameters of the two datasets of generated people."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np

from input_pipeline.generated import crowd, scene

# Versions of the two generators; increase them with any change of the images.
VERSION = 1
CROWDS_VERSION = 1
MOST_PEOPLE = 60  # limit per image of a crowd


@dataclasses.dataclass(frozen=True)
class Parameters:
    """Number, content and difficulty of the generated images.

    Attributes:
      num_train, num_val: number of images of the two splits.
      seed: random seed.
      people: relative frequency of images with 1, 2, ... people.
      min_side, max_side: range of the longer side of an image, pixels.
      hard_poses: fraction of people who sit, bend or run.
      backs: fraction of people who show their back.
      tiny: fraction of people between 20 and 60 pixels high.
      truncation: fraction of people whose feet may be below the image.
      overlap: largest overlap of two people, as a fraction of the smaller box.
      obstacles: fraction of people with a box or a post in front of them.
      clutter: number of background objects, relative to the default.
    """

    num_train: int = 3000
    num_val: int = 300
    seed: int = 0
    people: tuple[float, ...] = (0.45, 0.35, 0.15, 0.05)
    min_side: int = 200
    max_side: int = 300
    hard_poses: float = 0.12
    backs: float = 0.2
    tiny: float = 0.08
    truncation: float = 0.15
    overlap: float = 0.3
    obstacles: float = 0.06
    clutter: float = 1.0

    def __post_init__(self) -> None:
        _check(self)
        object.__setattr__(self, "people", tuple(float(weight) for weight in self.people))

    def to_json(self) -> str:
        return json.dumps({"version": VERSION, **dataclasses.asdict(self)}, indent=1)

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, list[dict[str, Any]]]:
        return scene.draw(rng, self)


@dataclasses.dataclass(frozen=True)
class Crowds:
    """Content and difficulty of generated images with several people each.

    Attributes:
      num_train, num_val: number of images of the two splits.
      seed: random seed.
      people: minimum and maximum number of people per image, uniformly distributed. An image
        without room for another person has fewer.
      overlap: probability that a person stands in front of or behind another one; their boxes then
        share up to 0.2 + 0.55 * overlap of the smaller box. With 0, people do not overlap.
      unlabelled: fraction of people annotated without keypoints.
      far_crowds: fraction of images with a far crowd, annotated as one region.
      min_side, max_side: range of the longer side of an image, pixels.
      hard_poses: fraction of people who sit, bend or run.
      backs: fraction of people who show their back.
      truncation: fraction of people whose feet may be below the image.
      obstacles: fraction of people with a box or a post in front of them.
      clutter: number of background objects, relative to the default.
    """

    num_train: int = 3000
    num_val: int = 300
    seed: int = 0
    people: tuple[int, int] = (2, 6)
    overlap: float = 0.3
    unlabelled: float = 0.04
    far_crowds: float = 0.1
    min_side: int = 256
    max_side: int = 352
    hard_poses: float = 0.12
    backs: float = 0.2
    truncation: float = 0.1
    obstacles: float = 0.04
    clutter: float = 1.0

    def __post_init__(self) -> None:
        _check(self)
        if len(self.people) != 2 or not 1 <= self.people[0] <= self.people[1] <= MOST_PEOPLE:
            raise ValueError(
                f"people must be (minimum, maximum), 1 <= minimum <= maximum <= {MOST_PEOPLE}, got "
                f"{self.people}"
            )
        if not 0 <= self.overlap <= 1:
            raise ValueError(f"overlap must be between 0 and 1, got {self.overlap}")
        object.__setattr__(self, "people", tuple(int(count) for count in self.people))

    def to_json(self) -> str:
        return json.dumps({"crowds": CROWDS_VERSION, **dataclasses.asdict(self)}, indent=1)

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, list[dict[str, Any]]]:
        return crowd.draw(rng, self)


def _check(options: Parameters | Crowds) -> None:
    if options.num_train < 1 or options.num_val < 1:
        raise ValueError("num_train and num_val must be at least 1")
    if not 64 <= options.min_side <= options.max_side:
        raise ValueError(
            f"need 64 <= min_side <= max_side, got {options.min_side}, {options.max_side}"
        )
