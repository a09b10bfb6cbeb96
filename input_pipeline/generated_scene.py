"""Generated people: clothes, one whole picture, and its annotation.

Every shape carries a number, 64 * person + part, on the canvas; which joints can be seen is read
from the finished picture.
"""

from __future__ import annotations

import colorsys
import dataclasses
from typing import Any

import cv2
import numpy as np

from input_pipeline import generated_drawing as drawing
from input_pipeline import generated_pose as posing
from jaxpose import skeletons

SKIN = np.array(
    [
        [255, 219, 190],
        [241, 194, 152],
        [224, 172, 120],
        [190, 132, 88],
        [141, 90, 56],
        [98, 62, 42],
    ],
    np.float32,
)
HAIR = np.array(
    [[28, 22, 20], [59, 40, 28], [96, 62, 36], [150, 104, 52], [206, 168, 96], [150, 148, 145]],
    np.float32,
)
PARTS = (
    "torso", "head", "neck", "left_upper_arm", "left_forearm", "right_upper_arm", "right_forearm",
    "left_thigh", "left_shin", "right_thigh", "right_shin",
)  # fmt: skip
PART_NUMBER = {part: number + 1 for number, part in enumerate(PARTS)}
PERSON_STRIDE = 64


def _color(rng: np.random.Generator, saturation: tuple, value: tuple) -> np.ndarray:
    hue = rng.random()
    rgb = colorsys.hsv_to_rgb(hue, rng.uniform(*saturation), rng.uniform(*value))
    return 255 * np.array(rgb, np.float32)


@dataclasses.dataclass(frozen=True)
class Look:
    """Skin, hair and clothes of one person; the same on both sides of the body."""

    skin: np.ndarray
    hair: np.ndarray
    shirt: drawing.Paint
    trousers: drawing.Paint
    shoes: np.ndarray
    collar: np.ndarray
    long_sleeves: bool
    shorts: bool
    long_hair: bool
    hairline: float
    zip: bool


def random_look(rng: np.random.Generator) -> Look:
    """Clothes with or without a pattern."""
    skin = SKIN[rng.integers(len(SKIN))] * rng.uniform(0.92, 1.05)
    shirt = _color(rng, (0.15, 0.9), (0.35, 1.0))
    trousers = _color(rng, (0.1, 0.6), (0.15, 0.6))
    other = (
        shirt * rng.uniform(0.45, 0.75) if rng.random() < 0.5 else _color(rng, (0, 0.7), (0.4, 1))
    )
    kind = rng.choice(["plain", "plain", "plain", "rings", "stripes", "checks"])
    cloth = drawing.plain(shirt)
    if kind != "plain":
        cloth = drawing.pattern(str(kind), shirt, other, float(rng.uniform(0.22, 0.5)))
    return Look(
        skin=skin,
        hair=HAIR[rng.integers(len(HAIR))] * rng.uniform(0.8, 1.1),
        shirt=cloth,
        trousers=drawing.plain(trousers),
        shoes=_color(rng, (0, 0.6), (0.1, 0.95)),
        collar=other,
        long_sleeves=bool(rng.random() < 0.45),
        shorts=bool(rng.random() < 0.3),
        long_hair=bool(rng.random() < 0.35),
        hairline=float(rng.uniform(0.42, 0.62)),
        zip=bool(rng.random() < 0.4),
    )


def _head_paint(look: Look) -> Any:
    eyes = [np.array(posing.FACE[f"{side}_eye"]) for side in posing.SIDES]
    nose = np.array(posing.FACE["nose"])

    def paint(normal: np.ndarray) -> np.ndarray:
        x, y, z = np.moveaxis(normal, -1, 0)
        color = np.empty(normal.shape, np.float32)
        color[:] = look.skin
        for eye in eyes:
            toward = normal @ (eye / np.linalg.norm(eye))
            color[toward > 0.977] = (235, 235, 235)
            color[toward > 0.988] = (25, 20, 20)
        brow = (np.abs(y - 0.36) < 0.045) & (np.abs(np.abs(x) - 0.34) < 0.17) & (z > 0)
        color[brow] = look.hair
        color[normal @ (nose / np.linalg.norm(nose)) > 0.982] = look.skin * 0.78
        color[(np.abs(y + 0.52) < 0.05) & (np.abs(x) < 0.26) & (z > 0)] = (168, 62, 62)
        # Hair covers the top and the back; the hairline falls from the forehead to the nape.
        color[y > look.hairline - 1.15 * np.clip(-z + 0.12, 0, 0.8)] = look.hair
        return color

    return paint


@dataclasses.dataclass(frozen=True)
class Person:
    """A person placed in a picture: `origin` is the middle of the hips, `stature` in pixels."""

    figure: posing.Figure
    look: Look
    origin: np.ndarray
    stature: float

    def pixels(self, point: np.ndarray) -> np.ndarray:
        """Picture position [2] of a point [3] in units of the stature."""
        return self.origin + self.stature * np.array([point[0], -point[1]])

    def extent(self) -> tuple[np.ndarray, np.ndarray]:
        """Corners [2] of the smallest box around all joints."""
        points = np.array([self.pixels(point) for point in self.figure.points.values()])
        return points.min(axis=0), points.max(axis=0)


def draw_person(canvas: drawing.Canvas, person: Person, number: int) -> None:
    """Paints one person, farthest part first; `number` counts the people of a picture from 1."""
    figure, look, girth = person.figure, person.look, person.figure.body.girth
    points = figure.points
    size = person.stature
    parts: list[tuple[float, Any]] = []

    def owner(part: str) -> int:
        return number * PERSON_STRIDE + PART_NUMBER[part]

    def add_limb(
        part: str, start: np.ndarray, end: np.ndarray, radii: tuple, paint: Any, bias: float
    ) -> None:
        p, q = person.pixels(start), person.pixels(end)
        first, second = (max(size * girth * radius, 0.7) for radius in radii)
        depth = (start[2] + end[2]) / 2 + bias
        number_of_part = owner(part)
        parts.append(
            (depth, lambda: drawing.limb(canvas, p, q, first, second, paint, number_of_part))
        )

    skin = drawing.plain(look.skin)
    lower = skin if look.shorts else look.trousers
    sleeve = look.shirt if look.long_sleeves else skin
    for side in posing.SIDES:
        hip, knee, ankle = (points[f"{side}_{joint}"] for joint in ("hip", "knee", "ankle"))
        add_limb(f"{side}_thigh", hip, knee, (0.055, 0.040), look.trousers, -0.09)
        add_limb(f"{side}_shin", knee, ankle, (0.038, 0.024), lower, -0.091)
        heel, toe = points[f"{side}_heel"], points[f"{side}_toe"]
        add_limb(f"{side}_shin", heel, toe, (0.024, 0.020), drawing.plain(look.shoes), -0.09)
        shoulder, elbow = points[f"{side}_shoulder"], points[f"{side}_elbow"]
        wrist, hand = points[f"{side}_wrist"], points[f"{side}_hand"]
        add_limb(f"{side}_upper_arm", shoulder, elbow, (0.038, 0.028), look.shirt, 0.03)
        add_limb(f"{side}_forearm", elbow, wrist, (0.027, 0.020), sleeve, 0.035)
        add_limb(f"{side}_forearm", wrist, hand, (0.020, 0.021), skin, 0.036)
        ear = points[f"{side}_ear"]
        step = figure.head @ np.array([0, 0.008, 0])
        add_limb("head", ear - step, ear + step, (0.012, 0.012), drawing.plain(look.skin * 0.9), 0)

    names = ("left_shoulder", "right_shoulder", "right_hip", "left_hip")
    corners = np.array([person.pixels(points[name]) for name in names])
    radius = 0.036 * girth * size

    def shirt(along: np.ndarray, across: np.ndarray) -> np.ndarray:
        cloth = np.broadcast_to(look.shirt(along, across), (*along.shape, 3))
        return np.where((along > 0.93)[..., None], look.trousers(along, across), cloth)

    def torso() -> None:
        drawing.trunk(canvas, corners, radius, shirt, owner("torso"))
        ahead = figure.torso[2, 2]
        if ahead < 0.25:
            return  # the front of the shirt cannot be seen
        body = figure.body
        front = 0.05 * girth

        def on_chest(x: float, y: float) -> np.ndarray:
            return person.pixels(figure.torso @ np.array([x, y * body.torso, front]))

        if look.zip:
            line = [on_chest(-0.006, 1.0), on_chest(0.006, 1.0)]
            line += [on_chest(0.006, 0.1), on_chest(-0.006, 0.1)]
            drawing.polygon(canvas, np.array(line), look.collar, owner("torso"))
        neckline = [on_chest(-0.05, 1.08), on_chest(0.05, 1.08), on_chest(0, 0.78)]
        drawing.polygon(canvas, np.array(neckline), look.skin, owner("torso"))

    chest = (points["left_shoulder"] + points["right_shoulder"]) / 4
    parts.append((float(chest[2]), torso))
    add_limb("neck", points["neck"], figure.head_center, (0.030, 0.028), skin, 0.0)
    radii = posing.HEAD_SHAPE * figure.body.head * size
    head_at = person.pixels(figure.head_center)

    def head() -> None:
        drawing.ball(canvas, head_at, radii, figure.head, _head_paint(look), owner("head"))

    parts.append((float(figure.head_center[2]) + 0.01, head))
    if look.long_hair:
        scale = figure.body.head
        top = figure.head_center + figure.head @ np.array([0, 0.1 * scale, -0.5 * scale])
        tip = figure.head_center + figure.head @ np.array([0, -1.7 * scale, -0.8 * scale])
        wide = 0.72 * scale / girth
        add_limb("head", top, tip, (wide, 0.75 * wide), drawing.plain(look.hair), -0.005)
    for _, paint in sorted(parts, key=lambda part: part[0]):
        paint()


def _joint_parts() -> dict[str, tuple[str, ...]]:
    parts: dict[str, tuple[str, ...]] = {joint: ("head",) for joint in skeletons.COCO.joints[:5]}
    for side in posing.SIDES:
        parts |= {
            f"{side}_shoulder": ("torso", f"{side}_upper_arm"),
            f"{side}_elbow": (f"{side}_upper_arm", f"{side}_forearm"),
            f"{side}_wrist": (f"{side}_forearm",),
            f"{side}_hip": ("torso", f"{side}_thigh"),
            f"{side}_knee": (f"{side}_thigh", f"{side}_shin"),
            f"{side}_ankle": (f"{side}_shin",),
        }
    return parts


JOINT_PARTS = _joint_parts()


def keypoints(canvas: drawing.Canvas, person: Person, number: int) -> np.ndarray:
    """COCO's seventeen joints [17, 3] of a painted person: (x, y, flag).

    Flag 0: outside the picture, or a part of the face that is turned away; 1: in the picture but
    hidden; 2: visible.
    """
    height, width = canvas.owner.shape
    figure = person.figure
    result = np.zeros((skeletons.COCO.num_joints, 3))
    for row, joint in enumerate(skeletons.COCO.joints):
        point = figure.points[joint]
        x, y = person.pixels(point)
        if not (0 <= x <= width - 1 and 0 <= y <= height - 1):
            continue
        if joint in posing.FACE:
            facing = (figure.head @ np.array(posing.FACE[joint]))[2]
            if facing < (-0.35 if "ear" in joint else 0.08):
                continue
        allowed = {number * PERSON_STRIDE + PART_NUMBER[part] for part in JOINT_PARTS[joint]}
        seen = int(canvas.owner[round(y), round(x)]) in allowed
        if seen and joint.endswith(("shoulder", "hip")):
            # In a side view the farther one lies behind the torso.
            side = joint.split("_")[0]
            other = "right" if side == "left" else "left"
            seen = point[2] > figure.points[joint.replace(side, other)][2] - 0.09
        result[row] = np.round(x, 2), np.round(y, 2), 2 if seen else 1
    return result


# ---- the picture ----


def background(rng: np.random.Generator, height: int, width: int, clutter: float) -> np.ndarray:
    """A wall or sky over a floor, with soft texture and things in it: float32 RGB [H, W, 3]."""
    horizon = int(height * rng.uniform(0.35, 0.6))
    image = np.empty((height, width, 3), np.float32)
    far, near = _color(rng, (0, 0.35), (0.45, 1)), _color(rng, (0, 0.4), (0.3, 0.8))
    slope = np.linspace(0.85, 1.1, height, dtype=np.float32)[:, None, None]
    image[:horizon] = far
    image[horizon:] = near
    image *= slope
    for _ in range(int(rng.integers(4, 13) * clutter)):
        color = _color(rng, (0, 0.55), (0.2, 0.95)).tolist()
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


def _overlap(a: tuple, b: tuple) -> float:
    """Intersection over the smaller of two boxes given by their corners."""
    low, high = np.maximum(a[0], b[0]), np.minimum(a[1], b[1])
    common = np.prod(np.maximum(high - low, 0))
    return float(common / max(min(np.prod(a[1] - a[0]), np.prod(b[1] - b[0])), 1e-6))


def place_people(rng: np.random.Generator, height: int, width: int, options: Any) -> list[Person]:
    """People of one picture, farthest first, on common ground seen in perspective."""
    weights = np.array(options.people, np.float64)
    count = 1 + int(rng.choice(len(weights), p=weights / weights.sum()))
    pitch = float(rng.uniform(-3, 12))
    horizon = height * rng.uniform(0.15, 0.4)
    camera = rng.uniform(0.75, 1.3)  # its height, in statures
    people: list[Person] = []
    for _ in range(count):
        pose = posing.random_pose(rng, hard=options.hard_poses, away=options.backs)
        figure = posing.build(posing.random_body(rng), pose, pitch)
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
            if all(_overlap(box, other.extent()) <= options.overlap for other in people):
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
    """A box or a post in front of a person."""
    low, high = person.extent()
    color = _color(rng, (0.05, 0.5), (0.25, 0.8))
    if rng.random() < 0.5:
        size = np.array([rng.uniform(0.25, 0.5), rng.uniform(0.1, 0.3)]) * person.stature
        middle = np.array([rng.uniform(low[0], high[0]), high[1] - 0.35 * size[1]])
    else:
        size = np.array([rng.uniform(0.02, 0.06) * person.stature, canvas.owner.shape[0]])
        middle = np.array([rng.uniform(low[0], high[0]), high[1] - size[1] / 2])
    corners = middle + np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * size / 2
    drawing.polygon(canvas, corners, color, PERSON_STRIDE - 1)


def picture(rng: np.random.Generator, options: Any) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """One picture and its people.

    Args:
      rng: source of randomness.
      options: `generated.Parameters`.

    Returns:
      uint8 RGB [H, W, 3], and annotations without ids: bbox, area, keypoints, num_keypoints,
      segmentation, iscrowd.
    """
    long_side = int(rng.integers(options.min_side, options.max_side + 1))
    short_side = int(long_side * rng.uniform(0.7, 1.0))
    height, width = (long_side, short_side) if rng.random() < 0.5 else (short_side, long_side)
    light = np.array([rng.normal(0, 0.5), -rng.uniform(0.3, 0.9), rng.uniform(0.7, 1.2)])
    canvas = drawing.Canvas(
        background(rng, height, width, options.clutter),
        np.zeros((height, width), np.int32),
        light / np.linalg.norm(light),
        ambient=float(rng.uniform(0.4, 0.65)),
    )
    people = place_people(rng, height, width, options)
    alone = []
    for number, person in enumerate(people, 1):
        _shadow(canvas, person)
        draw_person(canvas, person, number)
        alone.append(int((canvas.owner // PERSON_STRIDE == number).sum()))
        if rng.random() < options.obstacles:
            _obstacle(canvas, rng, person)
    annotations = []
    for number, (person, whole) in enumerate(zip(people, alone, strict=True), 1):
        mask = (canvas.owner // PERSON_STRIDE == number).astype(np.uint8)
        visible = int(mask.sum())
        if visible < 12:
            continue
        joints = keypoints(canvas, person, number)
        if visible < 0.25 * whole or (joints[:, 2] > 0).sum() < 3:
            joints[:] = 0  # too little is left to say where the joints are
        annotations.append(_annotation(mask, joints))
    image = canvas.image * rng.uniform(0.85, 1.1) * rng.uniform(0.94, 1.06, 3)
    image += rng.normal(0, rng.uniform(1, 4), image.shape).astype(np.float32)
    return np.clip(image, 0, 255).astype(np.uint8), annotations


def _annotation(mask: np.ndarray, joints: np.ndarray) -> dict[str, Any]:
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
