"""Decoded pixels of the training examples in memory-mapped files, written once, read many times.

    python -m input_pipeline.prepared --config=configs/<recipe>.py    prepares the training split

With `config.data.prepared`, train.py does the same before the first step. For each person (for
bottom-up networks: for each image) the files hold the part of the image that the augmentation of
the settings may show, at the resolution that it needs (`region.cut`). Augmentation stays as it is:
only reading and decoding are left out.

The name of a copy contains fingerprints of the annotation file, of the images (name, size, time)
and of the settings that decide what is stored, so a new copy is made when one of them changes.

A copy consists of blocks of `BLOCK` examples, in the order of their images. A block is two .npy
files: all of its pixels, one after the other, and a table of where each example lies. The table is
written last, and both appear under their names only when they are whole. An interrupted preparation
therefore goes on where it stopped, and several processes may prepare the same copy.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import pathlib
import resource
import shutil
import sys
from collections.abc import Callable, Container
from typing import Any, Protocol

import cv2
import numpy as np
from absl import app, flags

from input_pipeline.fingerprint import dataset_name, hash_of
from input_pipeline.region import Extent, Region, cut
from jaxpose import images, tasks
from jaxpose.annotations import Dataset
from jaxpose.config import expand_paths, flatten
from jaxpose.config.flags import define_config_file, parse_flags
from jaxpose.files import open_atomic
from jaxpose.wording import quantity

VERSION = 2  # of the files; increase it when they change
BLOCK = 64  # examples
_TABLE = np.dtype(
    [("start", "<i8"), ("shape", "<i4", 2), ("size", "<i4", 2), ("origin", "<i4", 2)]
    + [("reduction", "<i4"), ("turned", "?")]
)


class Examples(Protocol):
    """What is prepared: `training.Examples`."""

    dataset: Dataset
    image_id: np.ndarray

    def extent(self, index: int, image_size: tuple[int, int]) -> Extent: ...


class Prepared:
    """The prepared copy of the training examples of some settings.

    Args:
      examples: of the training split.
      config: all settings.
    """

    def __init__(self, examples: Examples, config: Any) -> None:
        self._examples = examples
        self.folder = _parent(config) / _name(examples, config)
        # People of one image follow each other, so the image is decoded once.
        self._order = np.argsort(examples.image_id, kind="stable")
        self._row = np.empty_like(self._order)
        self._row[self._order] = np.arange(len(self._order))
        self._blocks: dict[int, tuple[np.ndarray, int]] = {}
        self._maps: dict[int, np.ndarray] = {}
        self._block_count = -(-len(self._order) // BLOCK)
        self._most_maps = _allow_open(self._block_count)

    def missing(self) -> list[int]:
        """Returns the numbers of the blocks that are not written yet."""
        numbers = range(self._block_count)
        return [number for number in numbers if not self._table_path(number).is_file()]

    def turned(self) -> list[int]:
        """Returns the ids of the images whose EXIF orientation was doubtful (`images.is_turned`).

        Raises:
          ValueError: the files are damaged.
        """
        found = set()
        for number in range(self._block_count):
            indexes = self._indexes(number)
            found.update(self._examples.image_id[indexes[self._open_table(number)["turned"]]])
        return sorted(map(int, found))

    def shapes(self) -> np.ndarray:
        """Returns the height and width of the prepared part of each example, int32 [N, 2].

        Those of an unusable image are zeros. The pixels are not read.

        Raises:
          ValueError: the files are damaged.
        """
        shapes = np.zeros((len(self._order), 2), np.int32)
        for number in range(self._block_count):
            shapes[self._indexes(number)] = self._open_table(number)["shape"]
        return shapes

    def write(
        self,
        load: Callable[[int], np.ndarray],
        *,
        turned: Container[int] = (),
        workers: int = 1,
        first: int = 0,
    ) -> None:
        """Writes the missing blocks.

        Args:
          load: image id -> decoded image, uint8 RGB [H, W, 3]; raises ImageError for an unusable
            image, whose examples are then left out.
          turned: the loaded images whose EXIF orientation is doubtful.
          workers: threads.
          first: number of missing blocks to leave for last; hosts that write into one folder share
            the work if they start at different blocks.

        Raises:
          OSError: a file cannot be written. Complete blocks stay.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        missing = self.missing()
        missing = missing[first:] + missing[:first]
        with concurrent.futures.ThreadPoolExecutor(max(1, workers)) as pool:
            running = [pool.submit(self._write_block, number, load, turned) for number in missing]
            try:
                for future in concurrent.futures.as_completed(running):
                    future.result()
            finally:
                pool.shutdown(cancel_futures=True)
        for part in self.folder.glob(".*.part"):  # of killed processes
            part.unlink(missing_ok=True)

    def __call__(self, index: int) -> Region | None:
        """Returns the prepared part of the image of an example; None for an unusable image.

        Raises:
          ValueError: the files are damaged.
        """
        number, row = divmod(int(self._row[index]), BLOCK)
        block = self._blocks.get(number)
        if block is None:
            block = self._blocks[number] = self._open_block(number)
        table, offset = block
        start, shape, size, origin, reduction, _ = table[row].tolist()
        height, width = shape
        if not height:
            return None
        pixels, count = self._maps.get(number), 3 * height * width
        if pixels is None:
            part = self._read(number, offset + start, count)
        else:
            part = pixels[start : start + count]
        return Region(
            part.reshape(height, width, 3), tuple(size), tuple(origin), (reduction, reduction)
        )

    def _indexes(self, number: int) -> np.ndarray:
        """The examples of a block."""
        return self._order[number * BLOCK : (number + 1) * BLOCK]

    def _table_path(self, number: int) -> pathlib.Path:
        return self.folder / f"{number:06d}.table.npy"

    def _pixels_path(self, number: int) -> pathlib.Path:
        return self.folder / f"{number:06d}.pixels.npy"

    def _open_block(self, number: int) -> tuple[np.ndarray, int]:
        """Returns the table of a block and where its pixels begin; maps these if it still may."""
        table = self._open_table(number)
        try:
            pixels = np.load(self._pixels_path(number), mmap_mode="r")
            end = int(table["start"][-1] + 3 * table["shape"][-1].prod())
            if end != len(pixels):
                raise ValueError("pixels and table do not match")
        except (OSError, ValueError, EOFError) as error:
            raise self._damaged(number, error) from None
        if len(self._maps) < self._most_maps:
            self._maps[number] = np.asarray(pixels)
        return table, pixels.offset

    def _open_table(self, number: int) -> np.ndarray:
        try:
            table = np.load(self._table_path(number))
            if table.dtype != _TABLE:
                raise ValueError("the table is another one")
        except (OSError, ValueError, EOFError) as error:
            raise self._damaged(number, error) from None
        return table

    def _read(self, number: int, start: int, count: int) -> np.ndarray:
        """Reads bytes of the pixels of a block that is not mapped."""
        try:
            part = np.fromfile(self._pixels_path(number), np.uint8, count, offset=start)
            if len(part) < count:
                raise ValueError("the pixels are cut off")
        except (OSError, ValueError) as error:
            raise self._damaged(number, error) from None
        return part

    def _damaged(self, number: int, error: Exception) -> ValueError:
        return ValueError(
            f"{self.folder}: block {number} of the prepared crops is damaged ({error}): remove the "
            "folder"
        )

    def _write_block(
        self, number: int, load: Callable[[int], np.ndarray], turned: Container[int]
    ) -> None:
        if self._table_path(number).is_file():
            return  # another process was faster
        indexes = self._indexes(number).tolist()
        table: np.ndarray = np.zeros(len(indexes), _TABLE)
        parts, start = [], 0
        for row, index in enumerate(indexes):
            table[row]["start"] = start
            region = self._cut(index, load)
            table[row]["turned"] = int(self._examples.image_id[index]) in turned
            if region is None:
                continue
            parts.append(region.pixels.ravel())
            start += parts[-1].size
            table[row]["shape"], table[row]["size"] = region.pixels.shape[:2], region.size
            table[row]["origin"], table[row]["reduction"] = region.origin, region.reduction[0]
        pixels = np.concatenate([*parts, np.zeros(0, np.uint8)])
        _save(self._pixels_path(number), pixels)
        _save(self._table_path(number), table)

    def _cut(self, index: int, load: Callable[[int], np.ndarray]) -> Region | None:
        try:
            image = load(int(self._examples.image_id[index]))
        except images.ImageError:
            return None
        return cut(image, self._examples.extent(index, image.shape[:2]))


def ensure(
    examples: Examples,
    config: Any,
    load: Callable[[int], np.ndarray],
    log: Callable[[str], None],
    *,
    turned: Container[int] = (),
    host_id: int = 0,
    host_count: int = 1,
) -> Prepared:
    """Returns the prepared copy of the training examples; writes what is missing of it.

    Args:
      examples: of the training split.
      config: all settings.
      load: see `Prepared.write`.
      log: is called with lines about what is written.
      turned: see `Prepared.write`.
      host_id: number of this host.
      host_count: number of hosts.

    Raises:
      OSError: the files cannot be written, or there is no room for them.
    """
    prepared = Prepared(examples, config)
    missing = prepared.missing()
    if missing:
        log(f"preparing {quantity(len(missing), 'block')} of {BLOCK} examples in {prepared.folder}")
        cv2.setNumThreads(1)  # OpenCV's own threads would compete with the workers
        first = len(missing) * host_id // host_count
        prepared.write(load, turned=turned, workers=int(config.data.workers), first=first)
        size = sum(path.stat().st_size for path in prepared.folder.iterdir())
        free = shutil.disk_usage(prepared.folder).free
        log(f"prepared {size / 1e6:,.0f} MB; {free / 1e6:,.0f} MB of the disk are free")
    return prepared


def _parent(config: Any) -> pathlib.Path:
    if config.data.prepared_dir:
        return pathlib.Path(config.data.prepared_dir).expanduser()
    return pathlib.Path.home() / ".cache" / "jaxpose" / "prepared"


def _name(examples: Examples, config: Any) -> str:
    """Name of the copy: what is stored depends on nothing else.

    Augmentation of pixels happens after cropping, whatever is stored.
    """
    pixels = ("pixels.", "last.dropout_prob")
    settings = [
        VERSION,
        cv2.__version__,  # decodes the images
        tasks.get(config.task).EXAMPLE,
        tuple(config.input_size),
        sorted((k, v) for k, v in flatten(config.augment).items() if not k.startswith(pixels)),
        examples.dataset.skeleton,
        examples.image_id.tobytes(),
    ]
    return f"{dataset_name(examples.dataset)}-{hash_of(settings)}"


def _allow_open(count: int) -> int:
    """Raises the limit of open files by `count` as far as possible; returns how many may be opened.

    A map keeps its file open. COCO has 2,341 blocks, and the limit is often 1,024.
    """
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before == resource.RLIM_INFINITY:
        return count
    wanted = before + count if most == resource.RLIM_INFINITY else min(before + count, most)
    with contextlib.suppress(ValueError, OSError):  # macOS has a further limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    now = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return max(now - before, now // 2)


def _save(path: pathlib.Path, array: np.ndarray) -> None:
    """Writes a .npy file that is whole or absent, even if the process is killed.

    Raises:
      OSError: it cannot be written.
    """
    try:
        with open_atomic(path) as file:
            header = np.lib.format.header_data_from_array_1_0(array)
            np.lib.format.write_array_header_1_0(file, header)
            file.write(array.data)  # np.save would not say why a write fails
    except OSError as error:
        if not path.is_file():  # else another process has written it
            raise OSError(f"{path} could not be written ({error.strerror})") from None


def main(_: Any = None) -> None:
    import input_pipeline

    config = _CONFIG.value
    expand_paths(config)
    config.data.prepared = True
    try:
        data = input_pipeline.train_data(config, log=print)
        print(f"prepared: {quantity(data.num_examples, 'example')}")
    except (ValueError, OSError) as error:
        print(f"prepared.py: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    _CONFIG = define_config_file("Recipe: a file of configs/.")
    flags.mark_flag_as_required("config")
    app.run(main, flags_parser=parse_flags)
