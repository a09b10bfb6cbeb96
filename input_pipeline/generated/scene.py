"""Generated people: background, positions, and one whole image with its annotations."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from input_pipeline.generated import drawing
from input_pipeline.generated.person import (
    PERSON_STRIDE,
    Person,
    draw_person,
    keypoints,
    random_color,
    random_look,
)
from input_pipeline.generated.pose import build_figure, random_body, random_pose


def background(rng: np.random.Generator, height: int, width: int, clutter: float) -> np.ndarray:
    """Draws a wall or sky over a floor, with soft texture and objects: float32 RGB [H, W, 3]."""
    horizon = int(height * rng.uniform(0.35, 0.6))
    image = np.empty((height, width, 3), np.float32)
    far, near = random_color(rng, (0, 0.35), (0.45, 1)), random_color(rng, (0, 0.4), (0.3, 0.8))
    slope = np.linspace(0.85, 1.1, height, dtype=np.float32)[:, None, None]
    image[:horizon] = far
    image[horizon:] = near
    image *= slope
    for _ in range(int(rng.integers(4, 13) * clutter)):
        color = random_color(rng, (0, 0.55), (0.2, 0.95)).tolist()
        x, y = int(rng.uniform(-0.1, 1) * width), int(rng.uniform(-0.1, 1) * height)
        w, h = (int(side * rng.uniform(0.04, 0.4)) for side in (width, height))
        kind = rng.integers(4)
        if kind == 0:
            cv2.rectangle(image, (x, y), (x + w, y + h), color, -1)
        elif kind == 1:
            cv2.ellipse(
                image, (x, y), (w // 2 + 1, h // 2 + 1), rng.uniform(0, 180), 0, 360, color, -1
            )
        elif kind == 2:
            end = (x + int(rng.normal(0, width / 3)), y + int(rng.normal(0, height / 3)))
            cv2.line(image, (x, y), end, color, int(rng.uniform(1, 9)))
        else:
            corners = rng.uniform(-0.2, 0.2, (3, 2)) * (width, height) + (x, y)
            cv2.fillPoly(image, [corners.astype(np.int32)], color)
    for cells, strength in ((5, 16), (24, 9), (90, 7)):
        noise = rng.normal(0, strength, (cells, cells, 1)).astype(np.float32)
        image += cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR)[..., None]
    return cv2.GaussianBlur(image, (0, 0), rng.uniform(0.8, 2.2))


def overlap(a: tuple, b: tuple) -> float:
    """Returns the intersection of two boxes over the smaller one; boxes are pairs of corners."""
    low, high = np.maximum(a[0], b[0]), np.minimum(a[1], b[1])
    common = np.prod(np.maximum(high - low, 0))
    return float(common / max(min(np.prod(a[1] - a[0]), np.prod(b[1] - b[0])), 1e-6))


def place_people(rng: np.random.Generator, height: int, width: int, options: Any) -> list[Person]:
    """Places the people of one image on common ground in perspective, farthest first."""
    weights = np.array(options.people, np.float64)
    count = 1 + int(rng.choice(len(weights), p=weights / weights.sum()))
    pitch = float(rng.uniform(-3, 12))
    horizon = height * rng.uniform(0.15, 0.4)
    camera = rng.uniform(0.75, 1.3)  # its height, in statures
    people: list[Person] = []
    for _ in range(count):
        pose = random_pose(rng, hard=options.hard_poses, away=options.backs)
        figure = build_figure(random_body(rng), pose, pitch)
        look = random_look(rng)
        for _ in range(12):
            if rng.random() < options.tiny:
                stature = rng.uniform(20, 60)
            else:
                stature = height * float(rng.triangular(0.25, 0.7, 1.05))
            foot = min(point[1] for point in figure.points.values()) - 0.02
            if count == 1:
                top = height * rng.uniform(0.02, 0.15)
                y = max(top + 0.5 * stature, height * rng.uniform(0.3, 0.6))
            else:
                y = horizon + stature * (camera + foot)
            if rng.random() >= options.truncation:
                y = min(y, height - 3 + stature * foot)
            x = rng.uniform(0.12, 0.88) * width
            person = Person(figure, look, np.array([x, y]), stature)
            box = person.extent()
            if all(overlap(box, other.extent()) <= options.overlap for other in people):
                people.append(person)
                break
    return sorted(people, key=lambda person: person.stature)


def _shadow(canvas: drawing.Canvas, person: Person) -> None:
    low, high = person.extent()
    center = ((low[0] + high[0]) / 2, high[1])
    axes = (max(int(0.2 * person.stature), 1), max(int(0.035 * person.stature), 1))
    mask = np.zeros(canvas.owner.shape, np.uint8)
    cv2.ellipse(mask, (int(center[0]), int(center[1])), axes, 0, 0, 360, 255, -1, cv2.LINE_AA)
    canvas.image *= 1 - 0.35 * (mask.astype(np.float32) / 255)[..., None]


def _obstacle(canvas: drawing.Canvas, rng: np.random.Generator, person: Person) -> None:
    """Draws a box or a post in front of a person."""
    low, high = person.extent()
    color = random_color(rng, (0.05, 0.5), (0.25, 0.8))
    if rng.random() < 0.5:
        size = np.array([rng.uniform(0.25, 0.5), rng.uniform(0.1, 0.3)]) * person.stature
        middle = np.array([rng.uniform(low[0], high[0]), high[1] - 0.35 * size[1]])
    else:
        size = np.array([rng.uniform(0.02, 0.06) * person.stature, canvas.owner.shape[0]])
        middle = np.array([rng.uniform(low[0], high[0]), high[1] - size[1] / 2])
    corners = middle + np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * size / 2
    drawing.polygon(canvas, corners, color, PERSON_STRIDE - 1)


def empty_canvas(rng: np.random.Generator, options: Any) -> drawing.Canvas:
    """Returns a canvas with a background and no people, in portrait or landscape format."""
    long_side = int(rng.integers(options.min_side, options.max_side + 1))
    short_side = int(long_side * rng.uniform(0.7, 1.0))
    height, width = (long_side, short_side) if rng.random() < 0.5 else (short_side, long_side)
    light = np.array([rng.normal(0, 0.5), -rng.uniform(0.3, 0.9), rng.uniform(0.7, 1.2)])
    return drawing.Canvas(
        background(rng, height, width, options.clutter),
        np.zeros((height, width), np.int32),
        light / np.linalg.norm(light),
        ambient=float(rng.uniform(0.4, 0.65)),
    )


def paint(
    rng: np.random.Generator, canvas: drawing.Canvas, people: list[Person], obstacles: float
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Draws people, farthest first, a fraction of them with an obstacle in front.

    Returns:
      (mask uint8 [H, W], keypoints [17, 3]) of each visible person; the keypoints are all zeros if
      too little of the person is visible.
    """
    alone = []
    for number, person in enumerate(people, 1):
        _shadow(canvas, person)
        draw_person(canvas, person, number)
        alone.append(int((canvas.owner // PERSON_STRIDE == number).sum()))
        if rng.random() < obstacles:
            _obstacle(canvas, rng, person)
    visible_people = []
    for number, (person, whole) in enumerate(zip(people, alone, strict=True), 1):
        mask = (canvas.owner // PERSON_STRIDE == number).astype(np.uint8)
        visible = int(mask.sum())
        if visible < 12:
            continue
        joints = keypoints(canvas, person, number)
        if visible < 0.25 * whole or (joints[:, 2] > 0).sum() < 3:
            joints[:] = 0  # too little is visible to locate the joints
        visible_people.append((mask, joints))
    return visible_people


def photograph(rng: np.random.Generator, canvas: drawing.Canvas) -> np.ndarray:
    """Returns the finished image, uint8 RGB [H, W, 3], with a camera's color shift and noise."""
    image = canvas.image * rng.uniform(0.85, 1.1) * rng.uniform(0.94, 1.06, 3)
    image += rng.normal(0, rng.uniform(1, 4), image.shape).astype(np.float32)
    return np.clip(image, 0, 255).astype(np.uint8)


def draw(rng: np.random.Generator, options: Any) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Draws one image and its annotations.

    Args:
      rng: random generator.
      options: `generated.Parameters`.

    Returns:
      (image, annotations): uint8 RGB [H, W, 3], and records without ids: bbox, area, keypoints,
      num_keypoints, segmentation, iscrowd.
    """
    canvas = empty_canvas(rng, options)
    height, width = canvas.owner.shape
    people = place_people(rng, height, width, options)
    annotations = [
        annotation(mask, joints) for mask, joints in paint(rng, canvas, people, options.obstacles)
    ]
    return photograph(rng, canvas), annotations


def annotation(mask: np.ndarray, joints: np.ndarray) -> dict[str, Any]:
    """Returns the record of one person, without ids, from the visible pixels and the keypoints."""
    x, y, w, h = cv2.boundingRect(mask)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    outlines = [cv2.approxPolyDP(contour, 1.0, True).reshape(-1) for contour in contours]
    return {
        "bbox": [float(value) for value in (x, y, w, h)],
        "area": float(mask.sum()),
        "iscrowd": 0,
        "num_keypoints": int((joints[:, 2] > 0).sum()),
        "keypoints": [float(v) if k % 3 < 2 else int(v) for k, v in enumerate(joints.ravel())],
        "segmentation": [outline.tolist() for outline in outlines if len(outline) >= 6],
    }
