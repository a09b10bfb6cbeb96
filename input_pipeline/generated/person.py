"""Generated people: clothes, drawing of one person, and visibility of the keypoints.

Each shape has the number PERSON_STRIDE * person + part on the canvas; visibility is read from the
finished image.
"""

from __future__ import annotations

import colorsys
import dataclasses
from typing import Any

import numpy as np

from input_pipeline.generated import drawing
from input_pipeline.generated.pose import FACE, HEAD_SHAPE, SIDES, Figure
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


def random_color(rng: np.random.Generator, saturation: tuple, value: tuple) -> np.ndarray:
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
    """Draws a random look, with plain or patterned clothes."""
    skin = SKIN[rng.integers(len(SKIN))] * rng.uniform(0.92, 1.05)
    shirt = random_color(rng, (0.15, 0.9), (0.35, 1.0))
    trousers = random_color(rng, (0.1, 0.6), (0.15, 0.6))
    if rng.random() < 0.5:
        other = shirt * rng.uniform(0.45, 0.75)
    else:
        other = random_color(rng, (0, 0.7), (0.4, 1))
    kind = rng.choice(["plain", "plain", "plain", "rings", "stripes", "checks"])
    cloth = drawing.plain(shirt)
    if kind != "plain":
        cloth = drawing.pattern(str(kind), shirt, other, float(rng.uniform(0.22, 0.5)))
    return Look(
        skin=skin,
        hair=HAIR[rng.integers(len(HAIR))] * rng.uniform(0.8, 1.1),
        shirt=cloth,
        trousers=drawing.plain(trousers),
        shoes=random_color(rng, (0, 0.6), (0.1, 0.95)),
        collar=other,
        long_sleeves=bool(rng.random() < 0.45),
        shorts=bool(rng.random() < 0.3),
        long_hair=bool(rng.random() < 0.35),
        hairline=float(rng.uniform(0.42, 0.62)),
        zip=bool(rng.random() < 0.4),
    )


def _head_paint(look: Look) -> Any:
    eyes = [np.array(FACE[f"{side}_eye"]) for side in SIDES]
    nose = np.array(FACE["nose"])

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
        # Hair covers the top and the back; the hairline runs down from the forehead to the nape.
        color[y > look.hairline - 1.15 * np.clip(-z + 0.12, 0, 0.8)] = look.hair
        return color

    return paint


@dataclasses.dataclass(frozen=True)
class Person:
    """A person placed in an image.

    Attributes:
      figure: the posed body.
      look: skin, hair and clothes.
      origin: [2], midpoint of the hips, pixels.
      stature: height of the person, pixels.
    """

    figure: Figure
    look: Look
    origin: np.ndarray
    stature: float

    def pixels(self, point: np.ndarray) -> np.ndarray:
        """Returns the image position [2] of a point [3] given in units of the stature."""
        return self.origin + self.stature * np.array([point[0], -point[1]])

    def extent(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the two corners [2] of the smallest box around all joints."""
        points = np.array([self.pixels(point) for point in self.figure.points.values()])
        return points.min(axis=0), points.max(axis=0)


def draw_person(canvas: drawing.Canvas, person: Person, number: int) -> None:
    """Paints one person, farthest part first; `number` is the 1-based number of the person."""
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
    for side in SIDES:
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
    radii = HEAD_SHAPE * figure.body.head * size
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
    for side in SIDES:
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
    """Returns the 17 COCO keypoints [17, 3] of a painted person: (x, y, visibility).

    Visibility 0: outside the image, or a part of the face that is turned away; 1: in the image but
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
        if joint in FACE:
            facing = (figure.head @ np.array(FACE[joint]))[2]
            if facing < (-0.35 if "ear" in joint else 0.08):
                continue
        allowed = {number * PERSON_STRIDE + PART_NUMBER[part] for part in JOINT_PARTS[joint]}
        visible = int(canvas.owner[round(y), round(x)]) in allowed
        if visible and joint.endswith(("shoulder", "hip")):
            # In a side view the farther one is behind the torso.
            side = joint.split("_")[0]
            other = "right" if side == "left" else "left"
            visible = point[2] > figure.points[joint.replace(side, other)][2] - 0.09
        result[row] = np.round(x, 2), np.round(y, 2), 2 if visible else 1
    return result
