"""Skeletons: keypoint names, limbs, OKS sigmas, and properties derived from the names.

A skeleton lists the keypoint names in the order of the annotation file. All that depends on the
meaning of a keypoint is derived from its name in this module: which keypoints swap in a mirrored
image, which belong to the upper and the lower body, which two define the torso.

The sigmas of COCO are those of its evaluation code (pycocotools, `Params.setKpParams`), the sigmas
of CrowdPose those of the CrowdPose API.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxpose import sides
from jaxpose.choices import choose_from
from jaxpose.wording import quantity

# OKS sigma by keypoint name without its side. The first nine are COCO's; head and neck keypoints
# have CrowdPose's value for head and neck, the pelvis that of a hip.
_SIGMA_BY_PART = {
    "nose": 0.026, "eye": 0.025, "ear": 0.035, "shoulder": 0.079, "elbow": 0.072,
    "wrist": 0.062, "hip": 0.107, "knee": 0.087, "ankle": 0.089,
    "head": 0.079, "head_top": 0.079, "top_head": 0.079, "neck": 0.079, "upper_neck": 0.079,
    "thorax": 0.079, "pelvis": 0.107,
}  # fmt: skip
# For keypoints with other names: the median of COCO's 17 sigmas.
DEFAULT_SIGMA = 0.072

_LOWER_PARTS = frozenset({
    "pelvis", "hip", "knee", "ankle", "foot", "heel", "toe", "big_toe", "small_toe",
})  # fmt: skip

_SIDE_PATTERNS = (
    re.compile(r"(?P<side>left|right)[_\- ]?(?P<part>.+)", re.IGNORECASE),
    re.compile(r"(?P<side>l|r)[_\- ](?P<part>.+)", re.IGNORECASE),
    re.compile(r"(?P<side>L|R)(?P<part>[A-Z].*)"),
    re.compile(r"(?P<part>.+)[_\- ](?P<side>left|right|l|r)", re.IGNORECASE),
)


def split_side(name: str) -> tuple[str | None, str]:
    """Splits a name: `left_knee` -> ("left", "knee"), `nose` -> (None, "nose").

    The side is recognized in `left_knee`, `l_knee`, `leftKnee`, `LKnee`, `knee_left` and similar
    names; the part is in lower case.

    >>> split_side("LKnee")
    ('left', 'knee')
    """
    for pattern in _SIDE_PATTERNS:
        match = pattern.fullmatch(name)
        if match:
            side = "left" if match["side"][0] in "lL" else "right"
            return side, _plain(match["part"])
    return None, _plain(name)


def _split_sides(names: Sequence[str]) -> list[tuple[str | None, str]]:
    """Splits all names of a skeleton: those that `split_side` does not know, by their partners.

    >>> _split_sides(["lShoulder", "rShoulder", "KneeLeft"])
    [('left', 'shoulder'), ('right', 'shoulder'), ('left', 'knee')]
    """
    parts = {part.replace("_", ""): part for part in [*_SIGMA_BY_PART, *_LOWER_PARTS]}
    result = []
    for name, (side, rest) in zip(names, sides.split(names), strict=True):
        plain = split_side(name)
        known = plain[0] is not None or plain[1] in parts.values()
        result.append(plain if known or side is None or rest not in parts else (side, parts[rest]))
    return result


def _plain(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")


@dataclasses.dataclass(frozen=True)
class Skeleton:
    """The keypoints of one dataset, in the order of its files.

    Args:
      name: name of the skeleton.
      joints: keypoint names, unique.
      limbs: pairs of 0-based keypoint indexes, for drawing only.
      sigmas: one OKS sigma per keypoint (relative to the square root of the person's area).
      declared_pairs: 0-based (left, right) pairs, () if there are none; None for those in the names
        (`sides.pairs_by_name`).

    Raises:
      ValueError: a repeated name, a limb or a pair with an invalid index, a keypoint in several
        pairs, or sigmas that are not positive or not one per keypoint.
    """

    name: str
    joints: tuple[str, ...]
    limbs: tuple[tuple[int, int], ...]
    sigmas: tuple[float, ...]
    declared_pairs: sides.Pairs | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "joints", tuple(str(joint) for joint in self.joints))
        object.__setattr__(self, "limbs", tuple((int(a), int(b)) for a, b in self.limbs))
        object.__setattr__(self, "sigmas", tuple(float(sigma) for sigma in self.sigmas))
        where = f"skeleton {self.name!r}"
        if not self.joints:
            raise ValueError(f"{where} has no keypoints")
        repeated = sorted({joint for joint in self.joints if self.joints.count(joint) > 1})
        if repeated:
            raise ValueError(f"{where} repeats a keypoint name: {', '.join(repeated)}")
        for limb in self.limbs:
            if not all(0 <= index < len(self.joints) for index in limb):
                raise ValueError(
                    f"{where}: limb {limb} is outside the keypoints 0..{len(self.joints) - 1}"
                )
        if len(self.sigmas) != len(self.joints):
            raise ValueError(
                f"{where} has {quantity(len(self.joints), 'keypoint')} but "
                f"{quantity(len(self.sigmas), 'sigma')}"
            )
        if not all(0 < sigma < float("inf") for sigma in self.sigmas):
            raise ValueError(f"{where}: sigmas must be positive numbers, got {self.sigmas}")
        if self.declared_pairs is not None:
            try:
                pairs = sides.declared(list(self.declared_pairs), self.joints)
            except ValueError as error:
                raise ValueError(f"{where}: declared_pairs {error}") from None
            object.__setattr__(self, "declared_pairs", pairs)

    @property
    def num_joints(self) -> int:
        return len(self.joints)

    @functools.cached_property
    def flip_pairs(self) -> tuple[tuple[int, int], ...]:
        """Pairs of keypoints that swap when the image is mirrored, sorted, smaller index first."""
        if self.declared_pairs is not None:
            return tuple(sorted((min(pair), max(pair)) for pair in self.declared_pairs))
        return sides.pairs_by_name(self.joints)

    @functools.cached_property
    def joint_sides(self) -> tuple[str | None, ...]:
        """The side of each keypoint, "left", "right" or None, for drawing only."""
        names: list[str | None] = [None] * self.num_joints
        for a, b in self.declared_pairs or self.flip_pairs:
            first_is_left = sides.is_left(self.joints[a], self.joints[b])
            if first_is_left is False:
                a, b = b, a
            names[a], names[b] = "left", "right"
        return tuple(names)

    @property
    def knows_sides(self) -> bool:
        """Whether mirrored images can be used: pairs are known, or declared not to exist."""
        return bool(self.flip_pairs) or self.declared_pairs is not None

    @functools.cached_property
    def flip_indices(self) -> np.ndarray:
        """Permutation [K]: keypoint k of the mirrored person is keypoint flip_indices[k]."""
        indices = np.arange(self.num_joints)
        for first, second in self.flip_pairs:
            indices[first], indices[second] = second, first
        indices.setflags(write=False)
        return indices

    @functools.cached_property
    def lower_body(self) -> tuple[int, ...]:
        """Indexes of pelvis, hips, knees, ankles and feet."""
        parts = _split_sides(self.joints)
        return tuple(index for index, (_, part) in enumerate(parts) if part in _LOWER_PARTS)

    @functools.cached_property
    def upper_body(self) -> tuple[int, ...]:
        """Indexes of all keypoints that do not belong to the lower body."""
        return tuple(index for index in range(self.num_joints) if index not in self.lower_body)

    @functools.cached_property
    def torso(self) -> tuple[int, int] | None:
        """Indexes of (left hip, right shoulder), or None if the skeleton lacks one of them."""
        index = {part: number for number, part in enumerate(_split_sides(self.joints))}
        hip, shoulder = index.get(("left", "hip")), index.get(("right", "shoulder"))
        return None if hip is None or shoulder is None else (hip, shoulder)

    def to_dict(self) -> dict[str, Any]:
        """Converts to a dict for JSON; `from_dict` is the inverse."""
        values: dict[str, Any] = {
            "name": self.name,
            "joints": list(self.joints),
            "limbs": [list(limb) for limb in self.limbs],
            "sigmas": list(self.sigmas),
        }
        if self.declared_pairs is not None:
            values["declared_pairs"] = [list(pair) for pair in self.declared_pairs]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Skeleton:
        """Converts the result of `to_dict` back to a skeleton.

        Raises:
          ValueError: a key is missing.
        """
        fields = dataclasses.fields(cls)
        missing = [
            f.name for f in fields if f.name not in values and f.default is dataclasses.MISSING
        ]
        if missing:
            raise ValueError(f"skeleton lacks {', '.join(missing)}")
        return cls(**{f.name: values[f.name] for f in fields if f.name in values})


def default_sigmas(joints: Sequence[str]) -> tuple[float, ...]:
    """Returns `default_sigma` of all keypoints of a skeleton.

    A side that only its partner reveals is left out of the name, as in `lHip` and `rHip`.
    """
    return tuple(_SIGMA_BY_PART.get(part, DEFAULT_SIGMA) for _, part in _split_sides(joints))


def default_sigma(joint: str) -> float:
    """Returns the OKS sigma of a keypoint whose file has none.

    COCO's value for a keypoint of that name (either side); 0.079 for head and neck keypoints, as in
    CrowdPose; 0.107 for the pelvis, as for a hip; otherwise `DEFAULT_SIGMA`, COCO's median.
    """
    return _SIGMA_BY_PART.get(split_side(joint)[1], DEFAULT_SIGMA)


def _skeleton(name: str, joints: str, limbs: str) -> Skeleton:
    names = tuple(joints.split())
    pairs = (limb.split("-") for limb in limbs.split())
    return Skeleton(
        name=name,
        joints=names,
        limbs=tuple((int(a), int(b)) for a, b in pairs),
        sigmas=tuple(default_sigma(joint) for joint in names),
    )


COCO = _skeleton(
    "coco",
    "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow"
    " left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle",
    "15-13 13-11 16-14 14-12 11-12 5-11 6-12 5-6 5-7 6-8 7-9 8-10 1-2 0-1 0-2 1-3 2-4 3-5 4-6",
)
MPII = _skeleton(
    "mpii",
    "right_ankle right_knee right_hip left_hip left_knee left_ankle pelvis thorax upper_neck"
    " head_top right_wrist right_elbow right_shoulder left_shoulder left_elbow left_wrist",
    "0-1 1-2 2-6 6-3 3-4 4-5 6-7 7-8 8-9 10-11 11-12 12-7 7-13 13-14 14-15",
)
CROWDPOSE = _skeleton(
    "crowdpose",
    "left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist left_hip right_hip"
    " left_knee right_knee left_ankle right_ankle head neck",
    "10-8 8-6 11-9 9-7 6-7 0-6 1-7 0-1 0-2 1-3 2-4 3-5 12-13 13-0 13-1",
)
_BUILT_IN = {skeleton.name: skeleton for skeleton in (COCO, MPII, CROWDPOSE)}


def get(name: str) -> Skeleton:
    """Returns the built-in skeleton `coco`, `mpii` or `crowdpose`.

    Raises:
      ValueError: another name.

    >>> coco = get("coco")
    >>> coco.num_joints, coco.joints[:3], coco.flip_pairs[0]
    (17, ('nose', 'left_eye', 'right_eye'), (1, 2))
    """
    if name not in _BUILT_IN:
        raise ValueError(f"unknown skeleton {name!r}; {choose_from(name, _BUILT_IN)}")
    return _BUILT_IN[name]


def category_with_joints(categories: Any) -> Mapping[str, Any] | None:
    """Returns the first of a COCO file's `categories` with keypoints, the category of its people.

    None if there is none, or if `categories` is not a list.
    """
    entries = categories if isinstance(categories, list) else []
    return next((c for c in entries if isinstance(c, dict) and c.get("keypoints")), None)


def from_coco_category(category: Mapping[str, Any]) -> Skeleton:
    """Returns the skeleton of one entry of `categories` in a COCO-format annotation file.

    Args:
      category: an entry with `keypoints`, the names. Optional entries, of which only the first is
        part of COCO's format: `skeleton`, the limbs as pairs of 1-based indexes, or 0-based if a 0
        is among them; `sigmas`, the OKS sigmas (by default `default_sigmas` of the names);
        `flip_pairs`, `flip_idx` or `swap`, the left-right pairs by name or 0-based index
        (`sides.declared`). If the names are those of a built-in skeleton, its name and limbs are
        used: the official CrowdPose files have COCO's limbs, which do not fit their 14 keypoints.

    Raises:
      ValueError: there are no `keypoints`, or the sigmas or the pairs are invalid.
    """
    return read_category(category)[0]


def read_category(category: Mapping[str, Any]) -> tuple[Skeleton, list[str]]:
    """Returns the result of `from_coco_category`, and notes on unusual values.

    Raises:
      ValueError: as `from_coco_category`.
    """
    name = str(category.get("name", "person"))
    joints = category.get("keypoints")
    if not isinstance(joints, list | tuple) or not joints:
        raise ValueError(f"category {name!r} has no list of keypoint names under 'keypoints'")
    joints = tuple(str(joint) for joint in joints)
    sigmas = category.get("sigmas") or default_sigmas(joints)
    if not isinstance(sigmas, list | tuple) or not all(
        isinstance(sigma, int | float) and not isinstance(sigma, bool) for sigma in sigmas
    ):
        raise ValueError(f"category {name!r}: sigmas must be a list of numbers, not {sigmas!r}")
    try:
        pairs, notes = sides.declared_in(category, joints)
    except ValueError as error:
        raise ValueError(f"category {name!r}: {error}") from None
    for known in _BUILT_IN.values():
        if known.joints == joints:
            skeleton = dataclasses.replace(known, sigmas=tuple(sigmas), declared_pairs=pairs)
            break
    else:
        limbs, remarks = _read_limbs(category.get("skeleton"), joints)
        notes += remarks
        skeleton = Skeleton(name, joints, limbs, tuple(sigmas), pairs)
    if pairs is None:
        alone = sides.without_partner(joints, skeleton.flip_pairs)
        notes += [f"{joint!r} is left or right, but has no counterpart" for joint in alone]
    return skeleton, notes


def complete(skeleton: Skeleton, network: Skeleton) -> tuple[Skeleton, list[str]]:
    """Returns a file's skeleton, completed from that of a network, and notes on what was added.

    Only if both have the same keypoints: default sigmas become those of the network, and
    left-right pairs that the file does not declare become those of the network.
    """
    notes: list[str] = []
    if skeleton.joints != network.joints:
        return skeleton, notes
    default = default_sigmas(skeleton.joints)
    if skeleton.sigmas == default != network.sigmas:
        skeleton = dataclasses.replace(skeleton, sigmas=network.sigmas)
        notes.append("no 'sigmas', or the default ones: OKS uses those of the network")
    if network.knows_sides and skeleton.flip_pairs != network.flip_pairs:
        if skeleton.declared_pairs is None:
            skeleton = dataclasses.replace(skeleton, declared_pairs=network.flip_pairs)
            notes.append("the left-right pairs are those of the network")
        else:
            notes.append("the declared left-right pairs differ from those of the network")
    return skeleton, notes


def _read_limbs(
    values: Any, joints: tuple[str, ...]
) -> tuple[tuple[tuple[int, int], ...], list[str]]:
    """Returns 0-based limbs, and notes on those that are left out; only drawings use limbs."""
    if values is None:
        return (), []
    if not isinstance(values, list | tuple):
        return (), [f"limbs left out: 'skeleton' must be a list of pairs, not {values!r}"]
    first, notes = 1, []
    if any(end == 0 for limb in values if isinstance(limb, list | tuple) for end in limb):
        first, notes = 0, ["limbs count keypoints from 0, because one of them contains a 0"]
    limbs = []
    for limb in values:
        ends = limb if isinstance(limb, list | tuple) and len(limb) == 2 else (None, None)
        a, b = (_limb_end(end, joints, first) for end in ends)
        if a is None or b is None:
            last = first + len(joints) - 1
            notes.append(f"limb {limb!r} left out: it must be two numbers from {first} to {last}")
        else:
            limbs.append((a, b))
    return tuple(limbs), notes


def _limb_end(value: Any, joints: tuple[str, ...], first: int) -> int | None:
    if isinstance(value, str) and value in joints:
        return joints.index(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    index = value - first
    return int(index) if index in range(len(joints)) else None
