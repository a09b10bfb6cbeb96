"""Skeletons against the published lists, and the properties derived from their names."""

import json
import re

import numpy as np
import pytest

from jaxpose import skeletons
from jaxpose.skeletons import COCO, CROWDPOSE, MPII, Skeleton


def _make(*joints: str, limbs=(), sigmas=None) -> Skeleton:
    return Skeleton("test", joints, limbs, (0.05,) * len(joints) if sigmas is None else sigmas)


def test_coco_facts():
    assert COCO.num_joints == 17
    assert COCO.flip_pairs == tuple((i, i + 1) for i in range(1, 17, 2))
    assert COCO.upper_body == tuple(range(11))
    assert COCO.lower_body == tuple(range(11, 17))
    published = ".026 .025 .025 .035 .035 .079 .079 .072 .072 .062 .062 .107 .107 .087 .087 .089"
    assert COCO.sigmas == tuple(map(float, published.split())) + (0.089,)
    assert COCO.torso == (11, 6)
    assert len(COCO.limbs) == 19


def test_coco_sigmas_are_those_of_pycocotools():
    from pycocotools.cocoeval import Params

    np.testing.assert_allclose(COCO.sigmas, Params(iouType="keypoints").kpt_oks_sigmas, rtol=1e-12)


def test_mpii_facts():
    assert MPII.num_joints == 16
    assert MPII.flip_pairs == ((0, 5), (1, 4), (2, 3), (10, 15), (11, 14), (12, 13))
    assert MPII.upper_body == tuple(range(7, 16))
    assert MPII.lower_body == tuple(range(7))
    assert MPII.joints[9] == "head_top"
    assert MPII.torso == (3, 12)


def test_crowdpose_facts():
    assert CROWDPOSE.num_joints == 14
    assert CROWDPOSE.flip_pairs == tuple((i, i + 1) for i in range(0, 12, 2))
    published = ".079 .079 .072 .072 .062 .062 .107 .107 .087 .087 .089 .089 .079 .079"
    assert CROWDPOSE.sigmas == tuple(map(float, published.split()))


@pytest.mark.parametrize("skeleton", [COCO, MPII, CROWDPOSE], ids=lambda s: s.name)
def test_flip_indices_are_an_involution_that_swaps_sides(skeleton):
    order = skeleton.flip_indices
    np.testing.assert_array_equal(order[order], np.arange(skeleton.num_joints))
    for index, joint in enumerate(skeleton.joints):
        swapped = joint.replace("left_", "*").replace("right_", "left_").replace("*", "right_")
        assert skeleton.joints[order[index]] == swapped
    assert sorted(skeleton.upper_body + skeleton.lower_body) == list(range(skeleton.num_joints))


@pytest.mark.parametrize(
    "left, right",
    [("left_knee", "right_knee"), ("l_knee", "r_knee"), ("leftKnee", "rightKnee"),
     ("LKnee", "RKnee"), ("knee_left", "knee_right"), ("Left Knee", "Right Knee")],
)  # fmt: skip
def test_sides_are_read_from_common_spellings(left, right):
    skeleton = _make("nose", right, left)
    assert skeleton.flip_pairs == ((1, 2),)
    assert skeleton.lower_body == (1, 2)


def test_names_that_only_start_like_a_side():
    assert _make("neck", "root", "lip", "rump").flip_pairs == ()


@pytest.mark.parametrize(
    "joints, message",
    [
        (("nose", "nose"), "repeats a keypoint name: nose"),
        ((), "no keypoints"),
    ],
)
def test_bad_keypoint_names_are_refused(joints, message):
    with pytest.raises(ValueError, match=message):
        _make(*joints)


def test_bad_limbs_and_sigmas_are_refused():
    with pytest.raises(ValueError, match=r"limb \(0, 2\) is outside the keypoints 0..1"):
        _make("nose", "neck", limbs=[(0, 2)])
    with pytest.raises(ValueError, match="2 keypoints but 1 sigma"):
        _make("nose", "neck", sigmas=[0.1])
    with pytest.raises(ValueError, match="positive"):
        _make("nose", "neck", sigmas=[0.1, 0.0])


def test_round_trip_through_json():
    for skeleton in (COCO, MPII, CROWDPOSE):
        assert Skeleton.from_dict(json.loads(json.dumps(skeleton.to_dict()))) == skeleton
    with pytest.raises(ValueError, match="lacks sigmas"):
        Skeleton.from_dict({"name": "x", "joints": ["a"], "limbs": []})


def test_get_suggests_the_nearest():
    assert skeletons.get("coco") is COCO
    with pytest.raises(ValueError, match="did you mean 'crowdpose'"):
        skeletons.get("crowd_pose")


def _category(skeleton: Skeleton, /, **extra) -> dict:
    limbs = [[a + 1, b + 1] for a, b in skeleton.limbs]
    return {"name": "person", "keypoints": list(skeleton.joints), "skeleton": limbs, **extra}


def test_categories_of_coco_and_crowdpose_give_the_built_in_skeletons():
    assert skeletons.from_coco_category(_category(COCO)) == COCO
    # The official CrowdPose files have COCO's limbs, up to joint 17 of 14.
    official = _category(CROWDPOSE, skeleton=[[16, 14], [14, 12], [17, 15]])
    assert skeletons.from_coco_category(official) == CROWDPOSE


def test_category_with_its_own_skeleton():
    category = {
        "name": "climber",
        "keypoints": ["head_top", "left_hip", "right_hip", "left_hand", "right_hand"],
        "skeleton": [[1, 2], [2, 3]],
    }
    skeleton = skeletons.from_coco_category(category)
    assert skeleton.name == "climber"
    assert skeleton.limbs == ((0, 1), (1, 2))
    assert skeleton.sigmas == (0.079, 0.107, 0.107, 0.072, 0.072)
    assert skeleton.torso is None
    given = skeletons.from_coco_category({**category, "sigmas": [0.1] * 5, "skeleton": []})
    assert given.sigmas == (0.1,) * 5


def test_category_without_keypoint_names_is_refused():
    with pytest.raises(ValueError, match="'person' has no list of keypoint names"):
        skeletons.from_coco_category({"name": "person"})
    with pytest.raises(ValueError, match="'person' has no list of keypoint names"):
        skeletons.from_coco_category({"name": "person", "keypoints": []})


@pytest.mark.parametrize(
    ("values", "limbs", "note"),
    [
        ([[1, 2], [2, 3]], ((0, 1), (1, 2)), None),
        ([[0, 1], [0, 2]], ((0, 1), (0, 2)), "count keypoints from 0"),
        (
            [[2, 1], [32, 33]],
            ((1, 0),),
            r"limb \[32, 33\] left out: it must be two numbers from 1 to 3",
        ),
        (
            [[0, 3], [0, 1]],
            ((0, 1),),
            r"limb \[0, 3\] left out: it must be two numbers from 0 to 2",
        ),
        ([[1.0, 2.0], ["a", "c"]], ((0, 1), (0, 2)), None),
        ([1, 2], (), "limb 1 left out"),
        ([[1, None], [1, 2, 3], [True, 2]], (), "left out"),
        ("all", (), "must be a list of pairs"),
        (None, (), None),
    ],
)
def test_limbs_never_stop_anything(values, limbs, note):
    category = {"keypoints": ["a", "b", "c"], "skeleton": values}
    skeleton, notes = skeletons.read_category(category)
    assert skeleton.limbs == limbs
    assert bool(notes) == bool(note) and re.search(note or "", "; ".join(notes))


@pytest.mark.parametrize(
    "declaration",
    [
        {"flip_pairs": [[1, 2]]},
        {"flip_pairs": [["b", "c"]]},
        {"flip_idx": [0, 2, 1]},
        {"swap": ["", "c", "b"]},
        {"swap": {"b": "c", "a": ""}},
        {"swap_pairs": [[2.0, 1.0]]},
        {"flip_pairs": [[2, 3]], "flip_idx": [0, 2, 1]},  # counted from 1, as flip_idx shows
    ],
)
def test_declared_pairs_win_over_names(declaration):
    names = {"keypoints": ["a", "b", "c"]}
    assert skeletons.from_coco_category(names | declaration).flip_pairs == ((1, 2),)
    # By their names, the pair would be another one.
    names = {"keypoints": ["left_x", "right_x", "y"]}
    skeleton = skeletons.from_coco_category(names | {"flip_pairs": [[1, 2]]})
    assert skeleton.flip_pairs == ((1, 2),) and skeleton.flip_indices.tolist() == [0, 2, 1]
    assert Skeleton.from_dict(json.loads(json.dumps(skeleton.to_dict()))) == skeleton
    none = skeletons.from_coco_category(names | {"flip_pairs": []})
    assert none.flip_pairs == () and none.knows_sides
    assert Skeleton.from_dict(none.to_dict()).declared_pairs == ()
    assert not _make("a", "b").knows_sides


@pytest.mark.parametrize(
    ("declaration", "message"),
    [
        (
            {"flip_pairs": [[1, 3]]},
            r"'flip_pairs' has the keypoint number 3; numbers go from 0 to 2",
        ),
        ({"flip_pairs": [["b", "d"]]}, "unknown keypoint 'd'"),
        ({"flip_idx": [1, 2, 0]}, "in several pairs"),
        ({"flip_pairs": [[0, 1]], "flip_idx": [0, 2, 1]}, "declare different pairs"),
        ({"swap": 5}, "'swap' must be a list of pairs"),
    ],
)
def test_wrong_pairs_are_refused(declaration, message):
    with pytest.raises(ValueError, match=f"category 'person': .*{message}"):
        skeletons.from_coco_category({"name": "person", "keypoints": ["a", "b", "c"]} | declaration)


def test_a_side_without_its_mirror_image_is_noted():
    skeleton, notes = skeletons.read_category({"keypoints": ["left_paw", "nose", "L1"]})
    assert skeleton.flip_pairs == ()
    assert notes == ["'left_paw' is left or right, but has no counterpart"]


def test_sides_for_drawing():
    assert COCO.joint_sides[:3] == (None, "left", "right")
    assert _make("TR", "TL").joint_sides == ("right", "left")
    declared = Skeleton("x", ("1", "2", "3"), (), (0.1,) * 3, ((2, 0),))
    assert declared.joint_sides == ("right", None, "left") and declared.flip_pairs == ((0, 2),)


@pytest.mark.parametrize("sigmas", [[None, 0.1], ["0.1", 0.1], 0.1, [True, 0.1]])
def test_sigmas_of_another_form_are_refused_with_the_category(sigmas):
    category = {"name": "fish", "keypoints": ["nose", "tail"], "sigmas": sigmas}
    with pytest.raises(ValueError, match="category 'fish': sigmas must be a list of numbers"):
        skeletons.from_coco_category(category)


@pytest.mark.parametrize("names", ["{}Shoulder {}Hip {}Knee", "shoulder.{} hip.{} knee.{}"])
def test_parts_are_known_in_names_that_only_their_partner_explains(names):
    joints = ["nose", *" ".join(names.replace("{}", side) for side in "lr").split()]
    skeleton = skeletons.from_coco_category({"keypoints": joints})
    assert skeleton.sigmas == (0.026, *(0.079, 0.107, 0.087) * 2)
    assert skeleton.torso == (2, 4) and skeleton.lower_body == (2, 3, 5, 6)


def test_words_that_are_no_parts_keep_the_default_sigma():
    joints = ("lShould", "F_L_Hip", "F_R_Hip", "KneeLeft", "KneeRight", "L1", "left_bigtoe")
    assert skeletons.default_sigmas(joints) == (0.072, 0.072, 0.072, 0.087, 0.087, 0.072, 0.072)
    for skeleton in (COCO, MPII, CROWDPOSE):
        assert skeletons.default_sigmas(skeleton.joints) == skeleton.sigmas
