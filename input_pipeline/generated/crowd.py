"""Generated people: images of groups, in which people stand in front of each other."""

from __future__ import annotations

import dataclasses
from typing import Any

import cv2
import numpy as np

from input_pipeline.generated import drawing, scene
from input_pipeline.generated.person import (
    PERSON_STRIDE,
    Person,
    draw_person,
    random_look,
)
from input_pipeline.generated.pose import build_figure, random_body, random_pose
from jaxpose import skeletons

TRIES = 50  # positions tried for a person before the person is left out
MARGIN = 0.05  # margin around separate people: half a limb, in statures
FAR = 1000  # canvas number of the first person of the far crowd


@dataclasses.dataclass(frozen=True)
class _Ground:
    """The ground in perspective: feet are `camera` statures below the horizon."""

    horizon: float
    camera: float
    pitch: float  # degrees by which the camera looks down

    def hips(self, foot: float, stature: float) -> float:
        """Returns y of the hips of a person with feet `foot` statures (negative) above them."""
        return self.horizon + stature * (self.camera + foot)


def _place(
    rng: np.random.Generator, height: int, width: int, options: Any
) -> tuple[list[Person], _Ground]:
    """Places people on common ground, farthest first."""
    fewest, most = options.people
    count = int(rng.integers(fewest, most + 1))
    # Leaves room for everyone: the more people, the higher the camera.
    largest = min(0.95 * height, 1.6 * width / count**0.75)
    horizon = height * rng.uniform(0.1, 0.3)
    camera = float(np.clip((height * rng.uniform(0.8, 0.97) - horizon) / largest, 0.85, 3.5))
    ground = _Ground(horizon, camera, float(rng.uniform(-3, 12) + 6 * max(camera - 1.2, 0)))
    people: list[Person] = []
    boxes: list[tuple[np.ndarray, np.ndarray]] = []
    for _ in range(count):
        pose = random_pose(rng, hard=options.hard_poses, away=options.backs)
        figure = build_figure(random_body(rng), pose, ground.pitch)
        look = random_look(rng)
        points = np.array(list(figure.points.values()))[:, :2] * (1, -1)
        low, high = points.min(axis=0) - MARGIN, points.max(axis=0) + MARGIN
        foot = -points[:, 1].max() - 0.02
        joined = bool(people) and rng.random() < options.overlap
        whole = rng.random() >= options.truncation
        for attempt in range(2 * TRIES):
            together = joined and attempt < TRIES  # later attempts place the person apart
            if together:
                other = people[rng.integers(len(people))]
                stature = min(other.stature * rng.uniform(0.75, 1.3), 1.05 * height)
                x = other.origin[0] + rng.choice([-1, 1]) * rng.uniform(0.04, 0.3) * stature
                least, limit = 0.15, 0.2 + 0.55 * options.overlap
            else:
                shrink = 0.99 ** (attempt % TRIES)
                stature = largest * float(rng.triangular(0.5, 0.85, 1.0)) * shrink
                x = rng.uniform(0.06, 0.94) * width
                least, limit = 0.0, 0.0
            y = ground.hips(foot, stature)
            if whole:
                y = min(y, height - 3 + stature * foot)
            origin = np.array([x, y])
            box = origin + stature * low, origin + stature * high
            shared = max((scene.overlap(box, other) for other in boxes), default=0.0)
            if 0.03 * width < x < 0.97 * width and least <= shared <= limit:
                people.append(Person(figure, look, origin, stature))
                boxes.append(box)
                break
    return sorted(people, key=lambda person: person.stature), ground


def _far_crowd(
    rng: np.random.Generator, canvas: drawing.Canvas, ground: _Ground, backs: float
) -> None:
    """Draws a row of people too small to be annotated, numbered from `FAR` on."""
    height, width = canvas.owner.shape
    stature = height * rng.uniform(0.07, 0.12)
    x = rng.uniform(0.05, 0.6) * width
    for number in range(int(rng.integers(4, 10))):
        pose = random_pose(rng, hard=0, away=backs)
        figure = build_figure(random_body(rng), pose, ground.pitch)
        size = stature * rng.uniform(0.9, 1.1)
        x += size * rng.uniform(0.25, 0.6)
        foot = min(point[1] for point in figure.points.values()) - 0.02
        origin = np.array([x, ground.hips(foot, size)])
        person = Person(figure, random_look(rng), origin, size)
        draw_person(canvas, person, FAR + number)


def crowd_region(mask: np.ndarray) -> dict[str, Any]:
    """Returns the COCO record of a crowd: column-wise run lengths, and no keypoints."""
    flat = np.concatenate([[0], mask.ravel(order="F"), [0]])
    edges = np.flatnonzero(np.diff(flat)).tolist()
    ends = [0, *edges] if not edges or edges[-1] == mask.size else [0, *edges, mask.size]
    return {
        "bbox": [float(value) for value in cv2.boundingRect(mask)],
        "area": float(mask.sum()),
        "iscrowd": 1,
        "num_keypoints": 0,
        "keypoints": [0] * (3 * skeletons.COCO.num_joints),
        "segmentation": {"size": list(mask.shape), "counts": np.diff(ends).tolist()},
    }


def draw(rng: np.random.Generator, options: Any) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Draws one image of a group and its annotations, like `scene.draw`.

    Some people are annotated without keypoints, and some images have a far crowd that is annotated
    as one region. Training has to ignore both.

    Args:
      rng: random generator.
      options: `generated.Crowds`.
    """
    canvas = scene.empty_canvas(rng, options)
    height, width = canvas.owner.shape
    people, ground = _place(rng, height, width, options)
    if rng.random() < options.far_crowds:
        _far_crowd(rng, canvas, ground, options.backs)
    annotations = []
    for mask, joints in scene.paint(rng, canvas, people, options.obstacles):
        if rng.random() < options.unlabelled:
            joints[:] = 0
        annotations.append(scene.annotation(mask, joints))
    far = (canvas.owner // PERSON_STRIDE >= FAR).astype(np.uint8)
    if far.sum() >= 12:
        annotations.append(crowd_region(far))
    return scene.photograph(rng, canvas), annotations
