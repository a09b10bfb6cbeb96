"""Skeletons of the datasets of the public checkpoints."""

import pytest

from jaxpose import public_skeletons, skeletons
from jaxpose.public_skeletons import BY_DATASET

# Keypoints of each dataset and left-right pairs, as the datasets' papers and mmpose's files count.
COUNTS = {
    "coco": (17, 8), "mpii": (16, 6), "crowdpose": (14, 6), "coco-wholebody": (133, 61),
    "ubody2d": (133, 61), "halpe": (136, 61), "coco_wholebody_face": (68, 29),
    "coco_wholebody_hand": (21, 0), "onehand10k": (21, 0), "freihand2d": (21, 0),
    "panoptic2d": (21, 0), "interhand2d": (21, 0), "aic": (14, 6), "posetrack18": (17, 7),
    "jhmdb": (15, 6), "h36m": (17, 6), "ap10k": (17, 7), "animalpose": (20, 8), "horse10": (22, 0),
    "halpe26": (26, 11), "hand5": (21, 0), "lapa": (106, 48), "face6": (106, 48), "wflw": (98, 44),
    "atrw": (15, 6), "humanart": (17, 8), "macaque": (17, 8), "exlpose": (14, 6),
}  # fmt: skip


def test_counts_are_those_published():
    assert {name: (s.num_joints, len(s.flip_pairs)) for name, s in BY_DATASET.items()} == COUNTS
    assert all(name == skeleton.name for name, skeleton in BY_DATASET.items())


NUMBERED = ("lapa", "face6", "wflw")  # their keypoints have no names


@pytest.mark.parametrize("name", [name for name in COUNTS if name not in NUMBERED])
def test_pairs_differ_in_the_side_alone(name):
    skeleton = BY_DATASET[name]
    for a, b in skeleton.flip_pairs:
        (left, part), (right, other) = (
            skeletons.split_side(skeleton.joints[index]) for index in (a, b)
        )
        assert {left, right} == {"left", "right"} and part == other
        assert skeleton.sigmas[a] == pytest.approx(skeleton.sigmas[b], rel=1.0)


@pytest.mark.parametrize("name", sorted(COUNTS.keys() - {*NUMBERED, "coco_wholebody_face"}))
def test_limbs_are_symmetric_and_reach_nearly_all(name):
    skeleton = BY_DATASET[name]
    mirror = skeleton.flip_indices
    limbs = {frozenset(limb) for limb in skeleton.limbs}
    assert len(limbs) == len(skeleton.limbs)
    mirrored = {frozenset(int(mirror[end]) for end in limb) for limb in limbs}
    assert mirrored == limbs
    face = {k for k, joint in enumerate(skeleton.joints) if joint in public_skeletons.FACE.joints}
    unreached = set(range(skeleton.num_joints)) - set().union(*limbs) - face
    names = {skeleton.joints[k] for k in unreached}
    assert names <= {"left_ear", "right_ear", "left_eye", "right_eye"}


def test_sigmas_of_halpe_are_those_of_its_evaluation_code():
    sigmas = BY_DATASET["halpe"].sigmas
    assert sigmas[:17] == skeletons.COCO.sigmas
    assert sigmas[17:26] == (0.08,) * 3 + (0.089,) * 6
    assert sigmas[26:] == (0.015,) * 110


def test_sigmas_of_halpe26_are_those_of_mmpose():
    sigmas = BY_DATASET["halpe26"].sigmas
    assert sigmas == (*skeletons.COCO.sigmas, 0.026, 0.026, 0.066, *(0.079,) * 6)


def test_numbered_points_of_faces_are_mirrored_as_in_mmpose():
    """Some pairs of every part, typed from its dataset files."""
    common = {0: 32, 15: 17, 16: 16, 33: 46, 37: 42, 38: 50, 41: 47, 51: 51, 54: 54}
    lapa = common | {
        55: 65, 59: 61, 60: 60, 66: 79, 70: 75, 71: 82, 73: 80, 74: 83, 84: 90, 87: 87, 91: 95,
        96: 100, 101: 103, 104: 105,
    }  # fmt: skip
    wflw = common | {
        55: 59, 57: 57, 60: 72, 64: 68, 65: 75, 67: 73, 76: 82, 83: 87, 88: 92, 93: 95, 96: 97,
    }  # fmt: skip
    for name, pairs in (("lapa", lapa), ("face6", lapa), ("wflw", wflw)):
        mirror = BY_DATASET[name].flip_indices
        assert {left: int(mirror[left]) for left in pairs} == pairs
        assert all(mirror[right] == left for left, right in pairs.items())


def test_the_face_is_mirrored_as_300w_is():
    pairs = {frozenset(pair) for pair in public_skeletons.FACE.flip_pairs}
    jaw = {(i, 16 - i) for i in range(8)}
    brows = {(i, 43 - i) for i in range(17, 22)}
    nose = {(31, 35), (32, 34)}
    eyes = {(36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)}
    mouth = {(48, 54), (49, 53), (50, 52), (55, 59), (56, 58), (60, 64), (61, 63), (65, 67)}
    assert pairs == {frozenset(pair) for pair in jaw | brows | nose | eyes | mouth}


def test_parts_of_the_whole_body_are_where_coco_wholebody_has_them():
    joints = BY_DATASET["coco-wholebody"].joints
    assert joints[:17] == skeletons.COCO.joints
    assert joints[17:23:3] == ("left_big_toe", "right_big_toe")
    assert joints[23] == "right_jaw_1" and joints[23 + 8] == "chin"
    assert joints[91] == "left_hand_root" and joints[112] == "right_hand_root"
    assert joints[95] == "left_thumb4" and joints[132] == "right_pinky_finger4"
    hand, inter = BY_DATASET["onehand10k"], BY_DATASET["interhand2d"]
    assert hand.joints[0] == "wrist" and inter.joints[0] == "thumb4" and inter.joints[20] == "wrist"
    assert sorted(hand.joints) == sorted(inter.joints)


def test_human36m_begins_with_the_right_leg_and_the_left_arm():
    """The order of the dataset's own joints, as in mmpose 1.x."""
    joints = BY_DATASET["h36m"].joints
    assert joints[1:4] == ("right_hip", "right_knee", "right_foot")
    assert joints[4:7] == ("left_hip", "left_knee", "left_foot")
    assert joints[11:14] == ("left_shoulder", "left_elbow", "left_wrist")
    assert joints[14:] == ("right_shoulder", "right_elbow", "right_wrist")


def test_numbered_keypoints_have_no_sides():
    skeleton = public_skeletons.numbered("fly", 32)
    assert skeleton.joints[:2] == ("keypoint 0", "keypoint 1")
    assert (skeleton.num_joints, skeleton.flip_pairs) == (32, ())
