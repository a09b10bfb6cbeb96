"""Matches the file names in one file with the images of a folder or of a dataset."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from jaxpose.wording import agree, quantity


@dataclasses.dataclass(frozen=True)
class Matches:
    """The images of file names; images are positions in the list that was given.

    Attributes:
      image_of: file name -> its image.
      by_name_alone: (file name, image) of those whose folders differ.
      ambiguous: file name -> the images that it fits equally well; it has none in `image_of`.
    """

    image_of: dict[str, int]
    by_name_alone: list[tuple[str, int]]
    ambiguous: dict[str, list[int]]


def describe_by_name_alone(count: int) -> str:
    """The warning about `count` images in `Matches.by_name_alone`."""
    images = f"{quantity(count, 'image')} {agree(count, 'is', 'are')}"
    folders = agree(count, "its folder differs", "their folders differ")
    return f"{images} matched by name alone, because {folders}"


def match(names: Iterable[str | None], images: Sequence[tuple[str, str]]) -> Matches:
    """Finds the image of each file name.

    A name fits an image whose path ends with it, folders included. Of several names that fit an
    image, the longest is its name, because the others may be of images that are not here. Of
    several images that have one name, the one with exactly this path in its folder is taken. A name
    in another folder fits only if no other image and no other name has its last part.

    Args:
      names: all names that the file knows, also those of images without a record; None is skipped.
      images: (absolute path, path relative to the image folder) of each image, with forward
        slashes.
    """
    # "./a.jpg" is "a.jpg".
    plain = {name: PurePosixPath(name).as_posix() for name in sorted({n for n in names if n})}
    by_last: dict[str, list[str]] = collections.defaultdict(list)
    for name in plain:
        by_last[_last(plain[name])].append(name)
    count = collections.Counter(_last(path) for path, _ in images)

    claims: dict[str, list[int]] = collections.defaultdict(list)
    rest = []
    for image, (path, _) in enumerate(images):
        same = by_last.get(_last(path), ())
        fitting = [name for name in same if f"/{path}".endswith(f"/{plain[name]}")]
        if fitting:
            claims[max(fitting, key=lambda name: len(plain[name]))].append(image)
        else:
            rest.append(image)
    image_of, ambiguous = {}, {}
    for name, candidates in claims.items():
        exact = [image for image in candidates if images[image][1] == plain[name]]
        if len(candidates) == 1 or len(exact) == 1:
            image_of[name] = (exact or candidates)[0]
        else:
            ambiguous[name] = candidates
    alone = []
    for image in rest:
        last = _last(images[image][0])
        same = by_last.get(last, ())
        if len(same) == 1 and count[last] == 1:
            alone.append((same[0], image))
    return Matches(image_of | dict(alone), alone, ambiguous)


def _last(path: str) -> str:
    return path.rpartition("/")[2]
