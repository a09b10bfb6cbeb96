"""Images of a dataset by image id, in the annotated orientation, with caching."""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable, Container
from typing import Any

import numpy as np

from input_pipeline.region import Jpeg, Region, Source
from jaxpose import images
from jaxpose.annotations import Dataset

# Memory limit of `cache` for decoded images, bytes; a larger dataset is cached in part.
CACHE_BYTES = 2**30
# Number of recent images kept decoded: evaluation visits the people of one image in a row.
RECENT = 8


def read_files(dataset: Dataset) -> Callable[[int], bytes]:
    """Returns a function from image id to the bytes of the image file.

    The function raises ImageError if the file cannot be read.
    """

    def read(image_id: int) -> bytes:
        try:
            return dataset.image_path(image_id).read_bytes()
        except OSError as error:
            raise images.ImageError(f"cannot be read ({error.strerror})") from None

    return read


def _keep_recent(recent: collections.OrderedDict[int, Any], image_id: int, value: Any) -> None:
    recent[image_id] = value
    while len(recent) > RECENT:
        recent.popitem(last=False)


class Images:
    """Decoded images by image id; safe to use from several threads.

    Args:
      read: function image id -> bytes of the image file.
      sizes: image id -> annotated (H, W) or None; see `images.decode_annotated`.
      unsized: ids of the images that are not usable, because their size was not known when the
        annotation file was read (`Dataset.unsized`).
      cache: keep decoded images in memory, up to `CACHE_BYTES`.
      reduced: whether `open` leaves it to the crop at which resolution a JPEG file is decoded.
      report_turned: called once with the id of each image for which `images.is_turned`.

    Attributes:
      turned: ids of the images for which it was called.
    """

    def __init__(
        self,
        read: Callable[[int], bytes],
        sizes: Callable[[int], tuple[int, int] | None],
        *,
        unsized: Container[int] = (),
        cache: bool = False,
        reduced: bool = False,
        report_turned: Callable[[int], None] | None = None,
    ) -> None:
        self._read = read
        self._sizes, self._unsized = sizes, unsized
        self._reduced = reduced
        self._report_turned = report_turned
        self.turned: set[int] = set()
        self._budget = CACHE_BYTES if cache else 0
        self._kept: dict[int, np.ndarray] = {}
        self._recent: collections.OrderedDict[int, np.ndarray] = collections.OrderedDict()
        self._files: collections.OrderedDict[int, Jpeg] = collections.OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, image_id: int) -> np.ndarray:
        """Returns a decoded image: uint8 RGB [H, W, 3], read-only.

        Raises:
          ImageError: the image is unusable, or its size is not the annotated one.
        """
        image = self._cached(image_id)
        return self._decode(image_id, self._read(image_id)) if image is None else image

    def open(self, image_id: int) -> Source:
        """Returns an image whose pixels may be decoded later, at a reduced resolution.

        That needs a JPEG file without an EXIF orientation; other images are decoded.

        Raises:
          ImageError: as `__call__`.
        """
        if not self._reduced:
            return Region.whole(self(image_id))
        with self._lock:
            file = self._files.get(image_id)
        if file is not None:
            return file
        data = self._read(image_id)
        size, annotated = images.jpeg_size(data), self._sizes(image_id)
        simple = annotated in (None, size) and image_id not in self._unsized
        if size is not None and simple and images.exif_orientation(data) == 1:
            file = Jpeg(data, size)
            with self._lock:
                _keep_recent(self._files, image_id, file)
            return file
        return Region.whole(self._decode(image_id, data))

    def _cached(self, image_id: int) -> np.ndarray | None:
        with self._lock:
            image = self._kept.get(image_id)
            return self._recent.get(image_id) if image is None else image

    def _decode(self, image_id: int, data: bytes) -> np.ndarray:
        size = self._sizes(image_id)
        image = images.decode_annotated(data, size)
        if image_id in self._unsized:  # e.g. only in a prepared copy
            raise images.ImageError(
                "has no size in the annotation file, and its file could not be read for it"
            )
        image.setflags(write=False)
        self._check_orientation(image_id, data, image, size is not None)
        with self._lock:
            if image.nbytes <= self._budget and image_id not in self._kept:
                self._budget -= image.nbytes
                self._kept[image_id] = image
            else:
                _keep_recent(self._recent, image_id, image)
        return image

    def _check_orientation(
        self, image_id: int, data: bytes, image: np.ndarray, size_stated: bool
    ) -> None:
        if self._report_turned is None or image_id in self.turned:
            return
        if images.is_turned(data, image, size_stated=size_stated):
            with self._lock:
                new = image_id not in self.turned
                self.turned.add(image_id)
            if new:
                self._report_turned(image_id)
