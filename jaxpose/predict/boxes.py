"""Person boxes from a file, or from the poses of a bottom-up network."""

from __future__ import annotations

import collections
import pathlib
from collections.abc import Sequence

import numpy as np

from jaxpose.annotations import file_names, load_boxes
from jaxpose.annotations.detections import FOREIGN, SCORE, Detections, counted
from jaxpose.poses import Poses, extent
from jaxpose.wording import agree, quantity

# Margin on each side of the keypoints' extent, as a fraction of the extent. COCO's annotated boxes
# are about that much larger, because they contain the whole hands, feet and head.
MARGIN = 0.125
FEWEST = 3  # keypoints needed for a box; fewer do not show the size of a person


def around(poses: Poses) -> np.ndarray:
    """Returns boxes [n, 4] around the people of a bottom-up network, for a top-down network.

    A box is the extent of a person's keypoints with a margin, at least one pixel wide and high.
    People with fewer than three keypoints get no box, so n may be less than N.
    """
    enough = poses.present.sum(axis=1) >= FEWEST
    x, y, width, height = extent(poses.keypoints[enough], poses.present[enough]).T
    boxes = [x - MARGIN * width, y - MARGIN * height, width, height]
    boxes[2:] = [np.maximum(side * (1 + 2 * MARGIN), 1) for side in boxes[2:]]
    return np.stack(boxes, axis=1)


class Boxes:
    """Person boxes of given images, from a JSON file in COCO's dataset or results format.

    The file is a dataset ({"images": ..., "annotations": [{"image_id", "bbox"}]}) or a list of
    detections ([{"bbox", "score", "file_name" or "image_id"}]). A box belongs to the image whose
    path ends with its file name, folders included. A file name matches an image in another folder
    only if no other image, given or known to the file, has that name. For an image_id that is a
    number, a dataset must give the file name.

    Args:
      path: the file.
      images: (folder, path relative to it) of each image.
      threshold: minimum score; boxes with a lower score are left out, as are boxes of another
        category than people, boxes marked as a crowd and empty boxes.
      dataset: annotation file whose `images` give the file names of a list's image ids.

    Attributes:
      notes: lines on boxes that are left out, or matched by name without the folder.

    Raises:
      ValueError: a file is not JSON or has another form, a record is malformed, a file name fits
        several images, or no box is left. The message is one line with the file and the reason.
    """

    def __init__(
        self,
        path: str | pathlib.Path,
        images: Sequence[tuple[pathlib.Path, pathlib.Path]],
        threshold: float = 0.0,
        dataset: str | pathlib.Path | None = None,
    ):
        detections, problems = load_boxes(path, annotations=dataset, lowest_score=threshold)
        self._path = path
        self._boxes: dict[pathlib.Path, list[np.ndarray]] = collections.defaultdict(list)
        _check_numbers(path, detections, dataset)
        image_of, by_name_alone = _match(path, [*detections.names, *detections.name], images)
        sizes = detections.sizes
        self._sizes = {image: sizes[name] for name, image in image_of.items() if name in sizes}
        self._upright = {image for name, image in image_of.items() if name in detections.upright}
        foreign = []
        for identity, name, box in zip(
            detections.image_id, detections.name, detections.box, strict=True
        ):
            image = image_of.get(name or "")
            if image is None:
                foreign.append(name or identity)
            else:
                self._boxes[image].append(box)
        left_out = detections.left_out
        left_out[FOREIGN] += len(foreign)
        if not self._boxes:
            raise ValueError(f"{path}: {_reason(detections, foreign, images, threshold)}")
        self.notes = [str(problem) for problem in problems]
        if words := counted(+left_out):
            self.notes.append(f"{path}: boxes left out: {words}")
        if by_name_alone:
            name, image = by_name_alone[0]
            self.notes.append(
                f"{path}: {file_names.describe_by_name_alone(len(by_name_alone))}, e.g. {name} "
                f"and {image}"
            )
        without = sum(folder / relative not in self._boxes for folder, relative in images)
        if without:
            self.notes.append(
                f"{path}: {without} of {quantity(len(images), 'image')} "
                f"{agree(without, 'has', 'have')} no box"
            )

    def __len__(self) -> int:
        """Number of boxes of all images."""
        return sum(map(len, self._boxes.values()))

    def size_of(self, image: pathlib.Path) -> tuple[int, int] | None:
        """Returns the (H, W) of an image in the dataset of its boxes; None without one."""
        return self._sizes.get(image)

    def is_upright(self, image: pathlib.Path) -> bool:
        """Whether the boxes are for the upright image, although its size does not show it."""
        return image in self._upright

    def of(self, image: pathlib.Path) -> np.ndarray:
        """Returns the boxes [N, 4] of an image file; N = 0 if it has none."""
        return np.asarray(self._boxes.get(image, []), np.float32).reshape(-1, 4)


def _check_numbers(
    path: str | pathlib.Path, detections: Detections, dataset: str | pathlib.Path | None
) -> None:
    """Raises ValueError if all boxes have image ids without a file name."""
    unexplained = [
        identity
        for identity, name in zip(detections.image_id, detections.name, strict=True)
        if name is None
    ]
    if len(unexplained) == len(detections) and unexplained:
        if dataset is None:
            raise ValueError(
                f"{path}: image_id is a number ({unexplained[0]}) without a file name: give the "
                "dataset that has it with --annotations FILE.json"
            )
        raise ValueError(f"{path}: no image_id (e.g. {unexplained[0]}) is in {dataset}")


def _match(
    path: str | pathlib.Path,
    names: Sequence[str | None],
    images: Sequence[tuple[pathlib.Path, pathlib.Path]],
) -> tuple[dict[str, pathlib.Path], list[tuple[str, pathlib.Path]]]:
    """Matches file names to images (`file_names.match`).

    Args:
      path: the file of the boxes, for the error message.
      names: file names of all images that the file knows.
      images: (folder, path relative to it) of each given image.

    Returns:
      File name -> image, and the pairs for which only the last part of the path is the same.

    Raises:
      ValueError: a name fits several images.
    """
    files = [folder / relative for folder, relative in images]
    paths = [
        (file.absolute().as_posix(), relative.as_posix())
        for file, (_, relative) in zip(files, images, strict=True)
    ]
    matches = file_names.match(names, paths)
    for name, candidates in matches.ambiguous.items():
        some = ", ".join(str(files[image]) for image in candidates[:3])
        raise ValueError(
            f"{path}: {name!r} matches {len(candidates)} images ({some}): add the folders to the "
            "names in the file, or predict one folder at a time"
        )
    image_of = {name: files[image] for name, image in matches.image_of.items()}
    return image_of, [(name, files[image]) for name, image in matches.by_name_alone]


def _reason(
    detections: Detections,
    foreign: Sequence[str | int | None],
    images: Sequence[tuple[pathlib.Path, pathlib.Path]],
    threshold: float,
) -> str:
    """Why no box is left."""
    total = len(detections) + sum(detections.left_out.values()) - detections.left_out[FOREIGN]
    if not total:
        return "has no box"
    where = f"any of {len(images)} images" if len(images) > 1 else str(images[0][1])
    text = f"none of its {total} boxes is for {where}: {counted(+detections.left_out)}"
    if foreign:
        return f"{text}, e.g. {foreign[0]!r}; a box needs the file name of its image"
    if detections.left_out[SCORE]:
        text += f" (--box-score {threshold:g})"
    return text
