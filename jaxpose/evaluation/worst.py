"""The people, or pictures, on which a network does worst: annotation left, prediction right."""

import dataclasses
import pathlib

import numpy as np

from jaxpose import annotations, draw, geometry, images
from jaxpose.evaluation.people import FoundPeople
from jaxpose.evaluation.scores import Evaluation

Pose = tuple[np.ndarray, np.ndarray | None]  # keypoints [K, 2]; scores [K], None draws all

HEIGHT = 320  # of a drawn picture, pixels


@dataclasses.dataclass(frozen=True)
class Case:
    """One picture of the report; `region` (x0, y0, x1, y1) is what is shown of it, None = all."""

    image_id: int
    caption: str
    annotated: list[Pose]
    predicted: list[Pose]
    region: tuple[int, int, int, int] | None = None


def find(evaluation: Evaluation, count: int) -> list[Case]:
    """The `count` cases of least similarity, worst first; none where nothing was compared."""
    if evaluation.compared is None or not count:
        return []
    if isinstance(evaluation.predictions, FoundPeople):
        return _pictures(evaluation, count)
    return _people(evaluation, count)


def _annotated(evaluation: Evaluation, row: int) -> Pose:
    return evaluation.compared.joints[row], evaluation.compared.labelled[row].astype(np.float32)


def _people(evaluation: Evaluation, count: int) -> list[Case]:
    """One person a case, and its surroundings."""
    people, compared = evaluation.predictions, evaluation.compared
    cases = []
    for row in np.argsort(compared.similarity, kind="stable")[:count]:
        sides = geometry.PIXEL_STD * people.scale[row]
        corner = people.center[row] - sides / 2
        x0, y0 = np.maximum(corner, 0).astype(int)
        x1, y1 = np.ceil(corner + sides).astype(int)
        caption = (
            f"person {people.annotation_id[row]}: OKS {compared.similarity[row]:.3f}, "
            f"mean score {people.scores[row].mean():.2f}"
        )
        pose = people.keypoints[row], None
        cases.append(
            Case(
                int(people.image_id[row]),
                caption,
                [_annotated(evaluation, row)],
                [pose],
                (x0, y0, x1, y1),
            )
        )
    return cases


def _pictures(evaluation: Evaluation, count: int) -> list[Case]:
    """A whole picture a case; the mean over its annotated people says how bad it is."""
    found, compared = evaluation.predictions, evaluation.compared
    identities, place = np.unique(compared.image_id, return_inverse=True)
    sums = np.bincount(place, compared.similarity)
    means = sums / np.bincount(place)
    cases = []
    for number in np.argsort(means, kind="stable")[:count]:
        rows = np.flatnonzero(place == number)
        mine = np.flatnonzero(found.image_id == identities[number])
        sure = mine[found.person_score[mine] >= draw.LEAST_PERSON_SCORE]
        caption = (
            f"mean OKS {means[number]:.3f} of {len(rows)} people, {len(mine)} found, {len(sure)} "
            f"of them drawn: score {draw.LEAST_PERSON_SCORE} or more "
            f"(scores {', '.join(f'{s:.2f}' for s in np.sort(found.person_score[mine])[::-1][:5])})"
        )
        annotated = [_annotated(evaluation, row) for row in rows]
        # Joints that were not found stand at the origin with score 0.
        poses = [(found.keypoints[row], found.scores[row]) for row in sure]
        cases.append(Case(int(identities[number]), caption, annotated, poses))
    return cases


def write(
    folder: pathlib.Path, cases: list[Case], truth: annotations.Dataset
) -> tuple[list[tuple[str, str]], list[str]]:
    """Draws the cases into `folder`.

    Returns:
        (file name, caption) of each that was drawn; the names of the pictures that cannot be read.

    Raises:
        ValueError: a drawing cannot be written.
    """
    import cv2

    for old in folder.glob("worst_*.jpg"):
        old.unlink()
    written, unread = [], []
    for rank, case in enumerate(cases, start=1):
        path = truth.image_path(case.image_id)
        try:
            picture = images.decode(path.read_bytes())
        except (OSError, images.ImageError):
            unread.append(path.name)  # it was in memory or in the prepared copy only, or is damaged
            continue
        sides = []
        for poses, threshold in ((case.annotated, 0.5), (case.predicted, 0.1)):
            side = picture
            for keypoints, scores in poses:
                side = draw.draw_pose(side, keypoints, scores, truth.skeleton, threshold)
            x0, y0, x1, y1 = case.region or (0, 0, picture.shape[1], picture.shape[0])
            sides.append(side[y0:y1, x0:x1])
        both = np.concatenate(sides, axis=1)
        if not both.size:
            continue
        size = (max(1, round(both.shape[1] * HEIGHT / both.shape[0])), HEIGHT)
        both = cv2.resize(both, size, interpolation=cv2.INTER_AREA)
        name = f"worst_{rank:02d}.jpg"
        if not cv2.imwrite(str(folder / name), both[..., ::-1]):
            raise ValueError(f"{folder / name} could not be written")
        written.append((name, f"{path.name}, {case.caption}"))
    return written, unread
