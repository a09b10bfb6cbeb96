"""Left-right pairs from the names that annotation tools and datasets use."""

import pytest

from jaxpose import sides

PAIRS = {
    "inside": ("front_left_paw", "front_right_paw"),
    "letters inside": ("F_L_Hip", "F_R_Hip"),
    "camel case": ("lShoulder", "rShoulder"),
    "capital prefix": ("LKnee", "RKnee"),
    "suffix": ("eye.L", "eye.R"),
    "capital suffix": ("kneeL", "kneeR"),
    "number behind": ("kneeL2", "kneeR2"),
    "number before": ("1_left", "1_right"),
    "brackets": ("hip (L)", "hip (R)"),
    "capitals": ("LEFT_HIP", "RIGHT_HIP"),
    "no separator": ("leftear", "rightear"),
    "letter without separator": ("lhip", "rhip"),
    "corner": ("TL", "TR"),
    "corner in words": ("top_left", "top_right"),
    "two spellings": ("l_knee", "right_knee"),
    "two places": ("Left Knee", "knee_right"),
    "characters": ("左肩", "右肩"),
    "alone": ("L", "R"),
}


@pytest.mark.parametrize("case", PAIRS)
def test_pairs(case):
    left, right = PAIRS[case]
    assert sides.pairs_by_name(["nose", right, left]) == ((1, 2),)
    assert sides.is_left(left, right) and sides.is_left(right, left) is False
    assert sides.without_partner(["nose", left, right], ((1, 2),)) == []


@pytest.mark.parametrize(
    "names",
    [
        ("lip", "lower_leg", "R2D2", "rump", "lower_lip"),
        ("L1", "L2", "L5", "S1"),
        ("L-1", "L-2"),
        ("Leg", "Reg"),  # one letter in one word is no proof
        ("1", "2"),
    ],
)
def test_names_without_sides(names):
    assert sides.pairs_by_name(names) == () and sides.without_partner(names, ()) == []


def test_groups_of_names():
    def pairs(*names):
        return {f"{names[a]} {names[b]}" for a, b in sides.pairs_by_name(names)}

    assert pairs("LF", "RF", "LR", "RR") == {"LF RF", "LR RR"}
    assert pairs("FL", "FR", "RL", "RR") == {"FL FR", "RL RR"}
    assert pairs("TL", "TR", "BR", "BL") == {"TL TR", "BR BL"}
    assert pairs("LASI", "RASI", "LFHD", "RFHD", "C7") == {"LASI RASI", "LFHD RFHD"}
    # The left corner of the left eye becomes the right corner of the right eye.
    corners = ("L_eye_L", "L_eye_R", "R_eye_L", "R_eye_R")
    assert pairs(*corners) == {"L_eye_L R_eye_R", "L_eye_R R_eye_L"}
    assert pairs("left_L1", "right_L1", "L1") == {"left_L1 right_L1"}
    assert pairs("left_eye", "right_eye", "l_eye") == {"left_eye right_eye"}


def test_names_without_partner():
    assert sides.without_partner(["left_paw", "nose", "R_ear"], ()) == ["left_paw", "R_ear"]


@pytest.mark.parametrize("case", PAIRS)
def test_split_names_the_sides_of_a_pair_alike(case):
    left, right = PAIRS[case]
    nose, second, first = sides.split(["Nose", right, left])
    assert nose == (None, "nose") and (first[0], second[0]) == ("left", "right")
    assert first[1] == second[1]


def test_split_knows_a_keypoint_however_it_is_written():
    for names in (("lShoulder", "rShoulder"), ("LSHO", "RSHO"), ("leftshoulder", "x")):
        assert sides.split(names)[0][0] == "left"
    spellings = ["left_hip", "LHip", "hip.L", "Left Hip", "LEFT-HIP", "lHip"]
    assert {sides.split([name])[0] for name in spellings} == {("left", "hip")}
    assert sides.split(["lhip", "rhip"]) == [("left", "hip"), ("right", "hip")]
    unsided = ["L5", "lip", "R2D2", "Head Top"]
    assert sides.split(unsided) == [(None, n) for n in ("l5", "lip", "r2d2", "headtop")]


def test_declared_forms():
    names = ["a", "b/c", "d"]
    assert sides.declared(["b/c/d"], names) == ((1, 2),)
    assert sides.declared(["d / a"], names) == ((2, 0),)
    assert sides.declared("none", names) == sides.declared([], names) == ()
    for values in (["b"], [True, False, 1], [[0, 1, 2]], 5):
        with pytest.raises(ValueError, match="must"):
            sides.declared(values, names)
