"""Generated people: bodies and poses in three dimensions.

Lengths are in units of the stature. A person's axes are x to the person's left, y up and z to the
front; the camera's axes are x to the right of the image, y up and z towards the camera. The two
agree for a person who faces the camera and whose left is then on the right of the image.
"""

from __future__ import annotations

import dataclasses

import numpy as np

LEFT, RIGHT = 1.0, -1.0
SIDES = {"left": LEFT, "right": RIGHT}


@dataclasses.dataclass(frozen=True)
class Body:
    """Proportions, in units of the stature."""

    torso: float  # hip line to shoulder line
    shoulder: float  # half width between the shoulder joints
    hip: float  # half width between the hip joints
    upper_arm: float
    forearm: float
    thigh: float
    shin: float
    head: float  # half height of the head
    girth: float  # factor on the thickness of all parts


def random_body(rng: np.random.Generator) -> Body:
    """Draws the proportions of an adult or, with probability 1/6, a child."""
    child = rng.random() < 1 / 6
    vary = rng.normal(1, 0.04, 8)
    body = Body(
        torso=0.285 * vary[0],
        shoulder=0.112 * vary[1],
        hip=0.066 * vary[2],
        upper_arm=0.168 * vary[3],
        forearm=0.145 * vary[4],
        thigh=0.238 * vary[5],
        shin=0.235 * vary[6],
        head=0.072 * vary[7],
        girth=float(np.clip(rng.normal(1.05, 0.12), 0.8, 1.4)),
    )
    if child:
        body = dataclasses.replace(body, head=body.head * 1.35, thigh=body.thigh * 0.9)
    return body


@dataclasses.dataclass(frozen=True)
class Limb:
    """Angles of one arm or leg, degrees.

    Attributes:
      flex: angle by which the limb is lifted forward.
      spread: angle by which it is lifted away from the body.
      bend: angle of elbow or knee.
      toward: direction in which the forearm bends, in the torso's axes (x away from the middle of
        the body).
    """

    flex: float
    spread: float
    bend: float
    toward: tuple[float, float, float] = (0.0, 0.0, 1.0)


@dataclasses.dataclass(frozen=True)
class Pose:
    """Angles of a body, degrees: with `yaw` 0 it faces the camera, with 180 it shows the back.

    `lean` bends the torso forward, `roll` to the left; `arms` and `legs` have a limb per side.
    """

    yaw: float
    lean: float
    roll: float
    arms: dict[str, Limb]
    legs: dict[str, Limb]
    head_yaw: float
    head_pitch: float
    seated: bool = False


def _hanging(rng: np.random.Generator) -> Limb:
    return Limb(rng.normal(0, 9), abs(rng.normal(11, 5)), abs(rng.normal(18, 14)))


def _raised(rng: np.random.Generator) -> Limb:
    kind = rng.integers(4)
    if kind == 0:  # up
        return Limb(rng.uniform(-10, 15), rng.uniform(125, 168), rng.uniform(0, 50), (-0.3, 1, 0))
    if kind == 1:  # out to the side, the hand up or level
        return Limb(rng.uniform(-5, 20), rng.uniform(65, 100), rng.uniform(0, 95), (0, 1, 0.2))
    if kind == 2:  # hand on the hip
        return Limb(rng.uniform(-15, 5), rng.uniform(38, 52), rng.uniform(85, 110), (-1, -0.15, 0))
    return Limb(rng.uniform(35, 95), rng.uniform(5, 35), rng.uniform(10, 80), (-0.4, 0.6, 0.5))


def _standing(rng: np.random.Generator) -> Limb:
    return Limb(rng.normal(2, 5), abs(rng.normal(4, 4)), abs(rng.normal(4, 5)))


def random_pose(rng: np.random.Generator, *, hard: float, away: float) -> Pose:
    """Draws an everyday pose.

    Args:
      rng: random generator.
      hard: fraction of sitting, bending and running people; the others stand, walk or gesture.
      away: fraction of people who show their back.
    """
    yaw = rng.normal(0, 32)
    if rng.random() < away:
        yaw += 180
    elif rng.random() < 0.15:
        yaw = rng.choice([-1, 1]) * rng.uniform(50, 95)
    arms = {side: _hanging(rng) for side in SIDES}
    legs = {side: _standing(rng) for side in SIDES}
    lean, roll, seated = rng.normal(2, 4), rng.normal(0, 3), False
    front, back = rng.permutation(list(SIDES))
    if rng.random() < hard:
        kind = rng.choice(["sit", "bend", "run"])
        if kind == "sit":
            seated = True
            lean = rng.normal(4, 7)
            legs = {
                side: Limb(rng.uniform(72, 92), rng.uniform(4, 16), rng.uniform(70, 98))
                for side in SIDES
            }
            arms = {
                side: Limb(rng.uniform(10, 35), rng.uniform(5, 16), rng.uniform(30, 65))
                for side in SIDES
            }
        elif kind == "bend":
            lean = rng.uniform(30, 65)
            arms = {
                side: Limb(lean + rng.normal(5, 12), rng.uniform(0, 20), rng.uniform(0, 30))
                for side in SIDES
            }
            legs = {
                side: Limb(rng.uniform(0, 25), rng.uniform(2, 10), rng.uniform(5, 30))
                for side in SIDES
            }
        else:
            lean = rng.uniform(6, 16)
            legs = {
                front: Limb(rng.uniform(38, 65), 3, rng.uniform(40, 85)),
                back: Limb(rng.uniform(-25, -5), 3, rng.uniform(15, 75)),
            }
            arms = {
                front: Limb(rng.uniform(-45, -20), 12, rng.uniform(60, 95)),
                back: Limb(rng.uniform(20, 50), 12, rng.uniform(60, 95)),
            }
    else:
        if rng.random() < 0.35:  # walking
            stride = rng.uniform(12, 30)
            legs = {
                front: Limb(stride, 3, abs(rng.normal(5, 5))),
                back: Limb(-0.7 * stride, 3, rng.uniform(10, 35)),
            }
            arms = {
                front: Limb(-0.8 * stride, 9, rng.uniform(10, 30)),
                back: Limb(stride, 9, rng.uniform(15, 40)),
            }
        for side in SIDES:
            if rng.random() < 0.3:
                arms[side] = _raised(rng)
    return Pose(
        yaw=float(yaw),
        lean=float(lean),
        roll=float(roll),
        arms=arms,
        legs=legs,
        head_yaw=float(np.clip(rng.normal(0, 16), -40, 40)),
        head_pitch=float(rng.normal(4, 7)) - 0.4 * max(lean - 15, 0.0),
        seated=seated,
    )


def rotation(axis: str, degrees: float) -> np.ndarray:
    """Returns the right-handed rotation [3, 3] about x, y or z."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    if axis == "x":
        return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    if axis == "y":
        return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


@dataclasses.dataclass(frozen=True)
class Figure:
    """A posed body in the camera's axes; the origin is the midpoint of the hips.

    Attributes:
      body: proportions.
      points: name -> [3]: the joints by their COCO names, and `left_hand`, `left_toe` and so on.
      torso, head: rotations [3, 3] from the axes of the part.
      head_center: [3].
    """

    body: Body
    points: dict[str, np.ndarray]
    torso: np.ndarray
    head: np.ndarray
    head_center: np.ndarray


# Directions of the face's keypoints from the center of the head, in the head's axes.
FACE = {
    "nose": (0.0, -0.12, 1.02),
    "left_eye": (0.34, 0.14, 0.90),
    "right_eye": (-0.34, 0.14, 0.90),
    "left_ear": (0.98, 0.0, -0.05),
    "right_ear": (-0.98, 0.0, -0.05),
}
HEAD_SHAPE = np.array([0.80, 1.0, 0.92])  # half width, height and depth over `Body.head`


def build_figure(body: Body, pose: Pose, camera_pitch: float) -> Figure:
    """Computes the positions of all joints by forward kinematics.

    Args:
      body: proportions.
      pose: angles.
      camera_pitch: downward angle of the camera, degrees.
    """
    pelvis = rotation("x", camera_pitch) @ rotation("y", pose.yaw)
    torso = pelvis @ rotation("z", -pose.roll) @ rotation("x", pose.lean)
    points: dict[str, np.ndarray] = {}
    up = np.array([0.0, 1.0, 0.0])
    for side, sign in SIDES.items():
        leg = pose.legs[side]
        hip = pelvis @ np.array([sign * body.hip, 0, 0])
        turn = pelvis @ rotation("z", sign * leg.spread)
        knee = hip + body.thigh * (turn @ rotation("x", -leg.flex) @ -up)
        shin = turn @ rotation("x", leg.bend - leg.flex)
        ankle = knee + body.shin * (shin @ -up)
        toe_turn = pelvis @ rotation("y", sign * 14) @ rotation("x", 0.5 * (leg.bend - leg.flex))
        points[f"{side}_hip"], points[f"{side}_knee"] = hip, knee
        points[f"{side}_ankle"] = ankle
        points[f"{side}_heel"] = ankle + shin @ np.array([0, -0.022, -0.012])
        points[f"{side}_toe"] = ankle + toe_turn @ np.array([0, -0.034, 0.085])

        arm = pose.arms[side]
        shoulder = torso @ np.array([sign * body.shoulder, body.torso, 0])
        direction = rotation("z", sign * arm.spread) @ rotation("x", -arm.flex) @ -up
        elbow = shoulder + body.upper_arm * (torso @ direction)
        toward = np.array([sign * arm.toward[0], arm.toward[1], arm.toward[2]])
        across = toward - (toward @ direction) * direction
        across /= max(float(np.linalg.norm(across)), 1e-6)
        bend = np.deg2rad(arm.bend)
        forearm = torso @ (np.cos(bend) * direction + np.sin(bend) * across)
        wrist = elbow + body.forearm * forearm
        points[f"{side}_shoulder"], points[f"{side}_elbow"] = shoulder, elbow
        points[f"{side}_wrist"], points[f"{side}_hand"] = wrist, wrist + 0.045 * forearm

    points["neck"] = torso @ np.array([0, body.torso + 0.015, 0])
    head = torso @ rotation("y", pose.head_yaw) @ rotation("x", pose.head_pitch)
    center = points["neck"] + head @ np.array([0, 0.035 + body.head, 0.015])
    for name, direction in FACE.items():
        points[name] = center + head @ (np.array(direction) * HEAD_SHAPE * body.head)
    return Figure(body, points, torso, head, center)
