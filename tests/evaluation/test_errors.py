"""Kinds of keypoint errors, on cases made by hand."""

import numpy as np
import pytest

from jaxpose.evaluation.errors import GOOD, INVERSION, JITTER, MISS, SWAP, classify
from jaxpose.evaluation.matching import Matching
from jaxpose.skeletons import Skeleton

# ks = exp(-d^2 / (2 (2 * 0.05)^2 * 100^2)) = exp(-d^2 / 200) for an area of 100 x 100 pixels:
# 0.85 at 5.70 pixels, 0.5 at 11.77.
SKELETON = Skeleton("test", ("nose", "left_eye", "right_eye"), (), (0.05,) * 3)
FIRST = [[100, 100], [200, 100], [300, 100]]
SECOND = [[100, 400], [200, 400], [300, 400]]


def matching(predicted, *, labeled=((1, 1, 1), (1, 1, 1)), image_id=(1, 1)):
    people = np.array([FIRST, SECOND], float)
    return Matching(
        image_id=np.array(image_id),
        area=np.full(2, 1e4),
        keypoints=people,
        labeled=np.array(labeled, bool),
        loose=np.array(predicted, float),
        strict=np.full_like(people, np.nan),
        unmatched=0,
        recall=np.zeros(0),
        precision=np.zeros((10, 0)),
    )


def kinds(point, **options):
    """The kind of the first person's nose, predicted at `point`."""
    predicted = np.array([FIRST, SECOND], float)
    predicted[0, 0] = point
    return classify(matching(predicted, **options), SKELETON).kinds[0, 0]


@pytest.mark.parametrize(
    ("point", "kind"),
    [
        ((100, 105.6), GOOD),
        ((100, 105.8), JITTER),
        ((100, 111.7), JITTER),
        ((100, 111.9), MISS),
        ((200, 111.7), INVERSION),
        ((300, 100), INVERSION),
        ((200, 111.9), MISS),
        ((100, 400), SWAP),  # the same keypoint of another person
        ((300, 405), SWAP),  # another keypoint of another person
        ((150, 250), MISS),
    ],
)
def test_kind_of_a_keypoint(point, kind):
    assert kinds(point) == kind


def test_other_images_and_unlabeled_keypoints_do_not_attract():
    assert kinds((100, 400), image_id=(1, 2)) == MISS
    assert kinds((100, 400), labeled=((1, 1, 1), (0, 1, 1))) == MISS
    assert kinds((100, 100), labeled=((0, 1, 1), (1, 1, 1))) == -1


def test_the_higher_similarity_decides_between_inversion_and_swap():
    people = matching([FIRST, SECOND])
    people.keypoints[1, 0] = (200, 110)  # 10 pixels from the first person's left eye
    people.loose[1, 0] = (200, 110)
    for y, kind in ((104, INVERSION), (105, INVERSION), (106, SWAP)):
        people.loose[0, 0] = (200, y)
        assert classify(people, SKELETON).kinds[0, 0] == kind


def test_left_and_right_are_told_apart_from_other_inversions():
    predicted = np.array([[FIRST[1], FIRST[2], FIRST[1]], SECOND], float)
    errors = classify(matching(predicted), SKELETON)
    assert errors.kinds.tolist() == [[INVERSION] * 3, [GOOD] * 3]
    assert errors.mirrored.tolist() == [[False, True, True], [False] * 3]
    assert errors.counts().tolist() == [[1, 0, 1, 0, 0]] * 3


def test_people_without_a_match_have_no_errors():
    errors = classify(matching([FIRST, np.full((3, 2), np.nan)]), SKELETON)
    assert errors.kinds.tolist() == [[GOOD] * 3, [-1] * 3]
