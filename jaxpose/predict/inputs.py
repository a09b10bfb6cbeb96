"""The files that `jaxpose predict` reads or ignores, and the names of the files it writes."""

from __future__ import annotations

import collections
import dataclasses
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from jaxpose.files import Location, check_outputs, overwritten
from jaxpose.images import decode, decode_annotated, is_turned
from jaxpose.predict.boxes import Boxes

# Suffixes of images: such a file that cannot be decoded is reported by name, not ignored.
SUFFIXES = frozenset(
    ".avif .bmp .gif .heic .heif .jfif .jp2 .jpeg .jpg .png .tif .tiff .webp".split()
)


@dataclasses.dataclass(frozen=True)
class Input:
    """A file, by the folder that the user gave and the path in it.

    Attributes:
      folder: the given folder, or the folder of a file that was given by name.
      relative: path of the file in it.
    """

    folder: pathlib.Path
    relative: pathlib.Path

    @property
    def path(self) -> pathlib.Path:
        return self.folder / self.relative


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The files to predict, and what else the folders hold.

    Attributes:
      images: files that are images by their content or their suffix.
      videos: other files that were given by name.
      passed_over: kind of file or folder -> number of those that are ignored.
    """

    images: list[Input]
    videos: list[Input]
    passed_over: collections.Counter[str]


def collect(names: Sequence[pathlib.Path], *, output: pathlib.Path, recursive: bool) -> Inputs:
    """Lists the images of the given files and folders, each once, folders sorted by name.

    Args:
      names: files and folders.
      output: folder of the results, which is ignored.
      recursive: whether to include subfolders.

    Raises:
      ValueError: a name does not exist, or a folder has no images.
    """
    files: dict[str, tuple[Input, bool]] = {}  # absolute path -> (file, whether it is an image)
    passed_over: collections.Counter[str] = collections.Counter()
    for name in names:
        if name.is_dir():
            others: collections.Counter[str] = collections.Counter()
            images = _walk(name, name, output, recursive, others)
            if not images:
                rest = f" ({describe(others)})" if others else ""
                raise ValueError(f"{name}: no images in this folder{rest}")
            passed_over += others
        elif name.exists():
            images = [Input(name.parent, pathlib.Path(name.name))]
        else:
            raise ValueError(f"{name}: no such file or folder")
        for file in images:
            files.setdefault(os.path.abspath(file.path), (file, is_image(file.path)))
    return Inputs(
        [file for file, image in files.values() if image],
        [file for file, image in files.values() if not image],
        passed_over,
    )


def _walk(
    root: pathlib.Path,
    folder: pathlib.Path,
    output: pathlib.Path,
    recursive: bool,
    others: collections.Counter[str],
) -> list[Input]:
    """The images below `folder`; counts everything else in `others`."""
    images = []
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            if overwritten([output], [path]):
                others["output folder"] += 1
            elif not recursive:
                others["subfolder"] += 1
            elif path.is_symlink():  # may lead back
                others["linked subfolder"] += 1
            else:
                images += _walk(root, path, output, recursive, others)
        elif is_image(path):
            images.append(Input(root, path.relative_to(root)))
        else:
            others["other file"] += 1
    return images


def is_image(path: pathlib.Path) -> bool:
    """Whether a file is an image by its content, or should be one by its suffix."""
    import cv2

    if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
        return True
    try:
        return path.is_file() and path.stat().st_size > 0 and bool(cv2.haveImageReader(str(path)))
    except (OSError, UnicodeError, SystemError, cv2.error):  # also names that are not UTF-8
        return False


def describe(passed_over: collections.Counter[str]) -> str:
    """What is ignored, in words: "2 other files, 1 subfolder (--recursive includes it)"."""
    words = []
    for what, count in sorted(passed_over.items()):
        text = f"{count} {what}{'s' * (count > 1)}"
        if what == "subfolder":
            text += f" (--recursive includes {'them' if count > 1 else 'it'})"
        words.append(text)
    return ", ".join(words)


def assign_names(files: Sequence[Input]) -> list[pathlib.PurePath]:
    """A unique name for each file: its path in the given folder, with more folders if needed."""
    same: dict[str, list[int]] = collections.defaultdict(list)
    for index, file in enumerate(files):
        same[str(file.relative).casefold()].append(index)
    names: list[pathlib.PurePath] = [file.relative for file in files]
    for indexes in same.values():
        if len(indexes) > 1:
            whole = [os.path.abspath(files[index].path) for index in indexes]
            common = os.path.commonpath([os.path.dirname(path) for path in whole])
            for index, path in zip(indexes, whole, strict=True):
                names[index] = pathlib.PurePath(os.path.relpath(path, common))
    return names


def output_paths(
    folder: pathlib.Path,
    names: Iterable[pathlib.PurePath],
    suffixes: Sequence[str],
    taken: Iterable[pathlib.Path] = (),
) -> list[pathlib.Path]:
    """The path to write for each name, without suffix; equal paths get a number.

    Args:
      folder: of the results.
      names: of the inputs, with their suffixes.
      suffixes: of the files that are written for one input.
      taken: other files that are written.
    """
    used = {str(path).casefold() for path in taken}
    paths = []
    for name in names:
        stem, number = folder / name.with_suffix(""), 1
        path = stem
        while any(f"{path}{suffix}".casefold() in used for suffix in suffixes):
            number += 1
            path = stem.with_name(f"{stem.name}_{number}")
        used.update(f"{path}{suffix}".casefold() for suffix in suffixes)
        paths.append(path)
    return paths


def drawing_paths(
    folder: pathlib.Path, files: Sequence[Input], taken: Iterable[pathlib.Path] = ()
) -> tuple[list[pathlib.PurePath], list[pathlib.Path]]:
    """The names of images (`assign_names`), and the .jpg to draw for each (`output_paths`)."""
    names = assign_names(files)
    return names, _jpg(output_paths(folder, names, [".jpg"], taken))


def heatmap_paths(
    folder: pathlib.Path, drawings: Sequence[pathlib.Path], taken: Iterable[pathlib.Path] = ()
) -> list[pathlib.Path]:
    """The .jpg for the heatmaps of each drawing in `folder`, in its subfolder heatmaps."""
    names = [pathlib.PurePath("heatmaps") / path.relative_to(folder) for path in drawings]
    return _jpg(output_paths(folder, names, [".jpg"], [*taken, *drawings]))


def _jpg(paths: Iterable[pathlib.Path]) -> list[pathlib.Path]:
    return [path.with_name(f"{path.name}.jpg") for path in paths]


class Image(NamedTuple):
    """An image that was read.

    Attributes:
      pixels: uint8 RGB [H, W, 3].
      turned: of an image with an EXIF orientation that does not change its size, whether it is read
        "upright" or "stored"; None for other images.
    """

    pixels: np.ndarray
    turned: Literal["upright", "stored"] | None = None


def read_image(path: pathlib.Path, boxes: Boxes | None) -> Image:
    """Reads an image in the orientation of its boxes.

    A photograph is shown upright, by its EXIF orientation. If its boxes come with the size of the
    image, that shows the orientation, as for training and evaluation; the predictions of `jaxpose
    predict` also say which one it is if the size does not show it.

    Args:
      path: the file.
      boxes: of all images, if any.

    Raises:
      OSError: the file cannot be read.
      ImageError: it is no image, or of another size than the boxes are for.
    """
    data = path.read_bytes()
    annotated = boxes.size_of(path) if boxes else None
    stored = annotated is not None and not (boxes and boxes.is_upright(path))
    image = decode_annotated(data, annotated) if stored else decode(data, upright=True)
    if annotated is not None and image.shape[:2] != annotated:  # the photograph was replaced
        image = decode_annotated(data, annotated)
    if not is_turned(data, image):
        return Image(image)
    return Image(image, "stored" if stored else "upright")


def check_output(
    folder: pathlib.Path,
    outputs: Iterable[pathlib.Path],
    inputs: Inputs,
    others: Iterable[Location],
) -> None:
    """Checks that no input would be overwritten.

    Args:
      folder: of the results.
      outputs: all files that will be written.
      inputs: the images and videos.
      others: other files that are read.

    Raises:
      ValueError: the folder holds an input, or an output is an input.
    """
    files = [*inputs.images, *inputs.videos]
    parents = {file.path.parent for file in files} | {file.folder for file in files}
    if overwritten([folder], parents):
        place = folder.absolute()
        free = (place.parent / f"{place.name}_poses") if place.name else place / "poses"
        if not folder.is_absolute() and ".." not in folder.parts:
            free = folder.with_name(free.name) if folder.name else pathlib.Path("..", free.name)
        raise ValueError(
            f"--output {folder} is the folder of the input, and its images would be overwritten: "
            f"choose another folder, e.g. -o {free}"
        )
    check_outputs(outputs, [*(file.path for file in files), *others])
