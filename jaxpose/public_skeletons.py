"""Skeletons of the datasets that public checkpoints were trained on.

Names, order, limbs and sigmas are facts of the datasets as mmpose's dataset files state them
(open-mmlab/mmpose, configs/_base_/datasets). The points of a face have no names there; here they
are named by side and part, so that the left-right pairs follow from the names; those of LaPa and
WFLW are numbered. Sigmas are the published ones of COCO, COCO-WholeBody, Halpe, AIC, AP-10K,
AnimalPose, ATRW, JHMDB and PoseTrack18; hands have COCO-WholeBody's, and all others
`skeletons.default_sigma`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from jaxpose.skeletons import COCO, CROWDPOSE, MPII, Skeleton, default_sigma

_HAND_SIGMAS = (
    0.029, 0.022, 0.035, 0.037, 0.047, 0.026, 0.025, 0.024, 0.035, 0.018, 0.024, 0.022, 0.026,
    0.017, 0.021, 0.021, 0.032, 0.020, 0.019, 0.022, 0.031,
)  # fmt: skip
_FOOT_SIGMAS = (0.068, 0.066, 0.066, 0.092, 0.094, 0.094)
_FACE_SIGMAS = (
    0.042, 0.043, 0.044, 0.043, 0.040, 0.035, 0.031, 0.025, 0.020, 0.023, 0.029, 0.032, 0.037,
    0.038, 0.043, 0.041, 0.045, 0.013, 0.012, 0.011, 0.011, 0.012, 0.012, 0.011, 0.011, 0.013,
    0.015, 0.009, 0.007, 0.007, 0.007, 0.012, 0.009, 0.008, 0.016, 0.010, 0.017, 0.011, 0.009,
    0.011, 0.009, 0.007, 0.013, 0.008, 0.011, 0.012, 0.010, 0.034, 0.008, 0.008, 0.009, 0.008,
    0.008, 0.007, 0.010, 0.008, 0.009, 0.009, 0.009, 0.007, 0.007, 0.008, 0.011, 0.008, 0.008,
    0.008, 0.010, 0.008,
)  # fmt: skip
_FINGERS = ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")


def _hand(root: str, prefix: str = "") -> tuple[list[str], list[str]]:
    """Names and limbs of a hand: its root, then four points of each finger from root to tip."""
    names, limbs = [root], []
    for finger in _FINGERS:
        points = [f"{prefix}{finger}{number}" for number in range(1, 5)]
        limbs += [f"{a}-{b}" for a, b in zip([root, *points], points, strict=False)]
        names += points
    return names, limbs


def _face() -> list[str]:
    """The 68 points of 300-W; the person's right side is on the left of the image."""

    def numbered(part: str, numbers: range | tuple[int, ...]) -> list[str]:
        return [f"{part}_{number}" for number in numbers]

    def both(part: str, count: int) -> list[str]:
        """Right points from the outside to the middle, left points back from the middle."""
        return numbered(f"right_{part}", range(1, count + 1)) + numbered(
            f"left_{part}", range(count, 0, -1)
        )

    jaw, nostrils = both("jaw", 8), both("nostril", 2)
    lips = [both(part, 3) for part in ("upper_lip", "inner_upper_lip")]
    outer, inner = both("lower_lip", 2), both("inner_lower_lip", 1)
    return [
        *jaw[:8], "chin", *jaw[8:],
        *both("brow", 5),
        *numbered("nose_bridge", range(1, 5)),
        *nostrils[:2], "nose_base", *nostrils[2:],
        *numbered("right_eye", range(1, 7)), *numbered("left_eye", (4, 3, 2, 1, 6, 5)),
        *lips[0][:3], "upper_lip", *lips[0][3:], *outer[2:], "lower_lip", *outer[:2],
        *lips[1][:2], "inner_upper_lip", *lips[1][4:],
        inner[1], "inner_lower_lip", inner[0],
    ]  # fmt: skip


def _make(
    name: str, joints: str | list[str], limbs: str | list[str], sigmas: tuple[float, ...] = ()
) -> Skeleton:
    names = joints.split() if isinstance(joints, str) else joints
    pairs = [limb.split("-") for limb in (limbs.split() if isinstance(limbs, str) else limbs)]
    skeleton = Skeleton(
        name=name,
        joints=tuple(names),
        limbs=tuple((names.index(a), names.index(b)) for a, b in pairs),
        sigmas=sigmas or tuple(default_sigma(joint) for joint in names),
    )
    # One hand, or an animal seen from the side: no keypoints swap in a mirrored image.
    return skeleton if skeleton.flip_pairs else dataclasses.replace(skeleton, declared_pairs=())


def _named_limbs(skeleton: Skeleton) -> list[str]:
    return [f"{skeleton.joints[a]}-{skeleton.joints[b]}" for a, b in skeleton.limbs]


_FEET = [f"{s}_{part}" for s in ("left", "right") for part in ("big_toe", "small_toe", "heel")]
_FEET_LIMBS = [f"{joint.split('_')[0]}_ankle-{joint}" for joint in _FEET]
_LEFT_HAND, _LEFT_LIMBS = _hand("left_hand_root", "left_")
_RIGHT_HAND, _RIGHT_LIMBS = _hand("right_hand_root", "right_")
_HANDS, _HANDS_LIMBS = _LEFT_HAND + _RIGHT_HAND, _LEFT_LIMBS + _RIGHT_LIMBS

WHOLEBODY = _make(
    "coco-wholebody",
    [*COCO.joints, *_FEET, *_face(), *_HANDS],
    [*_named_limbs(COCO), *_FEET_LIMBS, *_HANDS_LIMBS],
    (*COCO.sigmas, *_FOOT_SIGMAS, *_FACE_SIGMAS, *_HAND_SIGMAS, *_HAND_SIGMAS),
)
_HALPE_FEET = [
    f"{s}_{part}" for part in ("big_toe", "small_toe", "heel") for s in ("left", "right")
]
HALPE = _make(
    "halpe",
    [*COCO.joints, "head", "neck", "pelvis", *_HALPE_FEET, *_face(), *_HANDS],
    [*_named_limbs(COCO), "head-neck", "neck-pelvis", *_FEET_LIMBS, *_HANDS_LIMBS],
    (
        *COCO.sigmas,
        *(0.08, 0.08, 0.08),
        *(0.089,) * len(_HALPE_FEET),
        *(0.015,) * (len(_face()) + len(_HANDS)),
    ),
)
# Halpe's body and feet, with other limbs and sigmas than in the whole set.
HALPE26 = _make(
    "halpe26",
    [*COCO.joints, "head", "neck", "hip", *_HALPE_FEET],
    [
        *"left_ankle-left_knee left_knee-left_hip left_hip-hip right_ankle-right_knee".split(),
        *"right_knee-right_hip right_hip-hip head-neck neck-hip neck-left_shoulder".split(),
        *"left_shoulder-left_elbow left_elbow-left_wrist neck-right_shoulder".split(),
        *"right_shoulder-right_elbow right_elbow-right_wrist left_eye-right_eye".split(),
        *"nose-left_eye nose-right_eye left_eye-left_ear right_eye-right_ear".split(),
        *"left_ear-left_shoulder right_ear-right_shoulder".split(),
        *_FEET_LIMBS,
    ],
    (*COCO.sigmas, 0.026, 0.026, 0.066, *(0.079,) * len(_HALPE_FEET)),
)
FACE = _make("coco_wholebody_face", _face(), [], _FACE_SIGMAS)
_HAND_NAMES, _HAND_LIMBS = _hand("wrist")
HAND = _make("hand", _HAND_NAMES, _HAND_LIMBS, _HAND_SIGMAS)
_INTERHAND_NAMES = [f"{finger}{n}" for finger in _FINGERS for n in (4, 3, 2, 1)] + ["wrist"]
INTERHAND = _make(
    "interhand2d",
    _INTERHAND_NAMES,
    _HAND_LIMBS,
    tuple(_HAND_SIGMAS[_HAND_NAMES.index(name)] for name in _INTERHAND_NAMES),
)
AIC = _make(
    "aic",
    "right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist right_hip"
    " right_knee right_ankle left_hip left_knee left_ankle head_top neck",
    "right_wrist-right_elbow right_elbow-right_shoulder right_shoulder-neck neck-left_shoulder"
    " left_shoulder-left_elbow left_elbow-left_wrist right_ankle-right_knee right_knee-right_hip"
    " right_hip-left_hip left_hip-left_knee left_knee-left_ankle head_top-neck"
    " right_shoulder-right_hip left_shoulder-left_hip",
    (0.01388152, 0.01515228, 0.01057665, 0.01417709, 0.01497891, 0.01402144, 0.03909642, 0.03686941,
     0.01981803, 0.03843971, 0.03412318, 0.02415081, 0.01291456, 0.01236173),
)  # fmt: skip
POSETRACK18 = _make(
    "posetrack18",
    ["nose", "head_bottom", "head_top", *COCO.joints[3:]],
    [*_named_limbs(COCO)[:12], "nose-head_bottom", "nose-head_top", "head_bottom-left_shoulder",
     "head_bottom-right_shoulder"],
    COCO.sigmas,
)  # fmt: skip
JHMDB = _make(
    "jhmdb",
    "neck belly head right_shoulder left_shoulder right_hip left_hip right_elbow left_elbow"
    " right_knee left_knee right_wrist left_wrist right_ankle left_ankle",
    "right_ankle-right_knee right_knee-right_hip right_hip-belly belly-left_hip left_hip-left_knee"
    " left_knee-left_ankle belly-neck neck-head neck-right_shoulder right_shoulder-right_elbow"
    " right_elbow-right_wrist neck-left_shoulder left_shoulder-left_elbow left_elbow-left_wrist",
    (0.025, 0.107, 0.025, 0.079, 0.079, 0.107, 0.107, 0.072, 0.072, 0.087, 0.087, 0.062, 0.062,
     0.089, 0.089),
)  # fmt: skip
H36M = _make(
    "h36m",
    "root right_hip right_knee right_foot left_hip left_knee left_foot spine thorax neck_base head"
    " left_shoulder left_elbow left_wrist right_shoulder right_elbow right_wrist",
    "root-left_hip left_hip-left_knee left_knee-left_foot root-right_hip right_hip-right_knee"
    " right_knee-right_foot root-spine spine-thorax thorax-neck_base neck_base-head"
    " thorax-left_shoulder left_shoulder-left_elbow left_elbow-left_wrist thorax-right_shoulder"
    " right_shoulder-right_elbow right_elbow-right_wrist",
)
# The names are those of AP-10K's own annotation files.
AP10K = _make(
    "ap10k",
    "left_eye right_eye nose neck root_of_tail left_shoulder left_elbow left_front_paw"
    " right_shoulder right_elbow right_front_paw left_hip left_knee left_back_paw right_hip"
    " right_knee right_back_paw",
    "left_eye-right_eye left_eye-nose right_eye-nose nose-neck neck-root_of_tail neck-left_shoulder"
    " left_shoulder-left_elbow left_elbow-left_front_paw neck-right_shoulder"
    " right_shoulder-right_elbow right_elbow-right_front_paw root_of_tail-left_hip"
    " left_hip-left_knee left_knee-left_back_paw root_of_tail-right_hip right_hip-right_knee"
    " right_knee-right_back_paw",
    (0.025, 0.025, 0.026, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107,
     0.087, 0.087, 0.089, 0.089),
)  # fmt: skip
ANIMALPOSE = _make(
    "animalpose",
    "L_Eye R_Eye L_EarBase R_EarBase Nose Throat TailBase Withers L_F_Elbow R_F_Elbow L_B_Elbow"
    " R_B_Elbow L_F_Knee R_F_Knee L_B_Knee R_B_Knee L_F_Paw R_F_Paw L_B_Paw R_B_Paw",
    "L_Eye-R_Eye L_Eye-L_EarBase R_Eye-R_EarBase L_Eye-Nose R_Eye-Nose Nose-Throat Throat-Withers"
    " TailBase-Withers Throat-L_F_Elbow L_F_Elbow-L_F_Knee L_F_Knee-L_F_Paw Throat-R_F_Elbow"
    " R_F_Elbow-R_F_Knee R_F_Knee-R_F_Paw TailBase-L_B_Elbow L_B_Elbow-L_B_Knee L_B_Knee-L_B_Paw"
    " TailBase-R_B_Elbow R_B_Elbow-R_B_Knee R_B_Knee-R_B_Paw",
    (0.025, 0.025, 0.026, 0.035, 0.035, 0.1, 0.1, 0.1, 0.107, 0.107, 0.107, 0.107, 0.087, 0.087,
     0.087, 0.087, 0.089, 0.089, 0.089, 0.089),
)  # fmt: skip
# A side view: near and off legs do not swap in a mirrored image.
HORSE10 = _make(
    "horse10",
    "Nose Eye Nearknee Nearfrontfetlock Nearfrontfoot Offknee Offfrontfetlock Offfrontfoot Shoulder"
    " Midshoulder Elbow Girth Wither Nearhindhock Nearhindfetlock Nearhindfoot Hip Stifle"
    " Offhindhock Offhindfetlock Offhindfoot Ischium",
    "Nose-Eye Eye-Wither Wither-Hip Hip-Ischium Ischium-Stifle Stifle-Girth Girth-Elbow"
    " Elbow-Shoulder Shoulder-Midshoulder Midshoulder-Wither Nearknee-Nearfrontfetlock"
    " Nearfrontfetlock-Nearfrontfoot Offknee-Offfrontfetlock Offfrontfetlock-Offfrontfoot"
    " Nearhindhock-Nearhindfetlock Nearhindfetlock-Nearhindfoot Offhindhock-Offhindfetlock"
    " Offhindfetlock-Offhindfoot",
)
ATRW = _make(
    "atrw",
    "left_ear right_ear nose right_shoulder right_front_paw left_shoulder left_front_paw right_hip"
    " right_knee right_back_paw left_hip left_knee left_back_paw tail center",
    "left_ear-nose right_ear-nose nose-center left_shoulder-left_front_paw left_shoulder-center"
    " right_shoulder-right_front_paw right_shoulder-center tail-center right_back_paw-right_knee"
    " right_knee-right_hip right_hip-tail left_back_paw-left_knee left_knee-left_hip left_hip-tail",
    (0.0277, 0.0823, 0.0831, 0.0202, 0.0716, 0.0263, 0.0646, 0.0302, 0.0440, 0.0316, 0.0333, 0.0547,
     0.0263, 0.0683, 0.0539),
)  # fmt: skip


def _as(skeleton: Skeleton, *names: str) -> dict[str, Skeleton]:
    return {name: dataclasses.replace(skeleton, name=name) for name in names}


def _landmarks(name: str, *rows: Sequence[int]) -> Skeleton:
    """Numbered points of a face; each row reads backwards in a mirrored image."""
    points = sorted(point for row in rows for point in row)
    assert points == list(range(len(points))), name
    joints = tuple(f"keypoint {point}" for point in points)
    pairs = tuple(
        (left, right)
        for row in rows
        for left, right in zip(row, reversed(row), strict=True)
        if left < right
    )
    return Skeleton(name, joints, (), tuple(map(default_sigma, joints)), declared_pairs=pairs)


# Contour; upper and lower edge of the brows; bridge of the nose; nostrils; upper and lower lid;
# pupils; upper and lower edge of the lips, outside and inside.
_BROWS = ((*range(33, 38), *range(42, 47)), (*range(38, 42), *range(47, 51)))
_BRIDGE = ((51,), (52,), (53,), (54,))
LAPA = _landmarks(
    "lapa",
    range(33), *_BROWS, *_BRIDGE, range(55, 66),
    (*range(66, 71), *range(75, 80)), (*range(71, 74), *range(80, 83)), (74, 83),
    range(84, 91), range(91, 96), range(96, 101), range(101, 104), (104, 105),
)  # fmt: skip
WFLW = _landmarks(
    "wflw",
    range(33), *_BROWS, *_BRIDGE, range(55, 60),
    (*range(60, 65), *range(68, 73)), (*range(65, 68), *range(73, 76)),
    range(76, 83), range(83, 88), range(88, 93), range(93, 96), (96, 97),
)  # fmt: skip

BY_DATASET = {
    **{skeleton.name: skeleton for skeleton in (
        COCO, MPII, CROWDPOSE, WHOLEBODY, HALPE, HALPE26, FACE, LAPA, WFLW, INTERHAND, AIC,
        POSETRACK18, JHMDB, H36M, AP10K, ANIMALPOSE, HORSE10, ATRW,
    )},
    **_as(COCO, "humanart", "macaque"),
    **_as(CROWDPOSE, "exlpose"),
    **_as(WHOLEBODY, "ubody2d"),
    **_as(HAND, "onehand10k", "freihand2d", "coco_wholebody_hand", "panoptic2d", "hand5"),
    **_as(LAPA, "face6"),
}  # fmt: skip


def by_count(count: int) -> Skeleton | None:
    """The skeleton of weights whose dataset is not named: COCO's, MPII's or CrowdPose's, or None.

    Other numbers of keypoints show no dataset: users' own datasets have them too.
    """
    return {s.num_joints: s for s in (COCO, MPII, CROWDPOSE)}.get(count)


def numbered(name: str, count: int) -> Skeleton:
    """A skeleton for a dataset whose keypoints are not known: keypoint 0, keypoint 1, ..."""
    joints = tuple(f"keypoint {number}" for number in range(count))
    return Skeleton(name, joints, (), tuple(map(default_sigma, joints)), declared_pairs=())
